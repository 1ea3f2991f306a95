//! Package and image registries.

use super::super::{
    Issuer, Loose, Shape,
    build::{Alphabet::*, exact, some},
    check::Check,
};
use crate::token::model::Lifetime;

const NPM: Issuer = Issuer {
    name: "npm",
    revoke: "npm token revoke ID",
    source: "GitHub changelog 2021-09-23, npm has a new access token format (checksum as GitHub's)",
};
const PYPI: Issuer = Issuer {
    name: "PyPI",
    revoke: "account settings > API tokens",
    source: "warehouse docs, API tokens: pypi- and a macaroon, whose version and location are AgE...",
};
const CRATES: Issuer = Issuer {
    name: "Rust's package registry",
    revoke: "account settings > API tokens",
    source: "the registry's own source, src/util/token.rs: cio and 32",
};
const RUBYGEMS: Issuer = Issuer {
    name: "RubyGems",
    revoke: "gem signout; profile > API keys",
    source: "RubyGems guides, API key scopes: rubygems_ and 48 hex digits",
};
const NUGET: Issuer = Issuer {
    name: "NuGet",
    revoke: "account > API keys",
    source: "NuGet Gallery docs, API keys: oy2 and 43 small letters and digits",
};
const DOCKER: Issuer = Issuer {
    name: "Docker Hub",
    revoke: "app.docker.com/settings/personal-access-tokens",
    source: "Docker docs, Personal access tokens, Organization access tokens",
};
const JFROG: Issuer = Issuer {
    name: "JFrog Artifactory",
    revoke: "jf atr; user profile > API key",
    source: "gitleaks, config/gitleaks.toml: AKCp and 69 characters; cmVmd (base64 of ref) and 59",
};
const CLOJARS: Issuer = Issuer {
    name: "Clojars",
    revoke: "clojars.org/tokens",
    source: "Clojars wiki, Deploy tokens: CLOJARS_ and 60 hex digits",
};

pub(super) static SHAPES: &[Shape] = &[
    Shape::new("npm", &NPM, "access token", &["npm_"], &[exact(Base62, 36)])
        .lives(Lifetime::Limited)
        .check(Check::Crc32Base62)
        .loose(Loose::Run(20)),
    Shape::new("pypi", &PYPI, "API token", &["pypi-AgE"], &[some(Url, 50, 1000)]),
    Shape::new("crates-io", &CRATES, "API token", &["cio"], &[exact(Base62, 32)])
        .lives(Lifetime::Limited)
        .loose(Loose::Run(32)),
    Shape::new("rubygems", &RUBYGEMS, "API key", &["rubygems_"], &[exact(Hex, 48)]).loose(Loose::Run(20)),
    Shape::new("nuget", &NUGET, "API key", &["oy2"], &[exact(Lower, 43)])
        .lives(Lifetime::Limited)
        .loose(Loose::Run(32)),
    Shape::new("docker-personal", &DOCKER, "personal access token", &["dckr_pat_"], &[some(Url, 27, 32)]).person(),
    Shape::new("docker-organisation", &DOCKER, "organisation access token", &["dckr_oat_"], &[some(Url, 27, 32)])
        .machine(),
    Shape::new("artifactory-key", &JFROG, "API key", &["AKCp"], &[exact(Base62, 69)]),
    Shape::new("artifactory-reference", &JFROG, "reference token", &["cmVmdGtu"], &[exact(Base62, 56)]),
    Shape::new("clojars", &CLOJARS, "deploy token", &["CLOJARS_"], &[exact(Hex, 60)]),
];
