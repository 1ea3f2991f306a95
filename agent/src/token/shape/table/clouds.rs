//! Clouds and platforms.

use super::super::{
    Issuer, Loose, Shape,
    build::{Alphabet::*, exact, fixed, some},
};
use crate::catalogue::model::Kind;
use crate::token::model::Lifetime;

const AWS: Issuer = Issuer {
    name: "AWS",
    revoke: "aws iam delete-access-key; of temporary ones the role's AWSRevokeOlderSessions policy",
    source: "AWS IAM user guide, IAM identifiers: unique ID prefixes; Bedrock user guide, API keys (ABSK)",
};

const GOOGLE: Issuer = Issuer {
    name: "Google",
    revoke: "gcloud auth revoke; Google Cloud console > APIs and services > Credentials",
    source: "Google Cloud docs, Authentication: API keys, tokens overview; lengths as in gitleaks, config/gitleaks.toml",
};

const ENTRA: Issuer = Issuer {
    name: "Microsoft Entra ID",
    revoke: "az ad app credential delete",
    source: "Microsoft Purview docs, Azure AD client secret entity definition",
};

const DIGITALOCEAN: Issuer = Issuer {
    name: "DigitalOcean",
    revoke: "cloud.digitalocean.com/account/api/tokens",
    source: "DigitalOcean API docs, Authentication: prefixes dop_v1_, doo_v1_, dor_v1_",
};

const HEROKU: Issuer = Issuer {
    name: "Heroku",
    revoke: "heroku authorizations:revoke",
    source: "Heroku changelog 2024, HRKU- prefix for tokens",
};

const FLY: Issuer = Issuer {
    name: "Fly.io",
    revoke: "fly tokens revoke",
    source: "superfly/macaroon README (fm1, fm2); superfly/flyctl (fo1)",
};

const CLOUDFLARE: Issuer = Issuer {
    name: "Cloudflare",
    revoke: "dash.cloudflare.com/profile/api-tokens",
    source: "Cloudflare docs, Fundamentals: token formats; Origin CA keys",
};

const VERCEL: Issuer =
    Issuer { name: "Vercel", revoke: "vercel.com/account/tokens", source: "Vercel changelog 2026, token formats" };

const NETLIFY: Issuer = Issuer {
    name: "Netlify",
    revoke: "app.netlify.com/user/applications",
    source: "Netlify docs, API: access tokens (nfp_)",
};

const PLANETSCALE: Issuer = Issuer {
    name: "PlanetScale",
    revoke: "pscale service-token delete; pscale password delete",
    source: "PlanetScale docs, Service tokens, Passwords",
};

const SUPABASE: Issuer = Issuer {
    name: "Supabase",
    revoke: "supabase.com/dashboard/account/tokens",
    source: "Supabase docs, Management API; API keys (sb_secret_)",
};

const NEON: Issuer =
    Issuer { name: "Neon", revoke: "neonctl api-keys; console.neon.tech", source: "entry neonctl of the catalogue" };

const DATABRICKS: Issuer = Issuer {
    name: "Databricks",
    revoke: "databricks tokens delete",
    source: "databricks docs, Personal access tokens; lengths as in gitleaks, config/gitleaks.toml",
};

const MONGODB: Issuer = Issuer {
    name: "MongoDB Atlas",
    revoke: "atlas serviceAccounts; Organization > Applications",
    source: "MongoDB Atlas docs, Service accounts (mdb_sa_sk_)",
};

const OPENSHIFT: Issuer = Issuer {
    name: "OpenShift",
    revoke: "oc logout",
    source: "openshift/oauth-server: tokens sha256~ and 32 random bytes",
};

const TAILSCALE: Issuer = Issuer {
    name: "Tailscale",
    revoke: "login.tailscale.com/admin/settings/keys",
    source: "Tailscale docs, Key and secret formats (tskey-)",
};

pub(super) static SHAPES: &[Shape] = &[
    Shape::new("aws-access-key", &AWS, "id of a permanent access key", &["AKIA"], &[exact(Base32, 16)]),
    Shape::new("aws-session-key", &AWS, "id of a temporary access key", &["ASIA"], &[exact(Base32, 16)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Ephemeral),
    Shape::new("aws-bearer", &AWS, "service bearer token", &["ABIA", "ACCA"], &[exact(Base32, 16)])
        .loose(Loose::Start(12)),
    Shape::new("aws-bedrock", &AWS, "Bedrock API key", &["ABSK"], &[some(Base64, 109, 280)]).lives(Lifetime::Limited),
    Shape::new("google-api-key", &GOOGLE, "API key", &["AIza"], &[exact(Url, 35)]),
    Shape::new("google-access", &GOOGLE, "OAuth access token", &["ya29."], &[some(Dotted, 40, 1100)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Ephemeral),
    Shape::new("google-refresh", &GOOGLE, "OAuth refresh token", &["1//0"], &[some(Url, 40, 500)])
        .kind(Kind::RefreshToken)
        .loose(Loose::Start(16)),
    Shape::new("google-client", &GOOGLE, "secret of an OAuth client", &["GOCSPX-"], &[exact(Url, 28)])
        .kind(Kind::OauthClientSecret)
        .machine(),
    Shape::new(
        "entra-client",
        &ENTRA,
        "client secret of an application",
        &["7Q~", "8Q~", "9Q~"],
        &[some(Entra, 31, 34)],
    )
    .before(exact(Entra, 3))
    .kind(Kind::OauthClientSecret)
    .lives(Lifetime::Limited)
    .machine()
    .loose(Loose::Start(31)),
    Shape::new("digitalocean-personal", &DIGITALOCEAN, "personal access token", &["dop_v1_"], &[exact(Hex, 64)])
        .person(),
    Shape::new("digitalocean-oauth", &DIGITALOCEAN, "OAuth access token", &["doo_v1_"], &[exact(Hex, 64)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Limited),
    Shape::new("digitalocean-refresh", &DIGITALOCEAN, "OAuth refresh token", &["dor_v1_"], &[exact(Hex, 64)])
        .kind(Kind::RefreshToken),
    Shape::new("heroku", &HEROKU, "API token", &["HRKU-"], &[some(Url, 36, 80)]),
    Shape::new("fly-oauth", &FLY, "access token", &["fo1_"], &[exact(Url, 43)]).loose(Loose::Run(12)),
    Shape::new("fly", &FLY, "macaroon", &["fm1r_", "fm1a_", "fm2_"], &[some(Fly, 100, 4000)]).loose(Loose::Start(12)),
    Shape::new("cloudflare", &CLOUDFLARE, "API token", &["cfut_", "cfat_", "cfk_"], &[some(Url, 41, 56)])
        .loose(Loose::Start(20)),
    Shape::new(
        "cloudflare-origin",
        &CLOUDFLARE,
        "origin CA key",
        &["v1.0-"],
        &[exact(Hex, 24), fixed(&["-"]), exact(Hex, 146)],
    )
    .loose(Loose::Start(24)),
    Shape::new("vercel", &VERCEL, "access token", &["vcp_", "vci_", "vca_", "vcr_", "vck_"], &[some(Base62, 24, 80)])
        .loose(Loose::Run(24)),
    Shape::new("netlify", &NETLIFY, "personal access token", &["nfp_", "nfc_"], &[some(Base62, 36, 60)])
        .person()
        .loose(Loose::Run(20)),
    Shape::new("planetscale-token", &PLANETSCALE, "service token", &["pscale_tkn_"], &[some(Dotted, 32, 64)]).machine(),
    Shape::new("planetscale-password", &PLANETSCALE, "database password", &["pscale_pw_"], &[some(Dotted, 32, 64)])
        .kind(Kind::Password),
    Shape::new("planetscale-oauth", &PLANETSCALE, "OAuth token", &["pscale_oauth_"], &[some(Dotted, 32, 64)])
        .kind(Kind::AccessToken),
    Shape::new("supabase-personal", &SUPABASE, "personal access token", &["sbp_"], &[exact(Hex, 40)])
        .person()
        .loose(Loose::Run(20)),
    Shape::new("supabase-oauth", &SUPABASE, "OAuth access token", &["sbp_oauth_", "sbp_v0_"], &[exact(Hex, 40)])
        .kind(Kind::AccessToken),
    Shape::new("neon", &NEON, "API key", &["napi_"], &[some(Lower, 60, 80)]).loose(Loose::Run(20)),
    Shape::new("supabase-secret", &SUPABASE, "secret API key", &["sb_secret_"], &[some(Url, 30, 60)])
        .machine()
        .loose(Loose::Start(12)),
    Shape::new(
        "databricks",
        &DATABRICKS,
        "personal access token",
        &["dapi"],
        &[exact(Hex, 32), fixed(&["-2", "-3", ""])],
    )
    .loose(Loose::Run(32)),
    Shape::new("databricks-secret", &DATABRICKS, "OAuth secret of a service principal", &["dose"], &[exact(Hex, 32)])
        .kind(Kind::OauthClientSecret)
        .machine()
        .loose(Loose::Run(32)),
    Shape::new("databricks-refresh", &DATABRICKS, "OAuth refresh token", &["doau"], &[exact(Hex, 32)])
        .kind(Kind::RefreshToken)
        .loose(Loose::Run(32)),
    Shape::new("mongodb-atlas", &MONGODB, "secret of a service account", &["mdb_sa_sk_"], &[exact(Url, 40)])
        .kind(Kind::OauthClientSecret)
        .lives(Lifetime::Limited)
        .machine(),
    Shape::new("openshift", &OPENSHIFT, "access token", &["sha256~"], &[exact(Url, 43)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Ephemeral)
        .loose(Loose::Start(43)),
    Shape::new(
        "tailscale",
        &TAILSCALE,
        "auth key, API token or client secret",
        &["tskey-"],
        &[
            fixed(&["auth-", "api-", "client-", "webhook-", "scim-"]),
            some(Base62, 8, 40),
            fixed(&["-"]),
            some(Base62, 16, 64),
        ],
    )
    .lives(Lifetime::Limited),
];
