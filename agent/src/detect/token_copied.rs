//! `token-copied`: a token was found in a file that is no store of it, right after the file was written.
//!
//! Where it lies is certain: the bytes were compared by hash. Who put it there is whoever wrote the file last before it was looked
//! into. The same token in the same file is told once, and again only when it was gone in between or a day later.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Copied},
    judge::{StoreFacts, Verdict},
    lifecycle::report::{Moment, file},
    recent::Recent,
    severity::{self, Assessment, Deed, Manner, Spot},
    words,
};
use crate::{
    copies::{
        model::{Copy, Git, Why},
        place,
    },
    finding::{
        detector::DetectorId,
        model::{Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::observation::KernelTime,
    lineage::actor::Actor,
    token::{fingerprint::Fingerprint, scan::Encoding},
};

/// Most files remembered.
const LIMIT: usize = 16_384;

/// Most tokens remembered of one file.
const TOKENS: usize = 64;

/// How long the same token in the same file is not told again.
const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// State of the detector: what was told of which file.
#[derive(Debug)]
pub struct TokenCopied {
    told: Recent<PathBuf, BTreeMap<Fingerprint, Told>>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: KernelTime,
    repeated: u64,
}

impl Default for TokenCopied {
    fn default() -> Self {
        Self { told: Recent::new(LIMIT) }
    }
}

impl TokenCopied {
    /// These were told of a file before the agent started, at `time`.
    pub(crate) fn restore(&mut self, path: &Path, tokens: &[Fingerprint], time: KernelTime) {
        let before = |token: &Fingerprint| (*token, Told { at: time, repeated: 0 });
        let told = tokens.iter().take(TOKENS).map(before).collect();
        *self.told.touch(&path.to_owned(), time, BTreeMap::new) = told;
    }

    /// A file was looked into as a whole: what is not in it any more is news when it comes back.
    pub(crate) fn holds(&mut self, path: &Path, tokens: &[Fingerprint]) {
        let key = path.to_owned();
        let Some(told) = self.told.get(&key) else { return };
        if told.keys().all(|known| tokens.contains(known)) {
            return;
        }
        let left: BTreeMap<_, _> =
            told.iter().filter(|(known, _)| tokens.contains(known)).map(|(known, told)| (*known, *told)).collect();
        let last = left.values().map(|told| told.at).max();
        self.told.forget(&key);
        if let Some(last) = last {
            self.told.touch(&key, last, || left);
        }
    }

    /// The finding for a file in which tokens were found, unless all of them were told of it. `who` wrote it, where that is known.
    pub(crate) fn copied(
        &mut self,
        salt: &Salt,
        copied: &Copied,
        stores: &[StoreFacts],
        who: Option<&Access>,
        moment: Moment,
    ) -> Option<Finding> {
        let told = self.told.touch(&copied.path, moment.time, BTreeMap::new);
        let (mut new, mut repeated) = (Vec::new(), 0);
        for (copy, places) in &copied.copies {
            match told.get_mut(&copy.fingerprint) {
                Some(told) if moment.time.0.saturating_sub(told.at.0) < DAY_NS => told.repeated += 1,
                Some(told) => {
                    repeated += told.repeated;
                    *told = Told { at: moment.time, repeated: 0 };
                    new.push((copy, places));
                }
                None => {
                    if told.len() < TOKENS {
                        told.insert(copy.fingerprint, Told { at: moment.time, repeated: 0 });
                    }
                    new.push((copy, places));
                }
            }
        }
        let (first, _) = new.first()?;
        let fingerprint = first.fingerprint;
        Some(finding(salt, copied, (&new, fingerprint), repeated, stores, who, moment))
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.told.evicted()
    }
}

fn finding(
    salt: &Salt,
    copied: &Copied,
    (new, fingerprint): (&[(&Copy, &Vec<PathBuf>)], Fingerprint),
    repeated: u64,
    stores: &[StoreFacts],
    who: Option<&Access>,
    moment: Moment,
) -> Finding {
    let spot = Spot {
        place: copied.place,
        git: copied.facts.git,
        open: copied.facts.mode & 0o004 != 0,
        along: copied.along,
        beside: copied.beside,
    };
    let nobody = Actor::default();
    let actor = who.map_or(&nobody, |access| &access.actor);
    let Assessment { severity, reasons } =
        severity::assess(Deed::Copy(spot), actor, who.map(Manner::of).unwrap_or_default());
    let reader = who.and_then(|access| access.chain.processes.first());
    let writer = reader.map_or_else(|| "A process that is not known".to_owned(), words::reader);
    let ids: Vec<&str> = stores.iter().map(|store| store.id.as_str()).collect();
    let tokens = if new.len() == 1 { "the token".to_owned() } else { format!("{} tokens", new.len()) };
    let path = visible::path(&copied.path);
    let mut evidence: Vec<Evidence> =
        new.iter().map(|(copy, places)| Evidence::new("copy.token", of_token(copy, places))).collect();
    evidence.push(Evidence::new("copy.place", of_place(copied)));
    evidence.extend(about(copied, repeated));
    if let Some(access) = who {
        evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    }
    let mut remediation = Remediation::of(DetectorId::TokenCopied, stores);
    let advice = if copied.facts.git == Git::Tracked { place::TRACKED } else { copied.place.advice() };
    remediation.steps.insert(0, format!("For {}: {advice}.", copied.place.words()));
    let key = reader.map_or_else(ProcessKey::default, |reader| reader.key);
    Finding {
        uid: salt.uid(DetectorId::TokenCopied, moment.time, key, &format!("{fingerprint} {path}")),
        detector: DetectorId::TokenCopied,
        severity,
        reasons,
        time: moment.time,
        wall: moment.wall,
        headline: format!("{writer} put {tokens} of {} into {path}, {}", ids.join(" and "), copied.place.words()),
        target: file(&copied.path),
        chain: who.map(|access| access.chain.clone()),
        actor: who.map(|access| access.actor.clone()),
        user_name: who.and_then(|access| access.user_name.clone()),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: who.map(|access| access.tier),
        latency: None,
        remediation,
        stores: stores.to_vec(),
        fingerprint: Some(fingerprint.to_string()),
    }
}

/// Which token, and how it stands there.
fn of_token(copy: &Copy, places: &[PathBuf]) -> String {
    let stores: Vec<String> = places.iter().map(|place| visible::path(place)).collect();
    let how = match copy.encoding {
        Encoding::Raw => "as it is".to_owned(),
        encoding => format!("written as {}", encoding.name()),
    };
    let mut text = format!("{} of {}, {how}", copy.fingerprint, stores.join(" and "));
    if let Some(member) = &copy.member {
        text.push_str(&format!(", in {member}"));
    }
    if let Some(line) = copy.line {
        text.push_str(&format!(", line {line}"));
    }
    if copy.times > 1 {
        text.push_str(&format!(", {} times", copy.times));
    }
    text
}

fn of_place(copied: &Copied) -> String {
    let facts = &copied.facts;
    let mut text = format!("{} ({}), mode {:04o}", copied.place.words(), copied.place.name(), facts.mode);
    let git = match facts.git {
        Git::Outside => "",
        Git::Tracked => ", part of a git repository",
        Git::Untracked => ", in a git work tree and not ignored",
        Git::Ignored => ", in a git work tree and ignored",
    };
    text.push_str(git);
    if let Some(network) = &facts.network {
        text.push_str(&format!(", on a file system of another machine ({network})"));
    }
    if let Some(by) = &facts.synced {
        text.push_str(&format!(", carried to other machines by {by}"));
    }
    if let Some(engine) = &facts.layer {
        text.push_str(&format!(", in the storage of {engine}"));
    }
    text
}

/// Why it was looked into, how sure it is, and what else is known.
fn about(copied: &Copied, repeated: u64) -> Vec<Evidence> {
    let why = match (&copied.why, &copied.carrier) {
        (Why::Marked { .. }, Some(carrier)) => {
            format!("its writer belongs to the lineage of {carrier}, which had a token")
        }
        (Why::Marked { .. }, None) => {
            "its writer had a token: it had read a store, or what such a program wrote".to_owned()
        }
        (Why::Named { .. }, _) => {
            "its writer has it on its command line, and was started beside a program that read a store".to_owned()
        }
        (Why::History, _) => "histories are looked into whoever writes them".to_owned(),
        (Why::Log, _) => "logs are looked into whoever writes them".to_owned(),
        (Why::Container(name), _) => format!("it belongs to the container or image {name}"),
        (Why::Held, _) => "a token was found in it before".to_owned(),
    };
    let mut evidence = vec![
        Evidence::new("copy.looked_into", why),
        Evidence::new(
            "copy.certain",
            "the file holds the bytes of the token, compared by a keyed hash; no guess by shape",
        ),
    ];
    if copied.more > 0 {
        evidence.push(Evidence::new("copy.more", format!("{} more copies are in it", copied.more)));
    }
    if !copied.others.is_empty() {
        let text =
            format!("written at the same time by {}: one of them may have put it there", copied.others.join(", "));
        evidence.push(Evidence::new("copy.writers", text));
    }
    if repeated > 0 {
        let text = format!("the file was written {repeated} more times with it since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence
}
