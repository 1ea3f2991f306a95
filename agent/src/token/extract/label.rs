//! Labels: which of a store's tokens one is, in words that hold nothing secret.

use super::limits::MAX_LABEL;

/// A path as a JSON pointer.
pub(super) fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Names come from the file: no control characters, no users and passwords of URLs, nothing of the token itself, and
/// not too long.
pub(super) fn clean(label: &str, token: &[u8]) -> String {
    let mut label = without_userinfo(label);
    if let Ok(token) = std::str::from_utf8(token)
        && token.len() >= 4
    {
        label = label.replace(token, "*");
    }
    let visible = label.chars().map(|c| if c.is_control() { '?' } else { c });
    let mut out: String = visible.clone().take(MAX_LABEL).collect();
    if visible.count() > MAX_LABEL {
        out.pop();
        out.push('…');
    }
    out
}

/// Every `//user:secret@` becomes `//`, also where the slashes are escaped for a pointer.
fn without_userinfo(label: &str) -> String {
    let mut out = String::with_capacity(label.len());
    let mut rest = label;
    loop {
        let starts = ["://", ":~1~1"].into_iter().filter_map(|mark| rest.find(mark).map(|at| at + mark.len()));
        let Some(start) = starts.min() else { break };
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(['/', '~', '"', ' ', ']']).unwrap_or(rest.len());
        if let Some(at) = rest[..end].rfind('@') {
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_stays_in_a_label() {
        assert_eq!(clean("/auths/https:~1~1u:p@h~1v2/auth", b"x"), "/auths/https:~1~1h~1v2/auth");
        assert_eq!(clean("[url \"https://u:p@h/\"]/insteadOf", b"x"), "[url \"https://h/\"]/insteadOf");
        assert_eq!(clean("/made-up-token", b"made-up-token"), "/*");
        assert_eq!(clean("a\nb\u{7f}", b"x"), "a?b?");
        assert_eq!(clean(&"é".repeat(500), b"x").chars().count(), MAX_LABEL);
    }

    #[test]
    fn a_pointer_is_escaped() {
        assert_eq!(pointer(&["a/b".to_owned(), "c~d".to_owned()]), "/a~1b/c~0d");
    }
}
