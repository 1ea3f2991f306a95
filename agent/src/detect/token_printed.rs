//! `token-printed`: a store's own program was started to print the token, for a parent that the store does not expect.
//!
//! What prints is the right program, so neither the program nor the store says much: who asked, and where the output goes,
//! does. A person who asks at their own terminal and sees the answer there is no finding, nor is an output that goes nowhere.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Service, Target},
    engine::Unexpected,
    judge::{StoreFacts, Verdict},
    repeats::Repeats,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::observation::Stream,
};

/// Most (parent, store, command) triples remembered.
const LIMIT: usize = 4096;

/// State of the detector: what was reported within the window.
#[derive(Debug)]
pub struct TokenPrinted {
    reported: Repeats<(ProcessKey, String, Stream)>,
}

impl Default for TokenPrinted {
    fn default() -> Self {
        Self { reported: Repeats::new(LIMIT) }
    }
}

impl TokenPrinted {
    /// The finding for a token that is printed, unless it is of no interest or repeats one of the window.
    pub(crate) fn print(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let Target::Service { service: Service::Print { command, output }, .. } = &access.target else { return None };
        let (printer, store) = (access.chain.processes.first()?, read.stores.first()?);
        let shown = *output == Stream::Terminal && access.actor.at_prompt;
        if *output == Stream::Nowhere || shown {
            return None;
        }
        let key = (printer.parent.unwrap_or(printer.key), format!("{} {command}", store.id), *output);
        let repeated = self.reported.tell(&key, access.time)?;
        finding(salt, access, read, repeated)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.reported.evicted()
    }
}

fn finding(salt: &Salt, access: &Access, read: &Unexpected<'_>, repeated: u64) -> Option<Finding> {
    let (printer, store) = (access.chain.processes.first()?, read.stores.first()?);
    let Target::Service { service, .. } = &access.target else { return None };
    let Service::Print { command, output } = service else { return None };
    let deed = Deed::Print { output: *output, weak: read.weak };
    let Assessment { severity, mut reasons } = severity::assess(deed, &access.actor, Manner::of(access));
    reasons.extend(read.why.iter().map(|why| visible::text(why)));
    let parent = access.chain.processes.get(1);
    let asked = parent.map_or_else(|| "a process that is not known".to_owned(), words::reader);
    let mut evidence = vec![
        Evidence::new("print.command", format!("{} was told `{command}`", words::reader(printer))),
        Evidence::new("print.asked_by", asked.clone()),
        Evidence::new("print.output", words::where_output_goes(*output)),
    ];
    if repeated > 0 {
        let text = format!("the same parent asked {repeated} more times since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let stores: Vec<StoreFacts> = read.stores.iter().map(|store| (*store).clone()).collect();
    Some(Finding {
        uid: salt.uid(DetectorId::TokenPrinted, access.time, printer.key, &format!("{} {command}", store.id)),
        detector: DetectorId::TokenPrinted,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{asked} had {} print a token (`{command}`, {})", words::reader(printer), store.id),
        target: model::Target::Service(service.clone()),
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::TokenPrinted, &stores),
        stores,
        fingerprint: None,
    })
}
