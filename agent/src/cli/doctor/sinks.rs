//! What `doctor` says of the sinks: how far each is, what it fails with, what was refused for good.

use std::{fmt::Write, path::Path};

use crate::{
    config::Config,
    detect::lifecycle::report,
    history::{
        Database,
        outbox::{SetAside, SinkState},
    },
};

/// A paragraph for each sink that is configured or was.
pub(super) fn describe(text: &mut String, state: &Path, config: &Config) {
    let states = Database::look(state).and_then(|history| history.as_ref().map(Database::sinks).transpose());
    let states = match states {
        Ok(states) => states.unwrap_or_default(),
        // That the history cannot be read has been said.
        Err(_) => return,
    };
    for sink in &states {
        sink_line(text, sink);
        for aside in &sink.aside {
            aside_line(text, aside);
        }
    }
    let new = config.sinks.iter().flatten().filter(|sink| !states.iter().any(|known| known.name == sink.name));
    for sink in new {
        let _ = writeln!(text, "  --    sink {}: new, gets what is found from the next start on", sink.name);
    }
}

fn sink_line(text: &mut String, sink: &SinkState) {
    let mut said = Vec::new();
    match sink.behind {
        0 => said.push("has everything".to_owned()),
        behind => said.push(format!("{behind} behind")),
    }
    if sink.set_aside > 0 {
        said.push(format!("{} refused for good", sink.set_aside));
    }
    if sink.shed > 0 {
        said.push(format!("{} lost, as there was no more room", sink.shed));
    }
    if let Some((why, since)) = &sink.failing {
        said.push(format!("fails since {}: {why}", report::at(*since)));
    }
    if let Some(removed) = sink.removed {
        said.push(format!("not configured since {}, kept for seven days from then", report::at(removed)));
    }
    let mark = match (&sink.failing, sink.removed, sink.set_aside) {
        (Some(_), None, _) => "no  ",
        (None, None, 0) => "ok  ",
        _ => "--  ",
    };
    let _ = writeln!(text, "  {mark}  sink {}: {}", sink.name, said.join("; "));
}

fn aside_line(text: &mut String, aside: &SetAside) {
    let _ =
        writeln!(text, "          refused {}: {} \"{}\": {}", report::at(aside.at), aside.uid, aside.title, aside.why);
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_sink_is_told_with_what_is_wrong() {
        let at = Timestamp::UNIX_EPOCH;
        let fine = SinkState {
            name: "soc".into(),
            behind: 0,
            removed: None,
            shed: 0,
            failing: None,
            set_aside: 0,
            aside: Vec::new(),
        };
        let line = |sink: SinkState| {
            let mut text = String::new();
            sink_line(&mut text, &sink);
            text
        };
        assert_eq!(line(fine.clone()), "  ok    sink soc: has everything\n");
        let down = SinkState { behind: 12, failing: Some(("refused".into(), at)), shed: 3, ..fine.clone() };
        let said = line(down);
        assert!(said.starts_with("  no    sink soc: 12 behind; 3 lost") && said.contains("refused"), "{said}");
        assert!(
            line(SinkState { set_aside: 2, ..fine.clone() }).starts_with("  --    sink soc: has everything; 2 ref")
        );
        assert!(line(SinkState { removed: Some(at), ..fine }).contains("seven days"));
    }
}
