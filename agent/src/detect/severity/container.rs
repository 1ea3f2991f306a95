//! How much it matters that a token is where a container, or everybody who gets an image, can read it.

use super::{Assessment, up};
use crate::{
    detect::severity::Manner,
    finding::severity::Severity,
    lineage::actor::{Actor, Class},
};

/// How a token is exposed to containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Its store is mounted into one.
    Mounted {
        /// How dangerous the worst store is: 1 to 3.
        tier: u8,
    },
    /// A process in one has read its store.
    Read {
        /// The same.
        tier: u8,
        /// The catalogue or the policy expects the reader.
        expected: bool,
    },
    /// It lies in an image: in a layer, or in what its configuration says.
    Image,
    /// It lies in what a container has written.
    Written,
    /// It lies in a volume that an engine keeps.
    Volume,
    /// It lies in the cache of builds.
    Cache,
}

/// How much `exposure` matters where `actor` is behind it, as far as that is known.
#[must_use]
pub fn exposed(exposure: Exposure, actor: Option<&Actor>) -> Assessment {
    let (severity, reason) = match exposure {
        Exposure::Mounted { tier } if tier <= 1 => {
            (Severity::Medium, "every program in the container can act as the owner of a tier 1 store")
        }
        Exposure::Mounted { .. } => (Severity::Low, "every program in the container can read the token"),
        Exposure::Read { expected: true, .. } => (
            Severity::Low,
            "the store's own kind of tool has read it, but of a container's programs only the name is known",
        ),
        Exposure::Read { tier, .. } if tier <= 1 => {
            (Severity::High, "a program of a container has a token that is enough to act as its owner on the host")
        }
        Exposure::Read { .. } => (Severity::Medium, "a program of a container has a token of the host"),
        Exposure::Image => (
            Severity::High,
            "whoever gets the image gets the token, also where a later layer deletes the file; images are pushed and kept",
        ),
        Exposure::Written => (
            Severity::Medium,
            "it stays there when the program has ended, and goes along when the container is committed",
        ),
        Exposure::Volume => (
            Severity::Medium,
            "every container that is given the volume can read it, and it stays when the containers are gone",
        ),
        Exposure::Cache => {
            (Severity::Medium, "it stays in the cache of builds until that is pruned, and later builds may use it")
        }
    };
    let mut assessment = Assessment { severity, reasons: vec![reason.to_owned()] };
    let Some(actor) = actor else { return assessment };
    if matches!(exposure, Exposure::Mounted { .. }) && actor.at_prompt && actor.class() == Class::Interactive {
        assessment.severity = Severity::Low;
        assessment.reasons.push("a person had it mounted, at the prompt of their own terminal".to_owned());
        return assessment;
    }
    up(actor, Manner::default(), &mut assessment);
    assessment
}
