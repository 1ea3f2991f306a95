//! Entries of the outbox for tests of sinks.

use jiff::Timestamp;

use super::{Item, Kind};
use crate::finding::{
    model::Finding,
    ocsf::{self, Host},
    visible,
};

/// As the outbox gives it out.
pub(crate) fn item(id: i64, finding: &Finding) -> Item {
    Item {
        id,
        kind: Kind::Finding,
        uid: finding.uid.clone(),
        time: Timestamp::try_from(finding.wall).unwrap(),
        severity: finding.severity,
        detector: finding.detector.name().to_owned(),
        title: visible::text(&finding.headline),
        body: ocsf::line(finding, &Host::default()),
    }
}
