//! What an incident takes from a finding, and whether that finding still goes out by itself.

use jiff::{SignedDuration, Timestamp};

use super::{
    model::{Alike, COMMANDS, Incident, Key, SAMPLES, Sample, Tally, Who, reader, short},
    notice::{News, Told},
    place::Place,
    severity,
};
use crate::{
    detect::{access::Service, words},
    finding::{
        detector::DetectorId,
        model::{Finding, Target},
        text, visible,
    },
    lineage::{
        actor::{Class, Detail},
        model::Process,
    },
};

/// Of findings that look the same, beyond the first few, one in this time goes out; the others are counted in the incident.
pub(super) const ONE_IN: SignedDuration = SignedDuration::from_mins(1);

/// Most looks that are told apart in one incident; what goes beyond looks like its detector.
pub(super) const LOOKS: usize = 64;

impl Incident {
    /// One that begins with `finding`, which it has not taken in yet.
    pub(super) fn new(finding: &Finding, key: Key, place: Place, at: Timestamp) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 incident id");
        hasher.update(finding.uid.as_bytes());
        let who = if key == Key::Many { many() } else { who(finding) };
        Self {
            uid: hasher.finalize().to_hex()[..32].to_owned(),
            key,
            place,
            roots: Vec::new(),
            opened: at,
            last: at,
            closed: None,
            severity: finding.severity,
            reasons: Vec::new(),
            worst: sample(finding, at),
            kinds: severity::Kinds::default(),
            who,
            findings: 0,
            summarised: 0,
            covered: 0,
            detectors: Tally::default(),
            summarised_by: Tally::default(),
            stores: Tally::default(),
            read: Tally::default(),
            readers: Tally::default(),
            paths: Tally::default(),
            copies: Tally::default(),
            copied: Tally::default(),
            destinations: Tally::default(),
            tokens: Tally::default(),
            commands: Vec::new(),
            samples: Vec::new(),
            alike: Vec::new(),
            told: Told::default(),
        }
    }

    /// Takes a finding in; true where it goes out by itself as well, as the first `alike` that look the same do. `covered`:
    /// nobody is told because of it.
    pub(super) fn absorb(&mut self, finding: &Finding, at: Timestamp, covered: bool, alike: u64) -> bool {
        let is_new = self.findings == 0;
        self.findings += 1;
        self.covered += u64::from(covered);
        (self.opened, self.last) = (self.opened.min(at), self.last.max(at));
        let before = self.severity;
        self.weigh(finding, at);
        let joined = self.tell_apart(finding);
        let news = if is_new || self.severity > before {
            News::Urgent
        } else if joined {
            News::Joined
        } else {
            News::More
        };
        let pace = if covered { &mut self.told.hushed } else { &mut self.told.sent };
        pace.add(news);
        let (known, fits) = self.looks(finding, at, alike);
        let whole = fits || news > News::More;
        if !whole {
            self.summarised += 1;
            self.summarised_by.add(finding.detector.name());
        } else if !known && self.samples.len() < SAMPLES {
            self.samples.push(sample(finding, at));
        }
        whole
    }

    fn weigh(&mut self, finding: &Finding, at: Timestamp) {
        if finding.severity > self.worst.severity {
            self.worst = sample(finding, at);
        }
        self.kinds.add(finding.detector, finding.severity);
        (self.severity, self.reasons) = severity::assess(self.worst.severity, &self.worst.detector, self.kinds);
    }

    /// Counts by everything that has a name; true where a detector or a store is new.
    fn tell_apart(&mut self, finding: &Finding) -> bool {
        let mut joined = self.detectors.add(finding.detector.name());
        let reads = severity::is_read(finding.detector);
        for store in &finding.stores {
            joined |= self.stores.add(&store.id);
            if reads {
                self.read.add(&store.id);
            }
        }
        if let Some(process) = finding.reader() {
            self.readers.add(&reader(process));
        }
        if let Some(token) = &finding.fingerprint {
            self.tokens.add(token);
        }
        if finding.detector == DetectorId::TokenCopied {
            let subject = finding.fingerprint.as_deref().or(finding.stores.first().map(|store| store.id.as_str()));
            self.copied.add(subject.unwrap_or("unknown"));
        }
        self.paths(finding);
        for command in &finding.remediation.commands {
            if self.commands.len() < COMMANDS && !self.commands.contains(command) {
                self.commands.push(command.clone());
            }
        }
        joined
    }

    fn paths(&mut self, finding: &Finding) {
        let name = short(&match &finding.target {
            Target::File { path, .. } => visible::path(path),
            other => text::target(other),
        });
        self.paths.add(&name);
        if finding.detector == DetectorId::TokenCopied {
            self.copies.add(&name);
        }
        if let Target::Service(Service::Egress { address, port, name, .. }) = &finding.target {
            let place = core::net::SocketAddr::new(*address, *port);
            let called = name.as_ref().map(|name| format!(" ({})", visible::text(&name.name))).unwrap_or_default();
            self.destinations.add(&short(&format!("{place}{called}")));
        }
    }

    /// Whether one that looks the same came before, and whether this one is stored whole.
    fn looks(&mut self, finding: &Finding, at: Timestamp, alike: u64) -> (bool, bool) {
        let mut same = look(finding, true);
        if !self.alike.iter().any(|one| one.same == same) && self.alike.len() >= LOOKS {
            same = look(finding, false);
        }
        match self.alike.iter_mut().find(|one| one.same == same) {
            Some(one) => {
                one.count += 1;
                let fits = one.count <= alike || at.duration_since(one.stored) >= ONE_IN;
                if fits {
                    one.stored = at;
                }
                (true, fits)
            }
            None => {
                self.alike.push(Alike { same, count: 1, stored: at });
                (false, true)
            }
        }
    }
}

/// What findings that look the same have in common.
fn look(finding: &Finding, exact: bool) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("tokenhound 2026 incident look");
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(finding.detector.name());
    if exact {
        part(finding.severity.name());
        part(&finding.reader().map(reader).unwrap_or_default());
        for store in &finding.stores {
            part(&store.id);
        }
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn sample(finding: &Finding, at: Timestamp) -> Sample {
    Sample {
        uid: finding.uid.clone(),
        detector: finding.detector.name().to_owned(),
        severity: finding.severity,
        headline: visible::text(&finding.headline),
        time: at,
    }
}

/// Too many at once to tell them apart.
fn many() -> Who {
    Who { name: "many processes that have nothing in common".to_owned(), ..Who::default() }
}

/// Who did it, for display.
fn who(finding: &Finding) -> Who {
    // No process acted: what happened says it all.
    let Some((_, process)) = Place::of(finding) else { return Who::default() };
    let reader = finding.reader().unwrap_or(process);
    let user = || format!("uid {}", reader.uid);
    Who {
        name: short(&called(finding, process)),
        pid: Some(process.key.tgid),
        user: Some(finding.user_name.as_deref().map_or_else(user, visible::text)),
        class: finding.actor.as_ref().map(|actor| actor.class().name().to_owned()),
        container: reader.container.as_ref().map(words::container_name),
    }
}

fn called(finding: &Finding, process: &Process) -> String {
    let program = reader(process);
    let Some(actor) = &finding.actor else { return program };
    let party = &actor.party;
    let detail = |wanted| party.details.iter().find(|(name, _)| *name == wanted).map(|(_, value)| visible::text(value));
    let name = visible::text(&party.name);
    match actor.class() {
        Class::PackageScript => match (detail(Detail::Package), detail(Detail::Script)) {
            (Some(package), Some(script)) => format!("{name}, running {script} of package {package}"),
            (Some(package), None) => format!("{name}, running code of package {package}"),
            _ => format!("{name}, running code of a package"),
        },
        Class::AiAgent => format!("AI agent {name}"),
        Class::Ide => format!("editor {name}"),
        Class::CiJob => match finding.ci() {
            Some(ci) => format!("a step of {}", visible::text(&ci.to_string())),
            None => format!("a job of {name}"),
        },
        Class::Automation => format!("{program} of {name}"),
        Class::Interactive | Class::Container | Class::Unknown => program,
    }
}
