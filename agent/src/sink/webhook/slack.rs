//! A message for Slack's incoming webhooks (Block Kit: header, section, context). Pure.
//!
//! Limits and escapes as of Slack's reference: a header has 150 characters of plain text, a section 3000 of `mrkdwn`, in
//! which `&`, `<` and `>` are escaped. So no name that a thief chose can call a channel or make a link.

use serde_json::json;

use crate::sink::{
    Item, Kind,
    facts::{Facts, short},
};

const HEADER: usize = 150;
const SECTION: usize = 2800;

/// The body of one message.
#[must_use]
pub fn body(item: &Item) -> String {
    let facts = Facts::of(item);
    let headline = facts.headline(item);
    let said = match item.kind {
        Kind::Incident => facts.meaning.clone().unwrap_or_default(),
        Kind::Finding => lines(&facts),
    };
    let plain = |text: &str| json!({"type": "plain_text", "text": short(text, HEADER), "emoji": false});
    let mut blocks = vec![json!({"type": "header", "text": plain(&headline)})];
    if !said.is_empty() {
        let text = short(&escaped(&said), SECTION);
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    let place = facts.host.as_deref().unwrap_or("unknown machine");
    let small = format!("{place} {} {} {}", item.detector, facts.key(item), item.time);
    blocks.push(json!({"type": "context", "elements": [plain(&small)]}));
    json!({
        "text": escaped(&short(&headline, 1000)),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
    .to_string()
}

/// What is known of a finding, a line each.
fn lines(facts: &Facts) -> String {
    let mut lines = Vec::new();
    for (name, value) in [
        ("Store", &facts.store),
        ("Where", &facts.path),
        ("Read by", &facts.reader),
        ("On behalf of", &facts.actor),
        ("User", &facts.user),
        ("What to do", &facts.remedy),
    ] {
        lines.extend(value.as_deref().map(|value| format!("*{name}* {}", short(value, 600))));
    }
    lines.join("\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sink::samples;

    #[test]
    fn a_finding_says_what_happened_and_what_to_do() {
        let body: Value = serde_json::from_str(&body(&samples::finding(1))).unwrap();
        assert_eq!(body["text"], "MEDIUM \"npm\" &lt;run&gt; &amp; ]co\\ read gh-hosts: caf\u{e9}");
        assert_eq!(body["blocks"][0]["text"]["text"], "MEDIUM \"npm\" <run> & ]co\\ read gh-hosts: caf\u{e9}");
        assert_eq!(
            body["blocks"][1]["text"]["text"],
            "*Store* gh-hosts\n*Where* /home/kim/.config/gh/hosts.yml\n*Read by* /usr/bin/node\n\
             *On behalf of* package-script\n*User* kim\n*What to do* Revoke it: gh auth logout"
        );
        let small = "build-7 unexpected-reader f-1 2026-11-30T09:00:00.123456789Z";
        assert_eq!(body["blocks"][2]["elements"][0]["text"], small);
    }

    #[test]
    fn an_incident_brings_its_own_words() {
        let body: Value = serde_json::from_str(&body(&samples::incident(1, true))).unwrap();
        assert!(body["text"].as_str().unwrap().starts_with("CLOSED (high, 3 findings in all) npm"));
        assert_eq!(
            body["blocks"][1]["text"]["text"],
            "What happened: read &lt;gh-hosts&gt;.\nWhat to do: gh auth logout.\nMore: tokenhound explain i-7"
        );
    }

    #[test]
    fn nobody_is_called_and_nothing_is_longer_than_slack_takes() {
        for mut item in [samples::incident(1, false), samples::finding(2)] {
            for name in ["/usr/bin/node", "read <gh-hosts>", "gh auth logout"] {
                item.body = item.body.replace(name, &"<!channel>".repeat(900));
            }
            let body: Value = serde_json::from_str(&body(&item)).unwrap();
            // Plain text calls nobody; these two are markup.
            for text in [&body["text"], &body["blocks"][1]["text"]["text"]] {
                assert!(!text.as_str().unwrap().contains('<'), "{text}");
            }
            assert!(body["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150);
            assert!(body["blocks"][1]["text"]["text"].as_str().unwrap().chars().count() <= 3000);
        }
    }
}
