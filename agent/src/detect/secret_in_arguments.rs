//! `secret-in-arguments`: a program was started with a token on its command line, or a package's script with one in its
//! environment.
//!
//! A shell that is told `curl -H "Authorization: ..."` starts a program that is told the same: one session tells one token
//! once.

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
    ingest::carried::Place,
    token::fingerprint::Fingerprint,
};

/// Most (session, token) pairs remembered.
const LIMIT: usize = 4096;

/// State of the detector: what was reported within the window.
#[derive(Debug)]
pub struct SecretInArguments {
    reported: Repeats<(u32, Fingerprint)>,
}

impl Default for SecretInArguments {
    fn default() -> Self {
        Self { reported: Repeats::new(LIMIT) }
    }
}

impl SecretInArguments {
    /// The finding for a program that was started with a token, unless it repeats one of the window.
    pub(crate) fn start(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let Target::Service { service: Service::Start { fingerprint, .. }, .. } = &access.target else { return None };
        let session = access.chain.processes.first()?.session;
        let repeated = self.reported.tell(&(session, *fingerprint), access.time)?;
        finding(salt, access, read, repeated)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.reported.evicted()
    }
}

fn finding(salt: &Salt, access: &Access, read: &Unexpected<'_>, repeated: u64) -> Option<Finding> {
    let (reader, store) = (access.chain.processes.first()?, read.stores.first()?);
    let Target::Service { service, .. } = &access.target else { return None };
    let Service::Start { place, fingerprint } = service else { return None };
    let deed = Deed::Start { argument: matches!(place, Place::Argument(_)) };
    let Assessment { severity, mut reasons } = severity::assess(deed, &access.actor, Manner::of(access));
    reasons.extend(read.why.iter().map(|why| visible::text(why)));
    let place = place.words();
    let mut evidence = vec![Evidence::new("token.place", format!("{fingerprint} is in {place}"))];
    if repeated > 0 {
        let text = format!("it was in {repeated} more programs of this session since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let stores: Vec<StoreFacts> = read.stores.iter().map(|store| (*store).clone()).collect();
    let subject = format!("{} {fingerprint} {place}", store.id);
    Some(Finding {
        uid: salt.uid(DetectorId::SecretInArguments, access.time, reader.key, &subject),
        detector: DetectorId::SecretInArguments,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} was started with the token of {} in {place}", words::reader(reader), store.id),
        target: model::Target::Service(service.clone()),
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: Some(Verdict::Unexpected),
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::SecretInArguments, &stores),
        stores,
        fingerprint: Some(fingerprint.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::{
            engine::Engine,
            fixtures::{access_at, process, store, tolerated, under_shell, unexpected},
            judge::Judgement,
        },
        finding::severity::Severity,
        token::fingerprint::Key,
    };

    fn found(engine: &mut Engine, seconds: f64, place: Place, judgement: Judgement) -> Vec<Finding> {
        let fingerprint = Key::new([1; 32]).fingerprint_of(b"made-up");
        let chain = under_shell(process(4242, 812, "/usr/bin/curl"));
        let target = Target::Service { stores: Vec::new(), service: Service::Start { place, fingerprint } };
        engine.access(&access_at(seconds, chain, target), &[judgement]).findings
    }

    #[test]
    fn a_token_on_a_command_line_is_told_once_in_a_session() {
        let (mut engine, gh) = (Engine::new(Salt::new("h", "b")), || store("gh-hosts", "github", 1));
        let findings = found(&mut engine, 0.0, Place::Argument(2), unexpected(gh()));
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.detector, finding.severity), (DetectorId::SecretInArguments, Severity::Medium));
        assert!(finding.headline.contains("argument 2 of its command line"), "{}", finding.headline);
        assert!(finding.fingerprint.as_ref().is_some_and(|text| text.starts_with("th1:")));
        assert!(found(&mut engine, 1.0, Place::Argument(3), unexpected(gh())).is_empty(), "the same session");
        let again = found(&mut engine, 60.5, Place::Argument(3), unexpected(gh()));
        assert!(again[0].evidence.iter().any(|one| one.text.contains("1 more programs")), "{again:?}");
    }

    #[test]
    fn what_policy_tolerates_is_not_told() {
        let mut engine = Engine::new(Salt::new("h", "b"));
        assert!(found(&mut engine, 0.0, Place::Argument(2), tolerated(store("gh-hosts", "github", 1))).is_empty());
    }
}
