//! Managers of secrets and of infrastructure.

use super::super::{
    Issuer, Loose, Shape,
    build::{Alphabet::*, exact, fixed, some},
};
use crate::catalogue::model::Kind;
use crate::token::model::Lifetime;

const VAULT: Issuer = Issuer {
    name: "HashiCorp Vault",
    revoke: "vault token revoke",
    source: "Vault docs, Tokens: token prefixes hvs., hvb., hvr.",
};
const TERRAFORM: Issuer = Issuer {
    name: "HCP Terraform",
    revoke: "app.terraform.io/app/settings/tokens",
    source: "gitleaks, config/gitleaks.toml: 14 characters, .atlasv1. and 60 to 70",
};
const PULUMI: Issuer = Issuer {
    name: "Pulumi",
    revoke: "app.pulumi.com/account/tokens",
    source: "Pulumi docs, Access tokens: pul- and 40 hex digits",
};
const DOPPLER: Issuer = Issuer {
    name: "Doppler",
    revoke: "doppler configure; dashboard > Tokens",
    source: "Doppler docs, Authentication token formats (dp.pt., dp.st., dp.ct., dp.sa., dp.scim., dp.audit.)",
};
const ONEPASSWORD: Issuer = Issuer {
    name: "1Password",
    revoke: "op service-account; developer tools > service accounts",
    source: "gitleaks, config/gitleaks.toml: ops_ and base64 of JSON; A3- and groups of capitals and digits",
};
const INFRACOST: Issuer = Issuer {
    name: "Infracost",
    revoke: "dashboard > Org settings",
    source: "gitleaks, config/gitleaks.toml: ico- and 32",
};
const PREFECT: Issuer = Issuer {
    name: "Prefect",
    revoke: "app.prefect.cloud/my/api-keys",
    source: "gitleaks, config/gitleaks.toml: pnu_ and 36",
};
const HARNESS: Issuer = Issuer {
    name: "Harness",
    revoke: "profile > My API keys",
    source: "Harness docs, Add and manage API keys (pat., sat.)",
};

pub(super) static SHAPES: &[Shape] = &[
    Shape::new("vault-service", &VAULT, "service token", &["hvs."], &[some(Url, 24, 200)])
        .kind(Kind::SessionToken)
        .lives(Lifetime::Limited),
    Shape::new("vault-batch", &VAULT, "batch token", &["hvb."], &[some(Url, 130, 320)])
        .kind(Kind::SessionToken)
        .lives(Lifetime::Limited),
    Shape::new("vault-recovery", &VAULT, "recovery token", &["hvr."], &[some(Url, 20, 200)]),
    Shape::new("terraform", &TERRAFORM, "API token", &[".atlasv1."], &[some(Url, 60, 70)]).before(exact(Base62, 14)),
    Shape::new("pulumi", &PULUMI, "access token", &["pul-"], &[exact(Hex, 40)]).loose(Loose::Run(20)),
    Shape::new("doppler-personal", &DOPPLER, "personal or CLI token", &["dp.pt.", "dp.ct."], &[some(Base62, 40, 44)])
        .person(),
    Shape::new(
        "doppler-service",
        &DOPPLER,
        "service token",
        &["dp.st.", "dp.sa.", "dp.scim.", "dp.audit."],
        &[some(Dotted, 40, 90)],
    )
    .machine(),
    Shape::new(
        "onepassword-service",
        &ONEPASSWORD,
        "token of a service account",
        &["ops_eyJ"],
        &[some(Base64, 250, 2000)],
    )
    .kind(Kind::ServiceAccountKey)
    .machine(),
    Shape::new(
        "onepassword-key",
        &ONEPASSWORD,
        "secret key of an account",
        &["A3-"],
        &[
            exact(Upper, 6),
            fixed(&["-"]),
            some(Upper, 6, 11),
            fixed(&["-"]),
            exact(Upper, 5),
            fixed(&["-"]),
            exact(Upper, 5),
            fixed(&["-"]),
            exact(Upper, 5),
        ],
    )
    .kind(Kind::GenericSecret)
    .person()
    .loose(Loose::Start(24)),
    Shape::new("infracost", &INFRACOST, "API key", &["ico-"], &[exact(Base62, 32)]).loose(Loose::Run(32)),
    Shape::new("prefect", &PREFECT, "API key", &["pnu_", "pnb_"], &[exact(Base62, 36)]).loose(Loose::Run(20)),
    Shape::new(
        "harness",
        &HARNESS,
        "API key of a user or a service account",
        &["pat.", "sat."],
        &[exact(Url, 22), fixed(&["."]), exact(Base62, 24), fixed(&["."]), exact(Base62, 20)],
    )
    .loose(Loose::Run(22)),
];
