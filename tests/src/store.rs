//! Stores with made-up tokens in them.

use std::path::{Path, PathBuf};

use crate::{stage::Stage, token};

/// A kind of store, with the id that the catalogue gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// GitHub's command line.
    GhHosts,
    /// AWS.
    AwsCredentials,
    /// `git credential-store`.
    GitCredentials,
    /// `.netrc`.
    Netrc,
    /// npm.
    Npmrc,
    /// Docker.
    DockerConfig,
    /// A private key of OpenSSH (made up, not one that works).
    SshKey,
}

impl Store {
    /// Its id in the catalogue.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::GhHosts => "gh-hosts",
            Self::AwsCredentials => "aws-credentials",
            Self::GitCredentials => "git-credentials",
            Self::Netrc => "netrc",
            Self::Npmrc => "npm-npmrc",
            Self::DockerConfig => "docker-config",
            Self::SshKey => "ssh-private-keys",
        }
    }

    /// Where it lies in a home.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::GhHosts => ".config/gh/hosts.yml",
            Self::AwsCredentials => ".aws/credentials",
            Self::GitCredentials => ".git-credentials",
            Self::Netrc => ".netrc",
            Self::Npmrc => ".npmrc",
            Self::DockerConfig => ".docker/config.json",
            Self::SshKey => ".ssh/id_ed25519",
        }
    }

    /// Writes it into `home`.
    pub fn put(self, stage: &Stage, home: &Path) -> PathBuf {
        self.put_at(stage, &home.join(self.place()))
    }

    /// Writes it to another place.
    ///
    /// # Panics
    /// When that is not on the stage.
    pub fn put_at(self, stage: &Stage, path: &Path) -> PathBuf {
        let name = path.strip_prefix(stage.path("")).expect("on the stage").to_str().expect("a plain name");
        stage.file(name, self.content(stage))
    }

    /// What such a file holds, with new tokens.
    #[must_use]
    pub fn content(self, stage: &Stage) -> String {
        let hidden = |token: String| {
            stage.hide(&token);
            token
        };
        match self {
            Self::GhHosts => format!(
                "github.com:\n    user: somebody\n    oauth_token: {}\n    git_protocol: https\n",
                hidden(token::plain("gho_", 36))
            ),
            Self::AwsCredentials => format!(
                "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                hidden(token::aws_key_id()),
                hidden(token::plain("", 40))
            ),
            Self::GitCredentials => format!("https://somebody:{}@git.invalid\n", hidden(token::plain("ghp_", 36))),
            Self::Netrc => format!("machine 127.0.0.1 login somebody password {}\n", hidden(token::plain("", 32))),
            Self::Npmrc => format!("//registry.invalid/:_authToken={}\n", hidden(token::plain("npm_", 36))),
            Self::DockerConfig => {
                format!("{{\"auths\":{{\"registry.invalid\":{{\"auth\":\"{}\"}}}}}}\n", hidden(token::plain("", 48)))
            }
            Self::SshKey => format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
                hidden(token::plain("", 70))
            ),
        }
    }
}
