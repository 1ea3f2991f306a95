//! Chat, mail, payments, monitoring and other services.

use super::super::{
    Issuer, Loose, Shape,
    build::{Alphabet::*, exact, fixed, some},
    check::Check,
};
use crate::catalogue::model::Kind;
use crate::token::model::Lifetime;

const SLACK: Issuer = Issuer {
    name: "Slack",
    revoke: "auth.revoke; api.slack.com/apps",
    source: "Slack docs, Token types; Sending messages using incoming webhooks",
};
const DISCORD: Issuer = Issuer {
    name: "Discord",
    revoke: "delete the webhook",
    source: "Discord docs, Webhook resource: id and token in the URL",
};
const STRIPE: Issuer = Issuer {
    name: "Stripe",
    revoke: "dashboard.stripe.com/apikeys",
    source: "Stripe docs, API keys (sk_, rk_, whsec_)",
};
const SQUARE: Issuer = Issuer {
    name: "Square",
    revoke: "developer.squareup.com, OAuth RevokeToken",
    source: "gitleaks, config/gitleaks.toml: sq0atp- and 22, sq0csp- and 43",
};
const SHOPIFY: Issuer = Issuer {
    name: "Shopify",
    revoke: "uninstall the app, or rotate its credentials",
    source: "Shopify changelog 2020, prefixes of access tokens: shpat_, shpca_, shppa_, shpss_ and 32 hex digits",
};
const FIGMA: Issuer =
    Issuer { name: "Figma", revoke: "settings > Security", source: "Figma docs, Personal access tokens (figd_)" };
const POSTMAN: Issuer = Issuer {
    name: "Postman",
    revoke: "postman.co/settings/me/api-keys",
    source: "Postman docs, API keys: PMAK-, 24 and 34 hex digits",
};
const NEW_RELIC: Issuer =
    Issuer { name: "New Relic", revoke: "one.newrelic.com/api-keys", source: "New Relic docs, API keys: NRAK- and 27" };
const SENTRY: Issuer = Issuer {
    name: "Sentry",
    revoke: "settings > Auth tokens",
    source: "getsentry/rfcs 0091, CI upload tokens (sntrys_ and base64 of JSON); sntryu_ and 64 hex digits",
};
const DYNATRACE: Issuer = Issuer {
    name: "Dynatrace",
    revoke: "access tokens > revoke",
    source: "Dynatrace docs, Access tokens: token format dt0c01, public and secret part",
};
const SENDGRID: Issuer = Issuer {
    name: "SendGrid",
    revoke: "app.sendgrid.com/settings/api_keys",
    source: "SendGrid docs, API keys: SG., 22 and 43",
};
const BREVO: Issuer =
    Issuer { name: "Brevo", revoke: "app.brevo.com/settings/keys/api", source: "Brevo docs, API keys (xkeysib-)" };
const LINEAR: Issuer =
    Issuer { name: "Linear", revoke: "linear.app/settings/api", source: "Linear docs, API keys (lin_api_)" };
const NOTION: Issuer = Issuer {
    name: "Notion",
    revoke: "notion.so/my-integrations",
    source: "Notion changelog 2024, ntn_ prefix for tokens",
};
const GRAFANA: Issuer = Issuer {
    name: "Grafana",
    revoke: "service accounts > tokens; grafana.com access policies",
    source: "grafana/grafana pkg/components/satokengen (glsa_, checksum); Grafana Cloud docs, access policies (glc_)",
};
const EASYPOST: Issuer = Issuer {
    name: "EasyPost",
    revoke: "easypost.com/account/api-keys",
    source: "EasyPost docs, API keys: EZAK, EZTK and 54",
};
const SHIPPO: Issuer =
    Issuer { name: "Shippo", revoke: "portal.goshippo.com/api-config", source: "Shippo docs, Authentication" };
const CONTENTFUL: Issuer = Issuer {
    name: "Contentful",
    revoke: "settings > CMA tokens",
    source: "Contentful docs, Personal access tokens (CFPAT-)",
};
const AIRTABLE: Issuer = Issuer {
    name: "Airtable",
    revoke: "airtable.com/create/tokens",
    source: "gitleaks, config/gitleaks.toml: pat, 14 characters, a dot and 64 hex digits",
};
const APIFY: Issuer = Issuer {
    name: "Apify",
    revoke: "console.apify.com/settings/integrations",
    source: "Apify docs, API integration (apify_api_)",
};
const README: Issuer =
    Issuer { name: "ReadMe", revoke: "dash.readme.com, API keys", source: "ReadMe docs, API keys: rdme_ and 70" };
const DUFFEL: Issuer =
    Issuer { name: "Duffel", revoke: "app.duffel.com, access tokens", source: "Duffel docs, Access tokens" };

pub(super) static SHAPES: &[Shape] = &[
    Shape::new(
        "slack-bot",
        &SLACK,
        "bot token",
        &["xoxb-"],
        &[some(Digits, 10, 14), fixed(&["-"]), some(Digits, 10, 14), fixed(&["-"]), exact(Base62, 24)],
    )
    .machine(),
    Shape::new(
        "slack-user",
        &SLACK,
        "user token",
        &["xoxp-", "xoxe-"],
        &[
            some(Digits, 10, 14),
            fixed(&["-"]),
            some(Digits, 10, 14),
            fixed(&["-"]),
            some(Digits, 10, 14),
            fixed(&["-"]),
            some(Base62, 28, 34),
        ],
    )
    .person(),
    Shape::new(
        "slack-session",
        &SLACK,
        "token of a browser's session",
        &["xoxc-"],
        &[
            some(Digits, 10, 14),
            fixed(&["-"]),
            some(Digits, 10, 14),
            fixed(&["-"]),
            some(Digits, 10, 14),
            fixed(&["-"]),
            exact(Hex, 64),
        ],
    )
    .kind(Kind::SessionToken)
    .person(),
    Shape::new(
        "slack-refresh",
        &SLACK,
        "configuration or refresh token",
        &["xoxe.xoxp-", "xoxe.xoxb-"],
        &[some(Url, 120, 180)],
    )
    .kind(Kind::AccessToken)
    .lives(Lifetime::Ephemeral),
    Shape::new(
        "slack-app",
        &SLACK,
        "app token",
        &["xapp-"],
        &[
            exact(Digits, 1),
            fixed(&["-"]),
            some(Upper, 8, 14),
            fixed(&["-"]),
            some(Digits, 10, 14),
            fixed(&["-"]),
            exact(Hex, 64),
        ],
    )
    .machine(),
    Shape::new(
        "slack-webhook",
        &SLACK,
        "incoming webhook",
        &["hooks.slack.com/services/"],
        &[fixed(&["T"]), some(Upper, 8, 12), fixed(&["/B"]), some(Upper, 8, 12), fixed(&["/"]), exact(Base62, 24)],
    )
    .machine(),
    Shape::new(
        "discord-webhook",
        &DISCORD,
        "webhook",
        &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"],
        &[some(Digits, 17, 20), fixed(&["/"]), some(Url, 60, 72)],
    )
    .machine(),
    Shape::new("stripe-live", &STRIPE, "secret or restricted key", &["sk_live_", "rk_live_"], &[some(Base62, 24, 110)])
        .loose(Loose::Start(6)),
    Shape::new(
        "stripe-test",
        &STRIPE,
        "secret or restricted key of the test mode",
        &["sk_test_", "rk_test_"],
        &[some(Base62, 24, 110)],
    )
    .loose(Loose::Start(6)),
    Shape::new("stripe-webhook", &STRIPE, "signing secret of a webhook", &["whsec_"], &[some(Base62, 32, 64)])
        .kind(Kind::GenericSecret)
        .loose(Loose::Run(12)),
    Shape::new("square-access", &SQUARE, "access token", &["sq0atp-"], &[exact(Url, 22)]),
    Shape::new("square-client", &SQUARE, "secret of an application", &["sq0csp-"], &[exact(Url, 43)])
        .kind(Kind::OauthClientSecret),
    Shape::new("shopify-access", &SHOPIFY, "access token", &["shpat_", "shpca_", "shppa_"], &[exact(Hex, 32)])
        .machine(),
    Shape::new("shopify-secret", &SHOPIFY, "shared secret of an app", &["shpss_"], &[exact(Hex, 32)])
        .kind(Kind::OauthClientSecret),
    Shape::new("figma", &FIGMA, "personal access token", &["figd_"], &[exact(Url, 40)]).person(),
    Shape::new("postman", &POSTMAN, "API key", &["PMAK-"], &[exact(Hex, 24), fixed(&["-"]), exact(Hex, 34)]),
    Shape::new("newrelic", &NEW_RELIC, "user key", &["NRAK-"], &[exact(Upper, 27)]).person(),
    Shape::new(
        "sentry-organisation",
        &SENTRY,
        "organisation auth token",
        &["sntrys_"],
        &[fixed(&["eyJ"]), some(Base64, 60, 400), fixed(&["_"]), exact(Base64, 43)],
    )
    .machine(),
    Shape::new("sentry-user", &SENTRY, "user auth token", &["sntryu_"], &[exact(Hex, 64)]).person(),
    Shape::new(
        "dynatrace",
        &DYNATRACE,
        "API token",
        &["dt0c01.", "dt0s01."],
        &[exact(Upper, 24), fixed(&["."]), exact(Upper, 64)],
    ),
    Shape::new("sendgrid", &SENDGRID, "API key", &["SG."], &[exact(Url, 22), fixed(&["."]), exact(Url, 43)])
        .loose(Loose::Start(16)),
    Shape::new("brevo", &BREVO, "API key", &["xkeysib-"], &[exact(Hex, 64), fixed(&["-"]), exact(Base62, 16)]),
    Shape::new("linear", &LINEAR, "API key", &["lin_api_"], &[exact(Base62, 40)]).person().loose(Loose::Run(12)),
    Shape::new("notion", &NOTION, "integration token", &["ntn_"], &[exact(Digits, 11), exact(Base62, 35)])
        .machine()
        .loose(Loose::Run(16)),
    Shape::new(
        "grafana-service",
        &GRAFANA,
        "token of a service account",
        &["glsa_"],
        &[exact(Base62, 32), fixed(&["_"]), exact(Hex, 8)],
    )
    .machine()
    .check(Check::Grafana)
    .loose(Loose::Run(16)),
    Shape::new("grafana-cloud", &GRAFANA, "access policy token", &["glc_eyJ"], &[some(Base64, 60, 400)]).machine(),
    Shape::new("easypost", &EASYPOST, "API key", &["EZAK", "EZTK"], &[exact(Base62, 54)]).loose(Loose::Run(16)),
    Shape::new("shippo", &SHIPPO, "API token", &["shippo_live_", "shippo_test_"], &[exact(Hex, 40)])
        .loose(Loose::Run(12)),
    Shape::new("contentful", &CONTENTFUL, "personal access token", &["CFPAT-"], &[exact(Url, 43)]).person(),
    Shape::new(
        "airtable",
        &AIRTABLE,
        "personal access token",
        &["pat"],
        &[exact(Base62, 14), fixed(&["."]), exact(Hex, 64)],
    )
    .person()
    .loose(Loose::Run(64)),
    Shape::new("apify", &APIFY, "API token", &["apify_api_"], &[exact(Base62, 36)]).loose(Loose::Run(12)),
    Shape::new("readme", &README, "API key", &["rdme_"], &[exact(Lower, 70)]).loose(Loose::Run(20)),
    Shape::new("duffel", &DUFFEL, "access token", &["duffel_live_", "duffel_test_"], &[exact(Url, 43)])
        .loose(Loose::Run(6)),
];
