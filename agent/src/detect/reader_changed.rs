//! `reader-changed`: an expected reader at a place that its user can write is not the program that it was.
//!
//! Such a reader is accepted at first use, with what its file holds. A file of another content read the store under the same
//! name: an update, or somebody who replaced the tool. It is told once; then the new content is what is remembered.

use super::{
    access::{Access, ReaderChange},
    judge::StoreFacts,
    severity::{self, Assessment, Deed, Manner},
    words,
};
use crate::finding::{
    detector::DetectorId,
    model::{self, Evidence, Finding, Remediation, Salt},
    visible,
};

/// The finding for a read by a reader that has changed.
pub(crate) fn read(salt: &Salt, access: &Access, stores: &[&StoreFacts]) -> Option<Finding> {
    let ReaderChange { path, before, now } = access.reader_change.as_ref()?;
    let (reader, store) = (access.chain.processes.first()?, stores.first()?);
    let Assessment { severity, reasons } = severity::assess(Deed::Changed, &access.actor, Manner::of(access));
    let shown = visible::path(path);
    let mut evidence = vec![Evidence::new(
        "reader.changed",
        format!("{shown} held BLAKE3 {before} when it read a store last, and holds {now} now"),
    )];
    evidence.extend(words::reader_evidence(&access.chain, access.user_name.as_deref()));
    let stores: Vec<StoreFacts> = stores.iter().map(|store| (*store).clone()).collect();
    Some(Finding {
        uid: salt.uid(DetectorId::ReaderChanged, access.time, reader.key, &format!("{} {shown} {now}", store.id)),
        detector: DetectorId::ReaderChanged,
        severity,
        reasons,
        time: access.time,
        wall: access.wall,
        headline: format!("{} is not what it was, and read {}", words::reader(reader), store.id),
        target: model::Target::of(&access.target)?,
        chain: Some(access.chain.clone()),
        actor: Some(access.actor.clone()),
        user_name: access.user_name.clone(),
        evidence,
        verdict: None,
        tier: Some(access.tier),
        latency: None,
        remediation: Remediation::of(DetectorId::ReaderChanged, &stores),
        stores,
        fingerprint: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::{
            engine::Engine,
            fixtures::{expected, process, read_at, store, under_shell, unexpected},
            judge::Judgement,
        },
        finding::severity::Severity,
        lineage::package::Digest,
    };

    fn found(changed: bool, judgement: Judgement) -> Vec<Finding> {
        let chain = under_shell(process(4242, 812, "/home/ann/.local/bin/aws"));
        let mut access = read_at(0.0, chain, "/home/ann/.aws/credentials");
        let path = "/home/ann/.local/bin/aws".into();
        access.reader_change = changed.then_some(ReaderChange { path, before: Digest([1; 32]), now: Digest([2; 32]) });
        Engine::new(Salt::new("h", "b")).access(&access, &[judgement]).findings
    }

    #[test]
    fn a_changed_reader_is_told_and_one_that_is_what_it_was_is_not() {
        let aws = || store("aws-credentials", "aws", 1);
        let findings = found(true, expected(aws()));
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!((finding.detector, finding.severity), (DetectorId::ReaderChanged, Severity::Medium));
        assert!(finding.evidence.iter().any(|one| one.text.contains(&"02".repeat(32))), "{:?}", finding.evidence);
        assert!(found(false, expected(aws())).is_empty());
        let stranger = found(true, unexpected(aws()));
        assert!(stranger.iter().all(|finding| finding.detector == DetectorId::UnexpectedReader), "{stranger:?}");
    }
}
