//! What is wrong with exceptions that can each be read: too broad, unknown stores, never reached.

use std::path::Path;

use super::{Exception, PROCESS, Policy, Restriction};
use crate::{
    catalogue::{
        Catalogue, decoy,
        pattern::{Pattern, name_matches},
    },
    ingest::observation::Inspection,
    lineage::actor::Class,
    yaml::{Place, Problems, fields::suggest},
};

pub(super) fn together(policy: &Policy, catalogue: &Catalogue, problems: &mut Problems) {
    let exceptions = &policy.exceptions;
    for restriction in &policy.restrictions {
        self::restriction(restriction, catalogue, problems);
    }
    for (i, exception) in exceptions.iter().enumerate() {
        stores((&exception.store, &exception.file, exception.place), catalogue, problems);
        actors((&exception.actor, &exception.file, exception.place), catalogue, problems);
        breadth(exception, catalogue, problems);
        if let Some(earlier) = exceptions[..i].iter().find(|earlier| swallows(earlier, exception)) {
            let message = if swallows(exception, earlier) {
                format!("says the same as the exception at {}; remove one", earlier.label())
            } else {
                format!("is never reached: the exception at {} covers all of it", earlier.label())
            };
            problems.warning(&exception.file, exception.place, message);
        }
    }
}

/// Words of an entry, with where it stands.
type Words<'a> = (&'a [String], &'a Path, Place);

fn stores((words, file, place): Words<'_>, catalogue: &Catalogue, problems: &mut Problems) {
    for wanted in words {
        // Decoys come and go while the policy stays.
        let decoy = wanted.starts_with(decoy::PREFIX);
        let known =
            decoy || inspection(wanted) || catalogue.stores().iter().any(|store| name_matches(wanted, &store.id));
        if known {
            continue;
        }
        let hint = match catalogue.suggest(wanted) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "`tokenhound catalogue list` shows all".to_owned(),
        };
        problems.error(file, place, format!("no store \"{wanted}\" in the catalogue; {hint}"));
    }
}

fn actors((words, file, place): Words<'_>, catalogue: &Catalogue, problems: &mut Problems) {
    let ids = catalogue.actors().rules().iter().map(|rule| rule.id.as_str());
    let known: Vec<&str> = Class::ALL.iter().map(|class| class.name()).chain(ids).collect();
    for wanted in words.iter().filter(|wanted| !known.contains(&wanted.as_str())) {
        let classes = || Class::ALL.iter().map(|class| class.name()).collect::<Vec<_>>().join(", ");
        let hint = match suggest(wanted, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the classes are {}", classes()),
        };
        problems.error(file, place, format!("no actor \"{wanted}\"; {hint}"));
    }
}

fn restriction(restriction: &Restriction, catalogue: &Catalogue, problems: &mut Problems) {
    let (file, place) = (restriction.file.as_path(), restriction.place);
    stores((&restriction.store, file, place), catalogue, problems);
    stores((&restriction.except, file, place), catalogue, problems);
    actors((&restriction.actor, file, place), catalogue, problems);
    if restriction.store.iter().chain(&restriction.except).any(|store| inspection(store)) {
        let message = "looking into other processes is never expected; there is nothing to take back";
        problems.error(file, place, message);
    }
    if restriction.store.iter().any(|store| store == "*") && restriction.except.is_empty() {
        let message = "takes back every store, also the actor's own login; add \"except\"";
        problems.warning(file, place, message);
    }
}

fn breadth(exception: &Exception, catalogue: &Catalogue, problems: &mut Problems) {
    let every = |list: &[String]| list.is_empty() || list.iter().any(|value| value == "*");
    let any_program = exception.reader.is_empty()
        && exception.script.is_empty()
        && exception.ancestor.is_empty()
        && exception.package.is_empty()
        && exception.actor.is_empty();
    let delegated = |word: &String| Class::ALL.iter().any(|class| class.is_delegated() && class.name() == word);
    let only_actor = exception.reader.is_empty()
        && exception.script.is_empty()
        && exception.ancestor.is_empty()
        && exception.package.is_empty();
    if only_actor && exception.actor.iter().any(delegated) {
        let message =
            "tolerates whatever such an actor runs, which is what thieves run as; add \"reader\" or \"script\"";
        problems.warning(&exception.file, exception.place, message);
    }
    if any_program && every(&exception.user) && every(&exception.store) {
        let message = "tolerates every access; give at least one of \"store\", \"reader\", \"script\", \"ancestor\", \"actor\", \"user\"";
        problems.error(&exception.file, exception.place, message);
    } else if any_program && every(&exception.user) {
        let message =
            "tolerates every program of every user at this store; add \"reader\", \"script\", \"ancestor\" or \"user\"";
        problems.warning(&exception.file, exception.place, message);
    } else if any_program && every(&exception.store) {
        let message = "tolerates every program of this user at every store; add \"store\" or \"reader\"";
        problems.warning(&exception.file, exception.place, message);
    }
    let alone = exception.script.is_empty() && exception.ancestor.is_empty();
    for reader in exception.reader.iter().filter(|_| alone) {
        let name = reader.parts().last().and_then(|part| part.name()).unwrap_or_default();
        if catalogue.interpreters().generic(name) {
            let message = format!(
                "\"{}\" is what any thief would use; add the \"script\" it runs or the \"ancestor\" that starts it",
                reader.text()
            );
            problems.warning(&exception.file, exception.place, message);
        }
    }
    if exception.allow_writable && exception.user.is_empty() && exception.store.is_empty() {
        let message = "\"allow_writable\" lets every user put a program there; add \"user\" or \"store\"";
        problems.warning(&exception.file, exception.place, message);
    }
}

/// Does `name` in `store` stand for a way to look into other processes?
fn inspection(name: &str) -> bool {
    name.strip_prefix(PROCESS).is_some_and(|name| Inspection::ALL.iter().any(|how| how.name() == name))
}

/// Whatever `later` covers, `earlier` covers too. By text: it may miss some, it never accuses wrongly.
fn swallows(earlier: &Exception, later: &Exception) -> bool {
    let texts = |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.text().to_owned()).collect::<Vec<_>>();
    let wider = |earlier: &[String], later: &[String]| {
        earlier.is_empty()
            || (!later.is_empty() && later.iter().all(|value| earlier.iter().any(|wide| name_matches(wide, value))))
    };
    let same = |earlier: &[Pattern], later: &[Pattern]| {
        let (earlier, later) = (texts(earlier), texts(later));
        earlier.is_empty() || (!later.is_empty() && later.iter().all(|value| earlier.contains(value)))
    };
    // An exception without "store" does not cover looking into other processes.
    let procfs = later.store.iter().any(|id| inspection(id));
    (earlier.allow_writable || !later.allow_writable)
        && wider(&earlier.store, &later.store)
        && !(earlier.store.is_empty() && procfs)
        && wider(&earlier.package, &later.package)
        && wider(&earlier.user, &later.user)
        && wider(&earlier.actor, &later.actor)
        && same(&earlier.reader, &later.reader)
        && same(&earlier.script, &later.script)
        && same(&earlier.ancestor, &later.ancestor)
}
