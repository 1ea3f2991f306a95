//! Programs that are started with a token on their command line or in their environment.

use tokenhound_common::process::ProcessKey;

use super::{Core, Output, World, judge};
use crate::{
    catalogue::model::Store,
    detect::{
        access::{Access, Carrying, Inherited, Service, Target},
        judge::{Expectation, Judgement, StoreFacts},
        recent::Recent,
        secret_in_arguments::foreign,
        words,
    },
    ingest::{
        carried::{Carried, Place, Shaped},
        observation::{Exec, KernelTime},
        rest::More,
    },
    lineage::model::{Origin, Process},
    token::{
        fingerprint::Fingerprint,
        shape::{self, Shape},
    },
};

/// Most programs whose record is awaited.
const AWAITED: usize = 1024;

/// Most processes of which is remembered with which tokens in their environment they were started.
const REMEMBERED: usize = 4096;

/// What was found in records that wait for their order, and what is remembered of those before.
#[derive(Debug)]
pub(super) struct CarriedBy {
    awaited: Recent<(ProcessKey, KernelTime), Vec<Carried>>,
    shaped: Recent<(ProcessKey, KernelTime), Vec<Shaped>>,
    /// The tokens in the environment of the program that each process was last started with.
    environments: Recent<ProcessKey, Vec<Fingerprint>>,
    /// What was found beyond records that wait for their order.
    more: Recent<(ProcessKey, KernelTime), More>,
}

impl Default for CarriedBy {
    fn default() -> Self {
        Self {
            awaited: Recent::new(AWAITED),
            shaped: Recent::new(AWAITED),
            environments: Recent::new(REMEMBERED),
            more: Recent::new(AWAITED),
        }
    }
}

impl CarriedBy {
    pub(super) fn note(&mut self, process: ProcessKey, time: KernelTime, tokens: Vec<Carried>) {
        *self.awaited.touch(&(process, time), time, Vec::new) = tokens;
    }

    pub(super) fn note_shaped(&mut self, process: ProcessKey, time: KernelTime, tokens: Vec<Shaped>) {
        *self.shaped.touch(&(process, time), time, Vec::new) = tokens;
    }

    /// What this program was started with. Its environment is remembered for those that it starts in turn.
    fn take(&mut self, process: ProcessKey, time: KernelTime) -> (Vec<Carried>, Vec<Shaped>) {
        let key = (process, time);
        let found = self.awaited.get(&key).cloned().unwrap_or_default();
        let shaped = self.shaped.get(&key).cloned().unwrap_or_default();
        self.awaited.forget(&key);
        self.shaped.forget(&key);
        self.environments.forget(&process);
        self.inherits(process, time, &found);
        (found, shaped)
    }

    fn inherits(&mut self, process: ProcessKey, time: KernelTime, found: &[Carried]) {
        let inherited = found.iter().filter(|carried| matches!(carried.place, Place::Variable(_)));
        let mut inherited = inherited.map(|carried| carried.fingerprint).peekable();
        if inherited.peek().is_some() {
            self.environments.touch(&process, time, Vec::new).extend(inherited);
        }
    }

    /// The first of `ancestors` (nearest first) that was started with the token itself, in words: it was handed down from
    /// there. Where none was, the nearest put it there.
    fn origin(&self, ancestors: &[Process], fingerprint: Fingerprint) -> String {
        let had = |process: &Process| self.environments.get(&process.key).is_some_and(|all| all.contains(&fingerprint));
        let named = |process: &Process| format!("{} (pid {})", words::reader(process), process.key.tgid);
        match ancestors.iter().rposition(had) {
            Some(oldest) => {
                let above = ancestors.get(oldest + 1).filter(|above| above.origin == Origin::Observed);
                let from = ancestors.get(oldest).map_or_else(String::new, named);
                match above {
                    Some(above) => format!("inherited from {from}, into whose environment {} put it", named(above)),
                    None => format!("inherited from {from}, the first in its lineage that is known to have had it"),
                }
            }
            None => match ancestors.first() {
                Some(parent) => format!("{}, which started it, was not seen to be started with it", named(parent)),
                None => "who started it is not known".to_owned(),
            },
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.awaited.evicted() + self.shaped.evicted() + self.environments.evicted() + self.more.evicted()
    }
}

impl Core {
    /// A program has started: with which tokens?
    pub(super) fn carries(&mut self, exec: &Exec, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let (known, shaped) = self.carried.take(exec.task.key, exec.time);
        self.tell_carried((exec.task.key, exec.time), known, shaped, world, out);
    }

    /// It was looked what the program was started with beyond its record. That may still wait for its order.
    pub(super) fn carries_more(
        &mut self,
        time: KernelTime,
        process: ProcessKey,
        more: More,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        *self.carried.more.touch(&(process, time), time, More::default) = more;
        self.told_late(world, out);
    }

    /// Tells what was found of programs whose records are out.
    pub(super) fn told_late(&mut self, world: &mut dyn World, out: &mut dyn FnMut(Output)) {
        let is_out = |(_, time): &&(ProcessKey, KernelTime)| self.reorder.is_past(*time);
        let out_by_now: Vec<_> = self.carried.more.iter().map(|(key, _)| key).filter(is_out).copied().collect();
        for key in out_by_now {
            let Some(More { carried, shaped }) = self.carried.more.get(&key).cloned() else { continue };
            self.carried.more.forget(&key);
            self.carried.inherits(key.0, key.1, &carried);
            self.tell_carried(key, carried, shaped, world, out);
        }
    }

    fn tell_carried(
        &mut self,
        (process, time): (ProcessKey, KernelTime),
        known: Vec<Carried>,
        shaped: Vec<Shaped>,
        world: &mut dyn World,
        out: &mut dyn FnMut(Output),
    ) {
        for Carried { fingerprint, place } in known {
            let tokens = self.lifecycle.tokens().filter(|token| token.known.fingerprint == fingerprint);
            let mut stores: Vec<String> = tokens.map(|token| token.known.store.clone()).collect();
            stores.dedup();
            let facts = stores.iter().filter_map(|id| self.catalogue.store(id)).map(judge::facts).collect();
            let why = format!("the token of {} is in {}", stores.join(", "), place.words());
            let target = carrying(stores, place, Carrying::Known(fingerprint));
            let Some(mut access) = self.access(process, time, target, world) else { return };
            if self.has_business(&mut access, fingerprint) {
                continue;
            }
            self.judged(access, unexpected(facts, &why), world, out);
        }
        for Shaped { shape, place } in shaped {
            let Some(shape) = shape::named(&shape) else { continue };
            let why = "no store that is known here holds it: whether it is valid is not known";
            let facts = self.of_shape(shape);
            let target = carrying(vec![facts.id.clone()], place, Carrying::Shaped(shape));
            let Some(access) = self.access(process, time, target, world) else { return };
            self.judged(access, unexpected(vec![facts], why), world, out);
        }
    }

    /// Whether it is in order that the program has the token in its environment. If not, why not and where it has it from is
    /// noted in the access. A command line is in order for nobody.
    fn has_business(&self, access: &mut Access, token: Fingerprint) -> bool {
        let Some((reader, ancestors)) = access.chain.processes.split_first() else { return true };
        let Target::Service { stores, service: Service::Start { place: Place::Variable(name), .. } } = &access.target
        else {
            return false;
        };
        let Some(by) = foreign::of(access) else { return true };
        let takes = |store: &&Store| stores.contains(&store.id) || store.env_vars.contains(name);
        let own: Vec<&Store> = self.catalogue.stores().iter().filter(takes).collect();
        let expectation = self.catalogue.expectation(&own, reader, access.home.as_deref());
        if matches!(expectation, crate::catalogue::expect::Expectation::Expected { .. }) {
            return true;
        }
        let found = Inherited { by, from: self.carried.origin(ancestors, token) };
        if let Target::Service { service: Service::Start { inherited, .. }, .. } = &mut access.target {
            *inherited = Some(found);
        }
        false
    }

    /// The store that keeps tokens of that shape, as far as the catalogue knows one; else its issuer.
    fn of_shape(&self, shape: &'static Shape) -> StoreFacts {
        let has = |store: &&Store| store.watched() && store.token_shapes.contains(&shape);
        let store = self.catalogue.stores().iter().filter(has).min_by_key(|store| store.tier);
        let facts = store.map(judge::facts).unwrap_or_else(|| StoreFacts {
            id: shape.id.to_owned(),
            title: shape.words(),
            vendor: shape.issuer.name.to_owned(),
            family: shape.id.to_owned(),
            tier: 3,
            kinds: vec![shape.kind.name().to_owned()],
            ..StoreFacts::default()
        });
        // Whose login it is, if any's, is not known.
        StoreFacts { revoke: Some(shape.issuer.revoke.to_owned()), logout: None, ..facts }
    }
}

fn carrying(stores: Vec<String>, place: Place, token: Carrying) -> Target {
    Target::Service { stores, service: Service::Start { place, token, inherited: None } }
}

fn unexpected(stores: Vec<StoreFacts>, why: &str) -> Vec<Judgement> {
    let judgement =
        |store| Judgement { store, expectation: Expectation::Unexpected { why: vec![why.to_owned()], weak: false } };
    stores.into_iter().map(judgement).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        capture::synthetic::{self, Machine},
        catalogue::Catalogue,
        detect::fixtures::process,
        finding::{model::Finding, severity::Severity},
        ingest::{decode::Decoded, observation::Observation, sequence::Ring},
        pipeline::core::Input,
        token::fingerprint::Key,
    };

    fn token(name: &str) -> Fingerprint {
        Key::new([1; 32]).fingerprint_of(name.as_bytes())
    }

    fn started(carried: &mut CarriedBy, process: &Process, tokens: &[Fingerprint]) {
        let of = |fingerprint: &Fingerprint| Carried {
            fingerprint: *fingerprint,
            place: Place::Variable("GH_TOKEN".to_owned()),
        };
        if !tokens.is_empty() {
            carried.note(process.key, process.since, tokens.iter().map(of).collect());
        }
        let _ = carried.take(process.key, process.since);
    }

    #[test]
    fn where_a_token_was_inherited_from() {
        let mut carried = CarriedBy::default();
        let (npm, shell, login) =
            (process(900, 812, "/usr/bin/npm"), process(812, 800, "/usr/bin/bash"), process(800, 1, "/usr/sbin/sshd"));
        for (process, tokens) in [(&login, vec![]), (&shell, vec![token("a")]), (&npm, vec![token("a"), token("b")])] {
            started(&mut carried, process, &tokens);
        }
        let ancestors = [npm.clone(), shell.clone(), login.clone()];
        for (name, said) in [
            ("a", "inherited from /usr/bin/bash (pid 812), into whose environment /usr/sbin/sshd (pid 800) put it"),
            ("b", "inherited from /usr/bin/npm (pid 900), into whose environment /usr/bin/bash (pid 812) put it"),
            ("c", "/usr/bin/npm (pid 900), which started it, was not seen to be started with it"),
        ] {
            assert_eq!(carried.origin(&ancestors, token(name)), said);
        }
        let before = [npm.clone(), shell, Process { origin: Origin::Backfilled, ..login }];
        assert!(carried.origin(&before, token("a")).ends_with("the first in its lineage that is known to have had it"));
        // It starts another program, without them.
        started(&mut carried, &npm, &[]);
        assert!(carried.origin(&before[..1], token("b")).contains("was not seen"), "forgotten");
    }

    fn findings(shapes: &[&str]) -> Vec<Finding> {
        let mut core = Core::new(synthetic::setup(Arc::new(Catalogue::embedded().unwrap())));
        let exec = Exec { time: KernelTime(7), ..synthetic_exec() };
        let (time, process) = (exec.time, exec.task.key);
        let shaped = |shape: &&str| Shaped { shape: (*shape).to_owned(), place: Place::Argument(1) };
        let tokens = shapes.iter().map(shaped).collect();
        let decoded = Decoded { header: Default::default(), observation: Observation::Exec(Box::new(exec)) };
        let mut found = Vec::new();
        for input in [Input::Shaped { time, process, tokens }, Input::Record(Ring::Life, decoded), Input::Drain] {
            core.feed(input, &mut Machine::default(), &mut |output| {
                if let Output::Finding(finding) = output {
                    found.push(*finding);
                }
            });
        }
        found
    }

    fn synthetic_exec() -> Exec {
        use crate::ingest::{
            observation::{Stream, Task},
            texts::Texts,
        };
        let path = std::path::Path::new("/usr/bin/curl");
        Exec {
            time: KernelTime(0),
            task: Task { key: ProcessKey::new(20, 200), uid: 1000, euid: 1000, ..Task::default() },
            executable: Default::default(),
            texts: Texts::new(path, std::path::Path::new("/"), None, ["curl", "<redacted>"], []),
            path_truncated: false,
            cwd_truncated: false,
            args_truncated: false,
            environment_truncated: false,
            output: Stream::Pipe,
        }
    }

    #[test]
    fn what_is_built_like_a_token_is_told_by_the_store_of_its_shape_or_by_its_issuer() {
        let found = findings(&["github-classic", "stripe-live", "no-such-shape"]);
        let ids: Vec<&str> = found.iter().map(|finding| finding.stores[0].id.as_str()).collect();
        assert_eq!(ids.first(), Some(&"gh-hosts"), "{ids:?}");
        assert!(found.iter().all(|finding| finding.severity == Severity::Low && finding.fingerprint.is_none()));
        assert!(found[0].stores[0].revoke.as_ref().is_some_and(|revoke| revoke.contains("github.com/settings")));
        assert!(findings(&[]).is_empty());
    }

    #[test]
    fn what_is_found_beyond_a_record_waits_until_that_is_out() {
        let mut core = Core::new(synthetic::setup(Arc::new(Catalogue::embedded().unwrap())));
        let exec = Exec { time: KernelTime(7), ..synthetic_exec() };
        let (time, process) = (exec.time, exec.task.key);
        let shaped = vec![Shaped { shape: "github-classic".to_owned(), place: Place::Argument(9) }];
        let decoded = Decoded { header: Default::default(), observation: Observation::Exec(Box::new(exec)) };
        let mut told = |input| {
            let mut found = Vec::new();
            core.feed(input, &mut Machine::default(), &mut |output| {
                if let Output::Finding(finding) = output {
                    found.push(finding.headline);
                }
            });
            found
        };
        assert!(told(Input::Record(Ring::Life, decoded)).is_empty());
        let more = More { carried: Vec::new(), shaped };
        assert!(told(Input::More { time, process, more }).is_empty(), "who it is, is not known yet");
        let found = told(Input::Drain);
        assert!(found.len() == 1 && found[0].contains("argument 9 of its command line"), "{found:?}");
        assert!(told(Input::Drain).is_empty(), "once");
    }
}
