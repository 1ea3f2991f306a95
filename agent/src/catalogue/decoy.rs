//! Decoys as the catalogue knows them: a planted file is a store that nobody has a reason to read.

use std::path::{Path, PathBuf};

use super::{Catalogue, model::Store, parse, pattern::Pattern};
use crate::yaml::fields::words;

words! {
    /// What a decoy looks like.
    pub enum DecoyKind {
        /// AWS credentials file.
        Aws = "aws",
        /// SSH private key.
        Ssh = "ssh",
        /// Login of the GitHub command line tool.
        Github = "github",
        /// npm login.
        Npm = "npm",
        /// Kubernetes configuration with a token.
        Kubernetes = "kubernetes",
        /// Docker registry login.
        Docker = "docker",
        /// Google application default credentials.
        Gcloud = "gcloud",
        /// Environment file of an application.
        Env = "env",
    }
}

impl DecoyKind {
    /// What it looks like, in words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Aws => "decoy of an AWS credentials file",
            Self::Ssh => "decoy of an SSH private key",
            Self::Github => "decoy of a GitHub login",
            Self::Npm => "decoy of an npm login",
            Self::Kubernetes => "decoy of a Kubernetes configuration",
            Self::Docker => "decoy of a Docker registry login",
            Self::Gcloud => "decoy of a Google Cloud login",
            Self::Env => "decoy of an application's environment file",
        }
    }
}

/// A planted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoy {
    /// Its id, which findings and policies call it by: `decoy-aws-1`.
    pub id: String,
    /// What it looks like.
    pub kind: DecoyKind,
    /// Where it is.
    pub path: PathBuf,
}

/// What ids of decoys begin with.
pub const PREFIX: &str = "decoy-";

/// Most decoys that are watched; [`crate::decoy`] plants no more.
pub const MAX_DECOYS: usize = 256;

/// Where entries of planted files say they come from.
const FILE: &str = "decoys";

/// Everything of such an entry but id, title, family and path. Nobody is listed as a reader.
const TEMPLATE: &str = "stores:
  - {id: decoy, tool: decoy, vendor: tokenhound, family: decoy, role: decoy, tier: 1, kind: [generic_secret], paths: [/decoy],
     format: plain, reader_scope: narrow, staleness: none, session_scope: none, logout: tokenhound decoy remove,
     verification: source_code, source: planted by tokenhound}
";

impl Catalogue {
    /// The same catalogue with these planted files, instead of those it had.
    #[must_use]
    pub fn with_decoys(&self, decoys: &[Decoy]) -> Self {
        let planted = Path::new(FILE);
        let mut stores: Vec<Store> = self.stores.iter().filter(|store| store.file != planted).cloned().collect();
        // The template is ours; a test reads it.
        let template = parse::parse(planted, TEMPLATE).ok().and_then(|mut parsed| parsed.stores.pop());
        if let Some(template) = template {
            stores.extend(decoys.iter().take(MAX_DECOYS).filter_map(|decoy| entry(&template, decoy)));
        }
        let Ok(matcher) = super::Matcher::new(&stores) else { return self.clone() };
        Self { numbers: super::numbers(&stores), stores, matcher, ..self.clone() }
    }
}

fn entry(template: &Store, decoy: &Decoy) -> Option<Store> {
    Some(Store {
        id: decoy.id.clone(),
        tool: decoy.kind.title().to_owned(),
        family: decoy.kind.name().to_owned(),
        paths: vec![Pattern::below(&decoy.path, "")?],
        ..template.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{
        homes::{EnvOverrides, Homes},
        tests::shipped_catalogue,
    };

    fn decoy(number: u32, path: &str) -> Decoy {
        Decoy { id: format!("decoy-aws-{number}"), kind: DecoyKind::Aws, path: path.into() }
    }

    fn stores(catalogue: &Catalogue, path: &str) -> Vec<String> {
        let homes = Homes::new(["/home/ann".into()]);
        let found = catalogue.stores_for(Path::new(path), &homes, &EnvOverrides::new());
        found.iter().map(|store| store.id.clone()).collect()
    }

    #[test]
    fn a_planted_file_is_a_watched_store_until_it_is_gone() {
        let plain = shipped_catalogue();
        let path = "/home/ann/old [1]/.aws/credentials";
        assert!(stores(plain, path).is_empty());
        let planted = plain.with_decoys(&[decoy(1, path)]);
        assert_eq!(stores(&planted, path), ["decoy-aws-1"]);
        assert!(planted.watch_plan().matches("credentials", ".aws", "old [1]"));
        assert!(planted.watch_plan().scan_roots().len() > plain.watch_plan().scan_roots().len());
        let other = planted.with_decoys(&[decoy(2, "/srv/x/token.txt")]);
        assert!(stores(&other, path).is_empty(), "those before are forgotten");
        assert_eq!(other.stores().len(), plain.stores().len() + 1);
        assert_eq!(other.store("decoy-aws-2").map(|store| store.id.as_str()), Some("decoy-aws-2"));
        assert!(other.with_decoys(&[]).stores().len() == plain.stores().len());
    }
}
