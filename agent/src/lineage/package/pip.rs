//! What pip and its like write beside the packages of Python (the packaging specifications "Recording installed projects" and
//! "Binary distribution format"). Pure and total.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::installed::Named;

/// Names of directories of packages; the second is Debian's.
pub const SITES: [&str; 2] = ["site-packages", "dist-packages"];

/// The directory of packages that a file lies in: `PREFIX/lib/python*/site-packages`.
#[must_use]
pub fn site(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|directory| is_site(directory)).map(Path::to_owned)
}

fn is_site(directory: &Path) -> bool {
    let mut names = directory.ancestors().map(|above| above.file_name().unwrap_or_default().as_bytes());
    names.next().is_some_and(|name| SITES.iter().any(|site| site.as_bytes() == name))
        && names.next().is_some_and(|name| name.starts_with(b"python"))
        && names.next() == Some(b"lib")
}

/// `PREFIX` of `PREFIX/bin/NAME`.
#[must_use]
pub fn prefix(path: &Path) -> Option<PathBuf> {
    let bin = path.parent()?;
    (bin.file_name()? == "bin").then(|| bin.parent().map(Path::to_owned))?
}

/// How a record in a directory of packages spells a file. Another spelling of the same file is not taken: pip writes none.
#[must_use]
pub fn spelled(site: &Path, path: &Path) -> Option<Vec<u8>> {
    if let Ok(inside) = path.strip_prefix(site) {
        return Some(inside.as_os_str().as_bytes().to_vec());
    }
    let rest = path.strip_prefix(site.ancestors().nth(3)?).ok()?;
    Some([b"../../../", rest.as_os_str().as_bytes()].concat())
}

/// Name and version in the name of a directory that holds a record: `awscli-1.46.3.dist-info`.
#[must_use]
pub fn package(directory: &str) -> Option<Named> {
    let (name, version) = directory.strip_suffix(".dist-info")?.rsplit_once('-')?;
    Named::new(name, version)
}

/// Is the package named like the file, or like the module that the file is of? Such are asked first.
#[must_use]
pub fn is_alike(site: &Path, path: &Path, package: &str) -> bool {
    let first = path.strip_prefix(site).ok().and_then(|inside| inside.components().next());
    let name = match first {
        Some(Component::Normal(name)) => Some(name),
        _ => path.file_name(),
    };
    let name = name.and_then(OsStr::to_str).unwrap_or_default();
    name.len() >= 2 && package.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
}

/// A SHA-256 as records have it.
#[must_use]
pub fn sum(sha256: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256)
}

/// Whether a record lists a file; and the SHA-256 that it has of it, if it has one.
#[must_use]
pub fn recorded<'a>(record: &'a [u8], listed: &[u8]) -> Option<Option<&'a [u8]>> {
    record.split(|byte| *byte == b'\n').find_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut fields = line.rsplitn(3, |byte| *byte == b',');
        let (Some(_size), Some(sum), Some(name)) = (fields.next(), fields.next(), fields.next()) else { return None };
        is(name, listed).then(|| sum.strip_prefix(b"sha256="))
    })
}

/// Compares a field of comma-separated values, which may be quoted.
fn is(field: &[u8], wanted: &[u8]) -> bool {
    match field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(quoted) => {
            let mut doubled = wanted.iter().flat_map(|byte| std::iter::repeat_n(*byte, 1 + usize::from(*byte == b'"')));
            quoted.iter().all(|byte| doubled.next() == Some(*byte)) && doubled.next().is_none()
        }
        None => field == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_sums_of_what_it_lists() {
        let record = b"../../../bin/aws,sha256=abc-_,839\r\nawscli/__init__.py,sha256=def,1\n\
            \"awscli/a,\"\"b.py\",sha256=q,2\nawscli/x.pyc,,\nawscli/old,md5=1,1\nawscli/short\nawscli-1.dist-info/RECORD,,\n";
        for (listed, sum) in [
            ("../../../bin/aws", Some(Some("abc-_"))),
            ("awscli/__init__.py", Some(Some("def"))),
            ("awscli/a,\"b.py", Some(Some("q"))),
            ("awscli/x.pyc", Some(None)),
            ("awscli/old", Some(None)),
            ("awscli/short", None),
            ("bin/aws", None),
            ("/bin/aws", None),
            ("", None),
        ] {
            assert_eq!(recorded(record, listed.as_bytes()), sum.map(|sum| sum.map(str::as_bytes)), "{listed}");
        }
        for bytes in [&b""[..], b",", b",,", b"\"\",,", b"\",,", b"\n\xff,\xff,\xff"] {
            let _ = recorded(bytes, b"x");
        }
        // SHA-256 of nothing.
        let nothing =
            blake3::Hash::from_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").unwrap();
        assert_eq!(sum(nothing.as_bytes()), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    }

    #[test]
    fn places_are_known_by_their_path() {
        let site_of = "/v/lib/python3.11/site-packages";
        for (path, expected) in [
            ("/v/lib/python3.11/site-packages/awscli/x/__main__.py", Some(site_of)),
            ("/v/lib/python3.11/site-packages", None),
            ("/v/lib/ruby/site-packages/x", None),
            ("/v/python3.11/site-packages/x", None),
        ] {
            assert_eq!(site(Path::new(path)), expected.map(PathBuf::from), "{path}");
        }
        assert_eq!(prefix(Path::new("/v/bin/aws")), Some("/v".into()));
        for none in ["/v/bin/x/aws", "/v/sbin/aws", "/", ""] {
            assert_eq!(prefix(Path::new(none)), None, "{none}");
        }
        let spelled =
            |path: &str| spelled(Path::new(site_of), Path::new(path)).map(|it| String::from_utf8(it).unwrap());
        assert_eq!(spelled("/v/bin/aws").as_deref(), Some("../../../bin/aws"));
        assert_eq!(spelled("/v/lib/python3.11/site-packages/a/b.py").as_deref(), Some("a/b.py"));
        assert_eq!(spelled("/w/bin/aws"), None);
        let named = |directory| package(directory).map(|named| named.to_string());
        assert_eq!(named("awscli-1.46.3.dist-info").as_deref(), Some("awscli 1.46.3"));
        for none in ["awscli.dist-info", "-1.dist-info", "a b-1.dist-info", "awscli-1.egg-info", "a-\x1b[2J.dist-info"]
        {
            assert_eq!(named(none), None, "{none}");
        }
        assert!(is_alike(Path::new(site_of), Path::new("/v/bin/aws"), "awscli"));
        assert!(!is_alike(Path::new(site_of), Path::new("/v/bin/aws"), "botocore"));
    }
}
