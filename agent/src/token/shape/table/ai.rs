//! Models and what is built around them.

use super::super::{
    Issuer, Loose, Shape,
    build::{Alphabet::*, exact, fixed, some},
    check::Check,
};
use crate::catalogue::model::Kind;
use crate::token::model::Lifetime;

const ANTHROPIC: Issuer = Issuer {
    name: "Anthropic",
    revoke: "console.anthropic.com/settings/keys; of a login: /logout",
    source: "gitleaks, config/gitleaks.toml (93 characters and AA); entry claude-credentials of the catalogue",
};

const OPENAI: Issuer = Issuer {
    name: "OpenAI",
    revoke: "platform.openai.com/api-keys",
    source: "gitleaks, config/gitleaks.toml: T3BlbkFJ is base64 of OpenAI and stands in every key",
};

const OPENROUTER: Issuer = Issuer {
    name: "OpenRouter",
    revoke: "openrouter.ai/settings/keys",
    source: "OpenRouter docs, API keys: sk-or-v1- and 64 hex digits",
};

const HUGGING_FACE: Issuer = Issuer {
    name: "Hugging Face",
    revoke: "huggingface.co/settings/tokens",
    source: "Hugging Face docs, User access tokens; lengths as in gitleaks, config/gitleaks.toml",
};

const GROQ: Issuer =
    Issuer { name: "Groq", revoke: "console.groq.com/keys", source: "entry llm-keys of the catalogue" };
const XAI: Issuer = Issuer { name: "xAI", revoke: "console.x.ai", source: "entry grok-cli of the catalogue" };
const PERPLEXITY: Issuer = Issuer {
    name: "Perplexity",
    revoke: "perplexity.ai/settings/api",
    source: "gitleaks, config/gitleaks.toml: pplx- and 48 characters",
};
const REPLICATE: Issuer = Issuer {
    name: "Replicate",
    revoke: "replicate.com/account/api-tokens",
    source: "Replicate docs, API tokens: r8_ and 37 characters",
};
const NVIDIA: Issuer = Issuer {
    name: "NVIDIA",
    revoke: "org.ngc.nvidia.com/setup/api-keys",
    source: "NVIDIA NGC docs, API keys (nvapi-)",
};
const KAGGLE: Issuer =
    Issuer { name: "Kaggle", revoke: "kaggle.com/settings/api", source: "Kaggle docs, API tokens (KGAT_)" };
const MODAL: Issuer =
    Issuer { name: "Modal", revoke: "modal.com/settings/tokens", source: "Modal docs, tokens (ak-, as-)" };
const RUNPOD: Issuer =
    Issuer { name: "RunPod", revoke: "runpod.io/console/user/settings", source: "RunPod docs, API keys (rpa_)" };
const LANGSMITH: Issuer = Issuer {
    name: "LangSmith",
    revoke: "smith.langchain.com/settings",
    source: "LangSmith docs, API keys (lsv2_pt_, lsv2_sk_)",
};
const PINECONE: Issuer =
    Issuer { name: "Pinecone", revoke: "app.pinecone.io, API keys", source: "Pinecone docs, API keys (pcsk_)" };
const FACTORY: Issuer =
    Issuer { name: "Factory", revoke: "app.factory.ai/settings", source: "Factory docs, API keys (fk-)" };

pub(super) static SHAPES: &[Shape] = &[
    Shape::new("anthropic-api", &ANTHROPIC, "API key", &["sk-ant-api03-"], &[exact(Url, 95)]).check(Check::Ends("AA")),
    Shape::new("anthropic-admin", &ANTHROPIC, "admin API key", &["sk-ant-admin01-"], &[exact(Url, 95)])
        .check(Check::Ends("AA")),
    Shape::new("anthropic-access", &ANTHROPIC, "access token of a login", &["sk-ant-oat01-"], &[some(Url, 80, 120)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Ephemeral)
        .person(),
    Shape::new("anthropic-refresh", &ANTHROPIC, "refresh token of a login", &["sk-ant-ort01-"], &[some(Url, 80, 120)])
        .kind(Kind::RefreshToken)
        .person(),
    Shape::new("openai", &OPENAI, "API key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], &[some(Url, 60, 200)])
        .check(Check::Holds("T3BlbkFJ")),
    Shape::new("openai-user", &OPENAI, "API key of a user", &["sk-"], &[exact(Base62, 48)])
        .check(Check::Holds("T3BlbkFJ"))
        .loose(Loose::Start(12)),
    Shape::new("openrouter", &OPENROUTER, "API key", &["sk-or-v1-"], &[exact(Hex, 64)]),
    Shape::new("huggingface", &HUGGING_FACE, "user access token", &["hf_"], &[exact(Letters, 34)])
        .person()
        .loose(Loose::Run(16)),
    Shape::new(
        "huggingface-organisation",
        &HUGGING_FACE,
        "API token of an organisation",
        &["api_org_"],
        &[exact(Letters, 34)],
    )
    .machine()
    .loose(Loose::Run(16)),
    Shape::new("groq", &GROQ, "API key", &["gsk_"], &[exact(Base62, 52)]).loose(Loose::Run(16)),
    Shape::new("xai", &XAI, "API key", &["xai-"], &[some(Base62, 60, 100)]).loose(Loose::Run(20)),
    Shape::new("perplexity", &PERPLEXITY, "API key", &["pplx-"], &[exact(Base62, 48)]).loose(Loose::Start(12)),
    Shape::new("replicate", &REPLICATE, "API token", &["r8_"], &[exact(Url, 37)]).loose(Loose::Start(12)),
    Shape::new("nvidia", &NVIDIA, "API key", &["nvapi-"], &[some(Url, 60, 80)]).loose(Loose::Start(12)),
    Shape::new("kaggle", &KAGGLE, "API token", &["KGAT_"], &[exact(Hex, 32)]).person(),
    Shape::new("modal", &MODAL, "token secret", &["as-"], &[exact(Base62, 22)]).loose(Loose::Run(22)),
    Shape::new("runpod", &RUNPOD, "API key", &["rpa_"], &[some(Upper, 40, 60)]).loose(Loose::Run(20)),
    Shape::new(
        "langsmith",
        &LANGSMITH,
        "API key",
        &["lsv2_pt_", "lsv2_sk_"],
        &[exact(Hex, 32), fixed(&["_"]), exact(Hex, 10)],
    )
    .loose(Loose::Start(6)),
    Shape::new("pinecone", &PINECONE, "API key", &["pcsk_"], &[some(Url, 50, 90)]).loose(Loose::Run(6)),
    Shape::new("factory", &FACTORY, "API key", &["fk-"], &[some(Url, 40, 100)]).loose(Loose::Start(40)),
];
