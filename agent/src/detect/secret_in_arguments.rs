//! `secret-in-arguments`: a program was started with a token on its command line, or has one in its environment with which
//! it has no business.
//!
//! A shell that is told `curl -H "Authorization: ..."` starts a program that is told the same: one session tells one token
//! once. What is inherited is told once for each actor as long as it is remembered: it is in everything that it starts.

use tokenhound_common::process::ProcessKey;

use super::{
    access::{Access, Carrying, Inherited, Service, Target},
    engine::Unexpected,
    judge::{StoreFacts, Verdict},
    recent::Recent,
    repeats::Repeats,
    severity::{self, Assessment, Deed, Manner, Start},
    words,
};
use crate::{
    finding::{
        detector::DetectorId,
        model::{self, Evidence, Finding, Remediation, Salt},
        visible,
    },
    ingest::carried::Place,
};

pub mod foreign;

/// Most (session, token) pairs remembered, and as many of (actor, token).
const LIMIT: usize = 4096;

/// State of the detector: what was reported within the window, and for which actors what they inherit.
#[derive(Debug)]
pub struct SecretInArguments {
    reported: Repeats<(u32, Carrying)>,
    inherited: Recent<(ProcessKey, Carrying), bool>,
}

impl Default for SecretInArguments {
    fn default() -> Self {
        Self { reported: Repeats::new(LIMIT), inherited: Recent::new(LIMIT) }
    }
}

impl SecretInArguments {
    /// The finding for a program that was started with a token, unless it repeats one of the window.
    pub(crate) fn start(&mut self, salt: &Salt, access: &Access, read: &Unexpected<'_>) -> Option<Finding> {
        let Target::Service { service: Service::Start { token, inherited, .. }, .. } = &access.target else {
            return None;
        };
        let reader = access.chain.processes.first()?;
        if inherited.is_some() {
            let actor = access.actor.party.process.unwrap_or(reader.key);
            let told = self.inherited.touch(&(actor, *token), access.time, || false);
            return (!std::mem::replace(told, true)).then(|| finding(salt, access, read, 0)).flatten();
        }
        let repeated = self.reported.tell(&(reader.session, *token), access.time)?;
        finding(salt, access, read, repeated)
    }

    /// Entries pushed out because the table was full.
    pub(crate) fn evicted(&self) -> u64 {
        self.reported.evicted() + self.inherited.evicted()
    }
}

/// What was done, for its severity.
fn deed(token: &Carrying, place: &Place, inherited: Option<&Inherited>) -> Start {
    match (token, place, inherited) {
        (Carrying::Shaped(_), _, _) => Start::Shaped,
        (Carrying::Known(_), Place::Variable(_), Some(inherited)) => Start::Inherited(inherited.by),
        (Carrying::Known(_), _, _) => Start::Argument,
    }
}

fn finding(salt: &Salt, access: &Access, read: &Unexpected<'_>, repeated: u64) -> Option<Finding> {
    let (reader, store) = (access.chain.processes.first()?, read.stores.first()?);
    let Target::Service { service, .. } = &access.target else { return None };
    let Service::Start { place, token, inherited } = service else { return None };
    let deed = Deed::Start(deed(token, place, inherited.as_ref()));
    let Assessment { severity, mut reasons } = severity::assess(deed, &access.actor, Manner::of(access));
    reasons.extend(read.why.iter().map(|why| visible::text(why)));
    let place = place.words();
    let (what, which, fingerprint) = match token {
        Carrying::Known(known) => (format!("the token of {}", store.id), known.to_string(), Some(known.to_string())),
        Carrying::Shaped(shape) => (format!("what is built like a {}", shape.words()), shape.id.to_owned(), None),
    };
    let mut evidence = vec![Evidence::new("token.place", format!("{which} is in {place}"))];
    if let Some(inherited) = inherited {
        evidence.push(Evidence::new("token.inherited", visible::text(&inherited.from)));
    }
    if repeated > 0 {
        let text = format!("it was in {repeated} more programs of this session since it was last reported");
        evidence.push(Evidence::new("repeated", text));
    }
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let stores: Vec<StoreFacts> = read.stores.iter().map(|store| (*store).clone()).collect();
    let subject = format!("{} {which} {place}", store.id);
    Some(Finding {
        uid: salt.uid(DetectorId::SecretInArguments, access.time, reader.key, &subject),
        detector: DetectorId::SecretInArguments,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} was started with {what} in {place}", words::reader(reader)),
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
        fingerprint,
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
        token::{fingerprint::Key, shape},
    };

    fn known() -> Carrying {
        Carrying::Known(Key::new([1; 32]).fingerprint_of(b"made-up"))
    }

    fn found(engine: &mut Engine, seconds: f64, place: Place, judgement: Judgement) -> Vec<Finding> {
        let service = Service::Start { place, token: known(), inherited: None };
        started(engine, seconds, service, judgement)
    }

    fn started(engine: &mut Engine, seconds: f64, service: Service, judgement: Judgement) -> Vec<Finding> {
        let chain = under_shell(process(4242, 812, "/usr/bin/curl"));
        let target = Target::Service { stores: Vec::new(), service };
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
    fn what_is_only_built_like_a_token_matters_less_and_has_no_fingerprint() {
        let mut engine = Engine::new(Salt::new("h", "b"));
        let token = Carrying::Shaped(shape::named("github-classic").unwrap());
        let service = Service::Start { place: Place::Argument(1), token, inherited: None };
        let findings = started(&mut engine, 0.0, service, unexpected(store("gh-hosts", "github", 1)));
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.severity, &finding.fingerprint), (Severity::Low, &None));
        assert!(
            finding.headline.contains("built like a personal access token (classic) of GitHub"),
            "{}",
            finding.headline
        );
    }

    #[test]
    fn what_an_actor_inherits_is_told_once_and_where_it_came_from() {
        let mut engine = Engine::new(Salt::new("h", "b"));
        let mut at = |seconds| {
            let inherited = Inherited { by: foreign::Foreign::Package, from: "inherited from bash (pid 812)".into() };
            let place = Place::Variable("GH_TOKEN".to_owned());
            let service = Service::Start { place, token: known(), inherited: Some(inherited) };
            started(&mut engine, seconds, service, unexpected(store("gh-hosts", "github", 1)))
        };
        let findings = at(0.0);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(finding.severity, Severity::Medium);
        assert!(finding.evidence.iter().any(|one| one.text == "inherited from bash (pid 812)"), "{finding:?}");
        assert_eq!(at(100.0).len(), 0, "it is in all that it starts");
    }

    #[test]
    fn what_policy_tolerates_is_not_told() {
        let mut engine = Engine::new(Salt::new("h", "b"));
        assert!(found(&mut engine, 0.0, Place::Argument(2), tolerated(store("gh-hosts", "github", 1))).is_empty());
    }
}
