//! What must not be in any file under version control: where this checkout lies, and which package registries a
//! machine happens to use.

use std::path::Path;
use std::process::Command;

/// Hosts of public registries, in two halves so that this file does not name them either.
const REGISTRIES: &[(&str, &str)] = &[
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("registry.npmjs", ".org"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("snapshot.debian", ".org"),
    ("proxy.golang", ".org"),
];

/// Registries that also issue tokens: what their stores look like and where to revoke is the agent's business.
const ISSUERS: &[(&str, &str)] = &[("pypi", ".org"), ("registry.npmjs", ".org")];
const ISSUERS_IN: &[&str] = &["agent/", "tests/", "docs/stores.md"];

/// The hosts of the apt sources here, whatever they are.
fn apt_hosts() -> Vec<String> {
    let output = Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let mut hosts: Vec<String> =
        text.lines().filter_map(|uri| Some(uri.split_once("://")?.1.split(['/', ':']).next()?.to_owned())).collect();
    hosts.retain(|host| host.contains('.'));
    hosts.sort();
    hosts.dedup();
    hosts
}

fn tracked(root: &Path) -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().unwrap();
    assert!(output.status.success(), "this is no git checkout");
    String::from_utf8(output.stdout).unwrap().split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether the text has the path as a path, not as the end of a longer one.
fn names_path(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        before.is_none_or(|c| !(c.is_alphanumeric() || "/._-$}".contains(c)))
    })
}

#[test]
fn no_tracked_file_names_a_registry_or_this_checkout() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let join = |(head, tail): &(&str, &str)| format!("{head}{tail}");
    let mut hosts: Vec<String> = REGISTRIES.iter().map(join).collect();
    let issuers: Vec<String> = ISSUERS.iter().map(join).collect();
    hosts.extend(apt_hosts());
    let checkout = root.to_string_lossy();
    // A checkout at `/src` could not be told from any other use of the word.
    let tellable = checkout.matches('/').count() >= 2;
    let mut found = Vec::new();
    for name in tracked(root) {
        let Ok(bytes) = std::fs::read(root.join(&name)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let may_name_issuers = ISSUERS_IN.iter().any(|dir| name.starts_with(dir));
        let banned = hosts.iter().filter(|host| !(may_name_issuers && issuers.contains(host)));
        found.extend(banned.filter(|host| text.contains(host.as_str())).map(|host| format!("{name}: {host}")));
        if tellable && names_path(&text, &checkout) {
            found.push(format!("{name}: {checkout}"));
        }
    }
    assert!(found.is_empty(), "take these out:\n{}", found.join("\n"));
}

#[test]
fn a_path_is_told_from_the_end_of_a_longer_one() {
    assert!(names_path("see /home/me/tokenhound/x", "/home/me/tokenhound"));
    assert!(names_path("\"/home/me/tokenhound\"", "/home/me/tokenhound"));
    assert!(!names_path("/backup/home/me/tokenhound", "/home/me/tokenhound"));
}
