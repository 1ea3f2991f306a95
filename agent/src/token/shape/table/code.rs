//! Where code lives, and who builds it.

use super::super::{
    Issuer, Loose, Shape,
    build::{Alphabet::*, exact, fixed, some},
    check::Check,
};
use crate::catalogue::model::Kind;
use crate::token::model::Lifetime;

const GITHUB: Issuer = Issuer {
    name: "GitHub",
    revoke: "github.com/settings/tokens and github.com/settings/applications; gh api -X DELETE /installation/token",
    source: "GitHub docs, About authentication to GitHub; GitHub blog 2021, Behind GitHub's new authentication token formats (checksum)",
};

const GITLAB: Issuer = Issuer {
    name: "GitLab",
    revoke: "glab token revoke, or User settings > Access tokens",
    source: "GitLab docs, security/tokens; gitlab-org/gitlab lib/authn/token_field/generator/routable_token.rb (checksum)",
};

const ATLASSIAN: Issuer = Issuer {
    name: "Atlassian",
    revoke: "id.atlassian.com/manage-profile/security/api-tokens",
    source: "Atlassian docs, Manage API tokens; lengths as in gitleaks, config/gitleaks.toml",
};

const CIRCLECI: Issuer = Issuer {
    name: "CircleCI",
    revoke: "app.circleci.com/settings/user/tokens",
    source: "CircleCI docs, Managing API tokens (CCIPAT_, CCIPRJ_)",
};

const BUILDKITE: Issuer = Issuer {
    name: "Buildkite",
    revoke: "buildkite.com/user/api-access-tokens",
    source: "Buildkite docs, Managing API access tokens; Token security (bkua_)",
};

const SOURCEGRAPH: Issuer = Issuer {
    name: "Sourcegraph",
    revoke: "User settings > Access tokens",
    source: "Sourcegraph docs, Creating an access token (sgp_)",
};

const SONAR: Issuer = Issuer {
    name: "SonarQube",
    revoke: "My account > Security",
    source: "SonarQube docs, Generating and using tokens (squ_, sqp_, sqa_)",
};

pub(super) static SHAPES: &[Shape] = &[
    Shape::new("github-classic", &GITHUB, "personal access token (classic)", &["ghp_"], &[exact(Base62, 36)])
        .person()
        .check(Check::Crc32Base62),
    Shape::new(
        "github-fine-grained",
        &GITHUB,
        "fine-grained personal access token",
        &["github_pat_"],
        &[exact(Base62, 22), fixed(&["_"]), exact(Base62, 59)],
    )
    .lives(Lifetime::Limited)
    .person(),
    Shape::new("github-oauth", &GITHUB, "OAuth access token", &["gho_"], &[exact(Base62, 36)])
        .kind(Kind::AccessToken)
        .person()
        .check(Check::Crc32Base62),
    Shape::new("github-user", &GITHUB, "user token of a GitHub app", &["ghu_"], &[exact(Base62, 36)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Ephemeral)
        .person()
        .check(Check::Crc32Base62),
    Shape::new(
        "github-app",
        &GITHUB,
        "installation token of a GitHub app, or of a job",
        &["ghs_"],
        &[some(Url, 36, 1024)],
    )
    .kind(Kind::AccessToken)
    .lives(Lifetime::Ephemeral)
    .machine()
    .check(Check::Crc32Base62),
    Shape::new("github-refresh", &GITHUB, "refresh token of a GitHub app", &["ghr_"], &[some(Base62, 36, 80)])
        .kind(Kind::RefreshToken)
        .lives(Lifetime::Limited)
        .person()
        .check(Check::Crc32Base62),
    Shape::new(
        "gitlab-personal",
        &GITLAB,
        "personal, project or group access token",
        &["glpat-"],
        &[some(Dotted, 20, 320)],
    )
    .lives(Lifetime::Limited)
    .check(Check::GitLab),
    Shape::new("gitlab-trigger", &GITLAB, "pipeline trigger token", &["glptt-"], &[some(Url, 20, 64)]).machine(),
    Shape::new("gitlab-deploy", &GITLAB, "deploy token", &["gldt-"], &[some(Url, 20, 64)]).machine(),
    Shape::new("gitlab-runner", &GITLAB, "runner authentication token", &["glrt-", "glrtr-"], &[some(Dotted, 20, 320)])
        .machine()
        .check(Check::GitLab),
    Shape::new("gitlab-job", &GITLAB, "CI job token", &["glcbt-"], &[some(Dotted, 22, 320)])
        .kind(Kind::AccessToken)
        .lives(Lifetime::Ephemeral)
        .machine(),
    Shape::new("gitlab-feed", &GITLAB, "feed token", &["glft-"], &[some(Url, 20, 80)]).person(),
    Shape::new("gitlab-scim", &GITLAB, "SCIM token", &["glsoat-"], &[some(Url, 20, 64)]).machine(),
    Shape::new("gitlab-agent", &GITLAB, "Kubernetes agent token", &["glagent-"], &[some(Url, 50, 80)]).machine(),
    Shape::new("gitlab-oauth", &GITLAB, "secret of an OAuth application", &["gloas-"], &[exact(Url, 64)])
        .kind(Kind::OauthClientSecret)
        .machine(),
    Shape::new("gitlab-mail", &GITLAB, "incoming mail token", &["glimt-"], &[some(Url, 20, 40)]).person(),
    Shape::new("gitlab-feature", &GITLAB, "feature flags client token", &["glffct-"], &[some(Url, 20, 64)]).machine(),
    Shape::new("gitlab-registration", &GITLAB, "runner registration token", &["GR1348941"], &[exact(Url, 20)])
        .machine(),
    Shape::new("bitbucket-app", &ATLASSIAN, "Bitbucket app password", &["ATBB"], &[exact(Base62, 32)]).person(),
    Shape::new(
        "atlassian-api",
        &ATLASSIAN,
        "API token",
        &["ATATT3"],
        &[some(Url, 100, 250), fixed(&["="]), exact(Upper, 8)],
    )
    .person()
    .lives(Lifetime::Limited),
    Shape::new(
        "bitbucket-repository",
        &ATLASSIAN,
        "access token of a repository, project or workspace",
        &["ATCTT3"],
        &[some(Url, 100, 250), fixed(&["="]), exact(Upper, 8)],
    )
    .machine(),
    Shape::new(
        "circleci-personal",
        &CIRCLECI,
        "personal API token",
        &["CCIPAT_"],
        &[exact(Base62, 22), fixed(&["_"]), exact(Hex, 40)],
    )
    .person(),
    Shape::new(
        "circleci-project",
        &CIRCLECI,
        "project API token",
        &["CCIPRJ_"],
        &[exact(Base62, 22), fixed(&["_"]), exact(Hex, 40)],
    )
    .machine(),
    Shape::new("buildkite-user", &BUILDKITE, "API access token", &["bkua_"], &[exact(Lower, 40)]).person(),
    Shape::new("buildkite-agent", &BUILDKITE, "agent token", &["bkct_"], &[some(Url, 20, 100)]).machine(),
    Shape::new("sourcegraph", &SOURCEGRAPH, "access token", &["sgp_local_"], &[exact(Hex, 40)]),
    Shape::new(
        "sourcegraph-instance",
        &SOURCEGRAPH,
        "access token of a named instance",
        &["sgp_"],
        &[exact(Hex, 16), fixed(&["_"]), exact(Hex, 40)],
    )
    .loose(Loose::Start(16)),
    Shape::new("sourcegraph-amp", &SOURCEGRAPH, "Amp access token", &["sgamp_"], &[some(Url, 20, 120)]),
    Shape::new("sonar-user", &SONAR, "user token", &["squ_"], &[exact(Hex, 40)]).person().loose(Loose::Run(20)),
    Shape::new("sonar-project", &SONAR, "project or global analysis token", &["sqp_", "sqa_"], &[exact(Hex, 40)])
        .machine()
        .loose(Loose::Run(20)),
];
