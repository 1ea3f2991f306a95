//! Rules that never do anything, or that others undo.

use std::path::{Path, PathBuf};

use tokenhound_common::{process::ProcessKey, record::FileId};

use super::inspection;
use crate::{
    catalogue::{
        Catalogue, expect,
        pattern::{Anchor, Part, Pattern, name_matches},
    },
    ingest::observation::KernelTime,
    lineage::model::{Executable, Origin, Process, Writable},
    policy::{Kind, Policy, Rule},
    yaml::Problems,
};

/// What one rule says by itself.
pub(super) fn alone(rule: &Rule, catalogue: &Catalogue, problems: &mut Problems) {
    let mut warn = |message: String| problems.warning(&rule.file, rule.place, message);
    let left = |store: &String| !rule.except.iter().any(|except| name_matches(except, store));
    if !rule.store.is_empty() && !rule.store.iter().any(left) {
        warn("never holds: \"except\" leaves out every store that it names; remove one of the two".to_owned());
    }
    match rule.when.as_ref().and_then(|when| when.constant()) {
        Some(true) => warn("\"when\" asks nothing and always holds; remove it".to_owned()),
        Some(false) => warn("never holds: \"when\" asks nothing and is false; remove the rule".to_owned()),
        None => {}
    }
    let runs_none = |reader: &Pattern| {
        let name = reader.parts().last().and_then(Part::name);
        name.is_some_and(|name| catalogue.interpreters().of(Path::new(name)).is_none())
    };
    if !rule.script.is_empty() && !rule.reader.is_empty() && rule.reader.iter().all(runs_none) {
        let readers: Vec<_> = rule.reader.iter().map(Pattern::text).collect();
        warn(format!(
            "never holds: {} runs no scripts, as far as is known; \"reader\" is the interpreter, or is left out",
            readers.join(", ")
        ));
    }
}

/// What rules do to each other.
pub(super) fn together(policy: &Policy, catalogue: &Catalogue, problems: &mut Problems) {
    for (at, rule) in policy.rules().iter().enumerate() {
        let mut warn = |message: String| problems.warning(&rule.file, rule.place, message);
        let same_kind = |other: &&Rule| other.kind == rule.kind;
        if let Some(earlier) = policy.rules()[..at].iter().filter(same_kind).find(|earlier| swallows(earlier, rule)) {
            let kind = rule.kind.name();
            warn(if swallows(rule, earlier) {
                format!("says the same as the {kind} at {}; remove one", earlier.label())
            } else {
                format!("is never reached: the {kind} at {} covers all of it; remove one", earlier.label())
            });
        }
        match rule.kind {
            Kind::Expectation => {
                if let Some(by) = policy.of(Kind::Restriction).find(|by| swallows(by, rule)) {
                    let what = "contradicts the restriction at";
                    warn(format!("{what} {}, which takes all of it back; remove one of the two", by.label()));
                }
            }
            Kind::Exception => {
                if let Some(of) = policy.of(Kind::Restriction).find(|of| swallows(rule, of)) {
                    warn(format!(
                        "contradicts the restriction at {}: it tolerates all that that one takes back, and has the last \
                         word; remove one of the two",
                        of.label()
                    ));
                }
                if let Some(by) = policy.of(Kind::Expectation).find(|by| swallows(by, rule)) {
                    warn(format!("is never reached: the expectation at {} covers all of it; remove one", by.label()));
                }
            }
            Kind::Restriction => {}
        }
        if rule.kind.permits()
            && policy.of(Kind::Restriction).next().is_none()
            && let Some(reader) = known_already(rule, catalogue)
        {
            warn(format!("is not needed: the catalogue expects {reader} there already; remove it"));
        }
    }
}

/// Whatever `later` covers, `earlier` covers too. By text: it may miss some, it never accuses wrongly.
fn swallows(earlier: &Rule, later: &Rule) -> bool {
    let wider = |earlier: &[String], later: &[String]| {
        earlier.is_empty()
            || (!later.is_empty() && later.iter().all(|value| earlier.iter().any(|wide| name_matches(wide, value))))
    };
    let same = |earlier: &[Pattern], later: &[Pattern]| {
        earlier.is_empty() || (!later.is_empty() && later.iter().all(|value| earlier.contains(value)))
    };
    let longer = match (earlier.expires, later.expires) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(earlier), Some(later)) => earlier >= later,
    };
    let open = |later: &crate::policy::times::Window| earlier.time.iter().any(|window| window.covers(later));
    let often = earlier.time.is_empty() || (!later.time.is_empty() && later.time.iter().all(open));
    // An exception without "store" does not cover looking into other processes.
    let procfs = later.store.iter().any(|id| inspection(id));
    (earlier.allow_writable || !later.allow_writable || !earlier.kind.permits())
        && wider(&earlier.store, &later.store)
        && !(earlier.store.is_empty() && procfs)
        && (earlier.except.is_empty() || earlier.except == later.except)
        && wider(&earlier.package, &later.package)
        && wider(&earlier.user, &later.user)
        && wider(&earlier.actor, &later.actor)
        && wider(&earlier.host, &later.host)
        && same(&earlier.reader, &later.reader)
        && same(&earlier.script, &later.script)
        && same(&earlier.ancestor, &later.ancestor)
        && (earlier.when.is_none() || earlier.when == later.when)
        && often
        && longer
}

/// The readers, if the catalogue expects each of them at each store that the rule names.
fn known_already(rule: &Rule, catalogue: &Catalogue) -> Option<String> {
    let by_path_only = rule.script.is_empty() && rule.package.is_empty() && !rule.allow_writable;
    if !by_path_only || rule.reader.is_empty() || rule.store.is_empty() {
        return None;
    }
    let stores: Vec<_> = rule.store.iter().map(|id| catalogue.store(id)).collect::<Option<_>>()?;
    let fixed = |reader: &Pattern| {
        let fixed = *reader.anchor() == Anchor::Root && reader.parts().iter().all(|part| part.name().is_some());
        fixed.then(|| PathBuf::from(reader.text()))
    };
    let readers: Vec<_> = rule.reader.iter().map(fixed).collect::<Option<_>>()?;
    let known = readers.iter().all(|path| {
        let reader = running(path);
        stores.iter().all(|store| expect::expectation(store, &reader, None, catalogue.interpreters()).expected())
    });
    known.then(|| rule.reader.iter().map(Pattern::text).collect::<Vec<_>>().join(", "))
}

/// A process of which nothing is known but that it runs this program, from a place that its user cannot write.
fn running(path: &Path) -> Process {
    let executable = Executable {
        path: path.to_owned(),
        path_truncated: false,
        id: FileId::default(),
        uid: 0,
        mode: 0o100_755,
        links: 1,
        writable: Writable::No,
    };
    Process {
        key: ProcessKey::new(0, 0),
        parent: None,
        executable,
        script: None,
        args: Vec::new(),
        args_truncated: false,
        cwd: None,
        environment: Vec::new(),
        comm: String::new(),
        uid: 1000,
        euid: 1000,
        gid: 1000,
        login_uid: None,
        audit_session: None,
        session: 0,
        tty: None,
        mount_namespace: 0,
        pid_namespace: 0,
        cgroup: 0,
        container: None,
        unit: None,
        owners: None,
        since: KernelTime(0),
        exited: None,
        origin: Origin::Stub,
    }
}
