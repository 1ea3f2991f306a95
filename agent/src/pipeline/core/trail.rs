//! What is written down of a token's way: every access, expected or not, as rows for the history. Pure.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Core, Output};
use crate::{
    detect::{
        access::{Access, Carrying, Service, Target},
        judge::{Expectation, Judgement, Verdict},
        lifecycle::Lifecycle,
    },
    finding::visible,
    history::model::{ANCESTORS, Accessed, Ancestor, TOKENS, Way},
    ingest::observation::OpenMode,
    lineage::model::{Process, Script},
    token::fingerprint::Fingerprint,
};

impl Core {
    /// Somebody got at a token, or at whoever keeps it. Writes are no accesses: who wrote is the origin of the token.
    pub(super) fn note_access(
        &mut self,
        access: &Access,
        judgements: &[Judgement],
        verdicts: &[(String, Verdict)],
        out: &mut dyn FnMut(Output),
    ) {
        let Some(reader) = access.chain.processes.first() else { return };
        let time = Timestamp::try_from(access.wall).unwrap_or(Timestamp::UNIX_EPOCH);
        let Some((way, what, tokens)) = what(access, &self.lifecycle) else { return };
        self.provenance.held(access, &tokens);
        let of_services: Vec<(String, Verdict)>;
        let verdicts = match &access.target {
            Target::Service { .. } => {
                of_services = judgements.iter().map(|one| (one.store.id.clone(), verdict(&one.expectation))).collect();
                &of_services
            }
            Target::Store { .. } | Target::Process(..) | Target::Copy { .. } => verdicts,
        };
        for (store, verdict) in verdicts {
            out(Output::Access(Box::new(Accessed {
                way,
                store: store.clone(),
                what: what.clone(),
                verdict: *verdict,
                actor: access.actor.class(),
                uid: reader.uid,
                user: access.user_name.clone(),
                program: reader.executable.path.clone(),
                script: script(reader),
                container: container(reader),
                lineage: access.chain.processes.iter().skip(1).take(ANCESTORS).map(ancestor).collect(),
                process: reader.key,
                time,
                tokens: tokens.clone(),
            })));
        }
    }
}

fn verdict(expectation: &Expectation) -> Verdict {
    match expectation {
        Expectation::Expected { .. } => Verdict::Expected,
        Expectation::Tolerated { .. } => Verdict::Tolerated,
        Expectation::Unexpected { .. } => Verdict::Unexpected,
    }
}

/// How, at what, and which tokens those were, as far as is known.
fn what(access: &Access, lifecycle: &Lifecycle) -> Option<(Way, PathBuf, Vec<Fingerprint>)> {
    match &access.target {
        Target::Store { path, known_as, mode: OpenMode { read: true, .. }, .. } => {
            let path = known_as.as_ref().unwrap_or(path);
            let tokens = lifecycle.below(path).map(|token| token.known.fingerprint).take(TOKENS).collect();
            Some((Way::Read, path.clone(), tokens))
        }
        Target::Store { .. } | Target::Process(..) | Target::Copy { .. } => None,
        Target::Service { stores, service } => match service {
            Service::Print { command, .. } => {
                let tokens = of_home(lifecycle, stores, access.home.as_deref());
                Some((Way::Printed, command.into(), tokens))
            }
            Service::Start { place, token: Carrying::Known(fingerprint), .. } => {
                Some((Way::Carried, place.words().into(), vec![*fingerprint]))
            }
            // Of what is only built like a token nothing can be followed.
            Service::Start { token: Carrying::Shaped(_), .. } => None,
            Service::Socket { path, known_as } => {
                Some((Way::Connected, known_as.as_ref().unwrap_or(path).clone(), Vec::new()))
            }
            Service::Address { .. } | Service::Egress { .. } => {
                Some((Way::Connected, service.words().into(), Vec::new()))
            }
        },
    }
}

/// Tokens of these stores in a home: what a tool of that user can print.
fn of_home(lifecycle: &Lifecycle, stores: &[String], home: Option<&Path>) -> Vec<Fingerprint> {
    let Some(home) = home else { return Vec::new() };
    let own = lifecycle.tokens().filter(|token| stores.contains(&token.known.store));
    own.filter(|token| token.known.path.starts_with(home)).map(|token| token.known.fingerprint).take(TOKENS).collect()
}

/// Runtime and id of the container it runs in.
pub(super) fn container(process: &Process) -> Option<String> {
    process.container.as_ref().map(|one| format!("{} {}", one.runtime, one.id))
}

/// What it interprets.
pub(super) fn script(process: &Process) -> Option<String> {
    match process.script.as_ref()? {
        Script::File { path, .. } => Some(visible::path(path)),
        Script::Module(name) => Some(format!("module {}", visible::text(name))),
        Script::Inline => Some("code from its command line or standard input".to_owned()),
    }
}

fn ancestor(process: &Process) -> Ancestor {
    let program = process.script_path().unwrap_or(&process.executable.path);
    let program = if program.as_os_str().is_empty() { process.name().into() } else { program.to_owned() };
    Ancestor { pid: process.key.tgid, program: visible::path(&program) }
}
