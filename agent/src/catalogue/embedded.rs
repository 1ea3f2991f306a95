//! The catalogue that is part of the program.

/// The shipped files by name.
pub const FILES: &[(&str, &str)] = &[
    ("interpreters.yaml", include_str!("../../catalogue/interpreters.yaml")),
    ("actors.yaml", include_str!("../../catalogue/actors.yaml")),
    ("aws.yaml", include_str!("../../catalogue/aws.yaml")),
    ("google.yaml", include_str!("../../catalogue/google.yaml")),
    ("azure.yaml", include_str!("../../catalogue/azure.yaml")),
    ("git-hosting.yaml", include_str!("../../catalogue/git-hosting.yaml")),
    ("containers.yaml", include_str!("../../catalogue/containers.yaml")),
    ("kubernetes.yaml", include_str!("../../catalogue/kubernetes.yaml")),
    ("secrets-managers.yaml", include_str!("../../catalogue/secrets-managers.yaml")),
    ("infrastructure.yaml", include_str!("../../catalogue/infrastructure.yaml")),
    ("packages.yaml", include_str!("../../catalogue/packages.yaml")),
    ("platforms.yaml", include_str!("../../catalogue/platforms.yaml")),
    ("databases.yaml", include_str!("../../catalogue/databases.yaml")),
    ("storage.yaml", include_str!("../../catalogue/storage.yaml")),
    ("ai.yaml", include_str!("../../catalogue/ai.yaml")),
    ("ssh-gpg.yaml", include_str!("../../catalogue/ssh-gpg.yaml")),
    ("keyrings.yaml", include_str!("../../catalogue/keyrings.yaml")),
    ("browsers.yaml", include_str!("../../catalogue/browsers.yaml")),
    ("editors.yaml", include_str!("../../catalogue/editors.yaml")),
    ("ci.yaml", include_str!("../../catalogue/ci.yaml")),
    ("system.yaml", include_str!("../../catalogue/system.yaml")),
    ("network.yaml", include_str!("../../catalogue/network.yaml")),
    ("sinks.yaml", include_str!("../../catalogue/sinks.yaml")),
];

/// Name under which a shipped file appears in messages.
#[must_use]
pub fn file_name(name: &str) -> std::path::PathBuf {
    std::path::Path::new("catalogue").join(name)
}
