//! JSON web tokens (RFC 7519): what their claims say, without a look at the signature. A claim is what the token says of
//! itself; nobody here trusts it.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::model::Subject;
use crate::catalogue::model::Kind;

/// Longest token that is read, in bytes. Cookies and headers end at 8 to 16 KiB; Azure's with many groups come close to that.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most scopes that are kept.
const MAX_SCOPES: usize = 64;
/// Longest issuer and scope in bytes.
const MAX_WORD: usize = 200;

/// What a JSON web token says of itself. Of whom it names, only the class is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// `iss`.
    pub issuer: Option<String>,
    /// Whom it stands for.
    pub subject: Subject,
    /// `scope`, `scp`, `permissions` and `roles`.
    pub scopes: Vec<String>,
    /// `iat`, else `nbf`.
    pub issued: Option<Timestamp>,
    /// `exp`.
    pub expires: Option<Timestamp>,
    /// `azp`, else `client_id`, `cid` or `appid`: the program that asked for it.
    pub client: Option<String>,
    /// What it is, if it says so.
    pub kind: Option<Kind>,
    /// The claims are encrypted (JWE): none can be read.
    pub encrypted: bool,
    /// It is an example of textbooks, or unsigned.
    pub example: bool,
}

/// Reads a token that stands alone, perhaps behind `Bearer `. `None` if it is no JSON web token.
#[must_use]
pub fn read(token: &[u8]) -> Option<Jwt> {
    let token = token.trim_ascii();
    let token = token.strip_prefix(b"Bearer ").unwrap_or(token);
    if token.len() > MAX_BYTES {
        return None;
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let header = object(parts.next()?)?;
    let algorithm = header.get("alg")?.as_str()?;
    let payload = parts.next()?;
    let signature = parts.next()?;
    match (parts.next(), parts.next(), parts.next()) {
        (None, None, None) => {}
        (Some(_), Some(_), None) if header.contains_key("enc") => return Some(unreadable()),
        _ => return None,
    }
    let url_safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !signature.iter().all(url_safe) {
        return None;
    }
    let claims = object(payload)?;
    let unsigned = algorithm.eq_ignore_ascii_case("none") || signature.is_empty();
    // The introduction of jwt.io, and that of PyJWT.
    let of_textbooks = [("sub", "1234567890"), ("some", "payload")];
    let example = of_textbooks.iter().any(|(name, value)| claims.get(*name).is_some_and(|claim| claim == value));
    Some(Jwt { example: unsigned || example, ..of(&header, &claims) })
}

fn unreadable() -> Jwt {
    Jwt {
        issuer: None,
        subject: Subject::Unknown,
        scopes: Vec::new(),
        issued: None,
        expires: None,
        client: None,
        kind: None,
        encrypted: true,
        example: false,
    }
}

/// A part that is base64url of a JSON object. serde_json bounds the depth.
fn object(part: &[u8]) -> Option<Map<String, Value>> {
    let part = part.strip_suffix(b"==").or_else(|| part.strip_suffix(b"=")).unwrap_or(part);
    let json = Zeroizing::new(BASE64URL_NOPAD.decode(part).ok()?);
    match serde_json::from_slice(&json).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn of(header: &Map<String, Value>, claims: &Map<String, Value>) -> Jwt {
    let client = ["azp", "client_id", "cid", "appid"].iter().find_map(|name| word(claims.get(*name)?));
    Jwt {
        issuer: claims.get("iss").and_then(word),
        subject: subject(claims, client.as_deref()),
        scopes: scopes(claims),
        issued: time(claims, "iat").or_else(|| time(claims, "nbf")),
        expires: time(claims, "exp"),
        kind: kind(header, claims),
        client,
        encrypted: false,
        example: false,
    }
}

/// A string that can be shown: of bounded length, without blanks and control characters.
fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let shown = !text.is_empty() && text.len() <= MAX_WORD && text.chars().all(|c| c.is_ascii_graphic());
    shown.then(|| text.to_owned())
}

/// `NumericDate` of RFC 7519: seconds, perhaps with a fraction. Text is not allowed and met all the same.
fn time(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let seconds = match claims.get(name)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    // A cast of a float saturates, and the range is checked next.
    (seconds.is_finite() && seconds > 0.0).then(|| Timestamp::from_second(seconds as i64).ok()).flatten()
}

/// `scope` is one text (RFC 8693), `scp` one text (Entra ID) or a list (Okta), `permissions` (Auth0) and `roles` are lists.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for value in ["scope", "scp", "permissions", "roles"].iter().filter_map(|name| claims.get(*name)) {
        let words: Vec<&str> = match value {
            Value::String(text) => text.split_ascii_whitespace().take(MAX_SCOPES).collect(),
            Value::Array(list) => list.iter().take(MAX_SCOPES).filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for word in words {
            let shown = word.len() <= MAX_WORD && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
            if shown && scopes.len() < MAX_SCOPES && !scopes.iter().any(|known| known == word) {
                scopes.push(word.to_owned());
            }
        }
    }
    scopes
}

/// Whom it stands for. Machines are told by their issuers' documented marks, persons by what only persons have.
fn subject(claims: &Map<String, Value>, client: Option<&str>) -> Subject {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let sub = text("sub").unwrap_or_default();
    let machine = [
        // Kubernetes: "system:serviceaccount:NAMESPACE:NAME".
        sub.starts_with("system:serviceaccount:"),
        // Entra ID, optional claim: app or user.
        text("idtyp") == Some("app"),
        // Auth0's machine-to-machine tokens.
        sub.ends_with("@clients"),
        text("gty") == Some("client-credentials"),
        // RFC 9068, section 2.2: without a person, `sub` is the client. Okta too.
        client.is_some_and(|client| client == sub),
        // Google's service accounts.
        [sub, text("email").unwrap_or_default()].iter().any(|name| name.ends_with(".gserviceaccount.com")),
        // Keycloak.
        text("preferred_username").is_some_and(|name| name.starts_with("service-account-")),
        // GitHub's and GitLab's tokens of a job.
        claims.contains_key("job_workflow_ref") || claims.contains_key("pipeline_source"),
    ];
    if machine.contains(&true) {
        return Subject::Machine;
    }
    let person = ["email", "upn", "unique_name", "preferred_username", "given_name", "family_name", "amr", "auth_time"];
    if person.iter().any(|name| claims.contains_key(*name)) || text("idtyp") == Some("user") {
        return Subject::Person;
    }
    Subject::Unknown
}

/// What it says it is: `typ` of the header (RFC 9068), `typ` of the claims (Keycloak), `token_use` (Cognito).
fn kind(header: &Map<String, Value>, claims: &Map<String, Value>) -> Option<Kind> {
    if claims.contains_key("kubernetes.io") || claims.contains_key("kubernetes.io/serviceaccount/namespace") {
        return Some(Kind::KubeSaToken);
    }
    let typ = header.get("typ").and_then(Value::as_str).unwrap_or_default();
    if typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt") {
        return Some(Kind::AccessToken);
    }
    let says = claims.get("typ").or_else(|| claims.get("token_use")).and_then(Value::as_str)?;
    match says.to_ascii_lowercase().as_str() {
        "refresh" | "offline" => Some(Kind::RefreshToken),
        "bearer" | "access" | "id" => Some(Kind::AccessToken),
        _ => None,
    }
}

/// A token of these claims, with a signature that is none. For tests.
#[cfg(test)]
pub(crate) fn made_up(header: &str, claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}.{}", part(header), part(claims), part("made-up signature, 32 bytes long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RS256: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

    fn claims(claims: &str) -> Jwt {
        read(made_up(RS256, claims).as_bytes()).unwrap()
    }

    #[test]
    fn claims_are_read() {
        let jwt = claims(
            r#"{"iss":"https://login.test.invalid/","sub":"00u1","email":"ann@test.invalid","scp":"openid Files.Read","roles":["Admin"],"iat":1800000000,"exp":1800003600.5,"azp":"cli"}"#,
        );
        assert_eq!(jwt.issuer.as_deref(), Some("https://login.test.invalid/"));
        assert_eq!(jwt.subject, Subject::Person);
        assert_eq!(jwt.scopes, ["openid", "Files.Read", "Admin"]);
        assert_eq!(jwt.issued, Timestamp::from_second(1_800_000_000).ok());
        assert_eq!(jwt.expires, Timestamp::from_second(1_800_003_600).ok());
        assert_eq!(jwt.client.as_deref(), Some("cli"));
        assert!(!format!("{jwt:?}").contains("ann@"));
    }

    #[test]
    fn machines_are_told_from_persons() {
        for (text, subject) in [
            (r#"{"sub":"system:serviceaccount:prod:deployer"}"#, Subject::Machine),
            (r#"{"sub":"system:node:one"}"#, Subject::Unknown),
            (r#"{"sub":"abc","client_id":"abc"}"#, Subject::Machine),
            (r#"{"sub":"abc","client_id":"abd"}"#, Subject::Unknown),
            (r#"{"sub":"1","idtyp":"app","upn":"x"}"#, Subject::Machine),
            (r#"{"sub":"1","upn":"x"}"#, Subject::Person),
            (r#"{"sub":"1","email":"x@y.iam.gserviceaccount.com"}"#, Subject::Machine),
            (
                r#"{"sub":"repo:o/r:ref:refs/heads/main","job_workflow_ref":"o/r/.github/workflows/w.yml"}"#,
                Subject::Machine,
            ),
            (r#"{"preferred_username":"service-account-ci"}"#, Subject::Machine),
            (r#"{"preferred_username":"ann"}"#, Subject::Person),
        ] {
            assert_eq!(claims(text).subject, subject, "{text}");
        }
    }

    #[test]
    fn it_says_what_it_is() {
        assert_eq!(claims(r#"{"kubernetes.io":{"namespace":"a"}}"#).kind, Some(Kind::KubeSaToken));
        assert_eq!(claims(r#"{"typ":"Refresh"}"#).kind, Some(Kind::RefreshToken));
        assert_eq!(claims(r#"{"token_use":"access"}"#).kind, Some(Kind::AccessToken));
        assert_eq!(claims(r#"{"token_use":"other"}"#).kind, None);
        let typed = made_up(r#"{"alg":"ES256","typ":"at+jwt"}"#, "{}");
        assert_eq!(read(typed.as_bytes()).unwrap().kind, Some(Kind::AccessToken));
    }

    #[test]
    fn examples_and_unsigned_tokens_are_named() {
        assert!(claims(r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#).example);
        assert!(read(made_up(r#"{"alg":"none"}"#, "{}").as_bytes()).unwrap().example);
        assert!(claims(r#"{"some":"payload"}"#).example);
        assert!(!claims(r#"{"sub":"1234567891"}"#).example);
    }

    #[test]
    fn an_encrypted_token_tells_nothing() {
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"dir","enc":"A256GCM"}"#);
        assert!(read(format!("{header}..aaaa.bbbb.cccc").as_bytes()).unwrap().encrypted);
        // Five parts without `enc` are something else.
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"dir"}"#);
        assert_eq!(read(format!("{header}..aaaa.bbbb.cccc").as_bytes()), None);
    }

    #[test]
    fn what_is_none_is_refused_and_nothing_panics() {
        let good = made_up(RS256, r#"{"iss":"x","exp":1}"#);
        assert!(read(format!("Bearer {good}\n").as_bytes()).is_some());
        for cut in 0..good.len() {
            // A cut in the signature cannot be seen; a cut in the claims can.
            let second = good.rfind('.').unwrap();
            assert_eq!(read(&good.as_bytes()[..cut]).is_some(), cut > second, "{cut}");
        }
        for odd in ["", ".", "..", "...", "eyJ.eyJ.x", "e30.e30.x", "bnVsbA.bnVsbA.x"] {
            assert_eq!(read(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(read(&vec![b'.'; MAX_BYTES + 1]), None);
        assert_eq!(read(made_up(RS256, &"[".repeat(5000)).as_bytes()), None);
        let odd = claims(r#"{"exp":1e300,"iat":-5,"scope":7,"iss":"a b","scp":[1,null,"ok"]}"#);
        assert_eq!((odd.expires, odd.issued, odd.issuer), (None, None, None));
        assert_eq!(odd.scopes, ["ok"]);
        let many: Vec<String> = (0..500).map(|n| format!("s{n}")).collect();
        let many = claims(&serde_json::json!({"scope": many.join(" "), "scp": many}).to_string());
        assert_eq!(many.scopes.len(), MAX_SCOPES);
    }
}
