//! Decoys: believable stores with made-up tokens that nobody has a reason to read. What was planted is on record in the
//! state directory; the agent watches those files, and any read of one is a finding (`detect/decoy_read.rs`).

pub mod content;
pub mod place;
pub mod record;

use std::path::{Path, PathBuf};

use crate::catalogue::{
    Catalogue,
    decoy::{Decoy, DecoyKind, MAX_DECOYS, PREFIX},
    homes::{EnvOverrides, Homes},
};
use record::{Planted, Record};

/// Directory below a home in which decoys are planted unless another is named. Stealers look for names such as
/// `.aws/credentials` in all of a home; no tool looks here.
pub const DIRECTORY: &str = "old-laptop";

/// Where a decoy of this kind lies below that directory.
#[must_use]
pub const fn file_of(kind: DecoyKind) -> &'static str {
    match kind {
        DecoyKind::Aws => ".aws/credentials",
        DecoyKind::Ssh => ".ssh/id_ed25519",
        DecoyKind::Github => ".config/gh/hosts.yml",
        DecoyKind::Npm => "npmrc.bak",
        DecoyKind::Kubernetes => ".kube/config",
        DecoyKind::Docker => ".docker/config.json",
        DecoyKind::Gcloud => ".config/gcloud/application_default_credentials.json",
        DecoyKind::Env => "deploy/prod-env.txt",
    }
}

/// Why a decoy cannot be planted at a place.
#[derive(Debug, thiserror::Error)]
pub enum RefusedPlace {
    /// Not absolute, or not text.
    #[error("plant a decoy at {}: the path must be absolute, without `..`, and UTF-8", .0.display())]
    Path(PathBuf),
    /// A tool keeps its token there.
    #[error(
        "plant a decoy at {}: that is where `{store}` is, and its own tool would raise the alarm; choose another \
         place, or say --in-place if the tool is not used here",
        path.display()
    )]
    RealStore {
        /// The path.
        path: PathBuf,
        /// The store.
        store: String,
    },
    /// There is a decoy already.
    #[error("plant a decoy at {}: `{id}` is there already", path.display())]
    Taken {
        /// The path.
        path: PathBuf,
        /// Which.
        id: String,
    },
    /// The record is full.
    #[error("plant a decoy: there are {MAX_DECOYS} already; remove some with `tokenhound decoy remove`")]
    Full,
}

/// What is to be planted at `path`, if it may be. With `in_place` also where a store of the catalogue is.
///
/// # Errors
/// See [`RefusedPlace`].
pub fn choose(
    kind: DecoyKind,
    path: &Path,
    (catalogue, homes): (&Catalogue, &Homes),
    record: &Record,
    in_place: bool,
) -> Result<Decoy, RefusedPlace> {
    let clean: PathBuf = path.components().collect();
    let plain = clean.components().all(|part| part != std::path::Component::ParentDir);
    if !clean.is_absolute() || !plain || clean.to_str().is_none() || clean.file_name().is_none() {
        return Err(RefusedPlace::Path(path.to_owned()));
    }
    if let Some(planted) = record.planted.iter().find(|planted| planted.path == clean) {
        return Err(RefusedPlace::Taken { path: clean, id: planted.id.clone() });
    }
    if record.planted.len() >= MAX_DECOYS {
        return Err(RefusedPlace::Full);
    }
    let real = catalogue.stores_for(&clean, homes, &EnvOverrides::new());
    if let (Some(store), false) = (real.first(), in_place) {
        return Err(RefusedPlace::RealStore { path: clean, store: store.id.clone() });
    }
    Ok(Decoy { id: free_id(kind, &record.planted), kind, path: clean })
}

fn free_id(kind: DecoyKind, planted: &[Planted]) -> String {
    let id = |number: usize| format!("{PREFIX}{}-{number}", kind.name());
    (1..).map(id).find(|id| planted.iter().all(|planted| planted.id != *id)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::shipped_catalogue;

    fn homes() -> Homes {
        Homes::new(["/home/ann".into()])
    }

    fn at(path: &str, record: &Record, in_place: bool) -> Result<Decoy, RefusedPlace> {
        choose(DecoyKind::Aws, Path::new(path), (shipped_catalogue(), &homes()), record, in_place)
    }

    #[test]
    fn no_tool_knows_the_places_that_are_chosen_by_themselves() {
        for kind in DecoyKind::ALL {
            let path = Path::new("/home/ann").join(DIRECTORY).join(file_of(*kind));
            let chosen = choose(*kind, &path, (shipped_catalogue(), &homes()), &Record::default(), false);
            assert_eq!(chosen.map(|decoy| decoy.path).map_err(|error| error.to_string()), Ok(path));
        }
    }

    #[test]
    fn a_real_place_must_be_asked_for() {
        let real = "/home/ann/.aws/credentials";
        assert!(
            matches!(at(real, &Record::default(), false), Err(RefusedPlace::RealStore { store, .. }) if store == "aws-credentials")
        );
        assert_eq!(at(real, &Record::default(), true).unwrap().id, "decoy-aws-1");
        for path in ["old/.aws/credentials", "/home/ann/x/../.aws/credentials", "/"] {
            assert!(matches!(at(path, &Record::default(), true), Err(RefusedPlace::Path(_))), "{path}");
        }
    }

    #[test]
    fn each_has_its_own_id_and_place() {
        let planted = |id: &str, path: &str| Planted { id: id.into(), path: path.into(), ..Planted::default() };
        let record = Record { planted: vec![planted("decoy-aws-1", "/a/x"), planted("decoy-aws-3", "/a/y")] };
        assert_eq!(at("/a/z", &record, false).unwrap().id, "decoy-aws-2");
        assert!(matches!(at("/a/y", &record, false), Err(RefusedPlace::Taken { id, .. }) if id == "decoy-aws-3"));
        let full = Record { planted: (0..MAX_DECOYS).map(|n| planted("x", &format!("/{n}"))).collect() };
        assert!(matches!(at("/a/z", &full, false), Err(RefusedPlace::Full)));
    }
}
