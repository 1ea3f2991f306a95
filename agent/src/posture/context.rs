//! Does a file go into images? From the `.dockerignore` beside the Dockerfile.

use std::path::Path;

use globset::GlobBuilder;

/// Names that say that images are built here.
pub const DOCKERFILES: &[&str] = &["Dockerfile", "Containerfile", "dockerfile"];

/// Largest ignore file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// Does an ignore file keep `path` (relative to the context) out? The last line that matches the path or a directory
/// above it decides; `!` takes back (Docker's documentation of the build context).
#[must_use]
pub fn ignored(ignore_file: &str, path: &Path) -> bool {
    let mut out = false;
    for line in ignore_file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
        let pattern = pattern.trim_start_matches("./").trim_matches('/');
        let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() else { continue };
        let matcher = glob.compile_matcher();
        if path.ancestors().any(|part| !part.as_os_str().is_empty() && matcher.is_match(part)) || pattern == "." {
            out = !back;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_decides() {
        for (file, path, expected) in [
            ("", ".env", false),
            (".env", ".env", true),
            (".env", "a/.env", false),
            ("**/.env", "a/b/.env", true),
            ("/conf/", "conf/key.pem", true),
            ("# all\n*\n!src", "src/.npmrc", false),
            ("*\n!src\nsrc/.npmrc", "src/.npmrc", true),
            ("*.pem", "a/key.pem", false),
        ] {
            assert_eq!(ignored(file, Path::new(path)), expected, "{file:?} {path}");
        }
    }
}
