//! Posting to an HTTP receiver: one call, one answer, and what the answer means for the item.

use std::{fmt::Write as _, io::Read as _, time::Duration};

use jiff::Timestamp;
use ureq::{
    Agent,
    http::{HeaderMap, HeaderValue, Uri},
};

use super::{
    Refused,
    credential::CredentialError,
    keys::{Address, Endpoint, check},
    tls::TlsError,
};
use crate::{finding::visible, token::secret::Secret};

/// Most of an answer that is read, in bytes; beyond, the connection is given up.
const MAX_ANSWER: u64 = 64 << 10;

/// Most of an answer's text that is told, in characters.
const MAX_TOLD: usize = 200;

/// Longest wait that a receiver may ask for: it must not silence a sink for a day.
pub const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// A sink that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Its certificates or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address in a file or credential.
    #[error("the address in \"url_file\" or \"url_credential\" {0}")]
    Address(&'static str),
    /// The token.
    #[error("the token in \"{0}\" has characters that no header takes")]
    Token(&'static str),
    /// The proxy.
    #[error("the proxy cannot be used: {0}")]
    Proxy(ureq::Error),
    /// The runtime of gRPC.
    #[error("start the runtime of gRPC: {0}")]
    Runtime(std::io::Error),
}

/// A receiver.
pub struct Client {
    agent: Agent,
    url: Secret,
    shown: String,
    token: Option<Token>,
    /// What must not appear in a message: address and token, if they are secrets.
    secrets: Vec<Secret>,
}

/// A token and the header it goes into.
pub struct Token {
    /// Its name.
    pub header: String,
    /// Its value.
    pub value: Secret,
}

/// What a receiver said.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What `Retry-After` asks for.
    pub after: Option<Duration>,
    /// The body, up to 64 KiB.
    pub body: Vec<u8>,
}

/// The token of an endpoint, ready for its header.
///
/// # Errors
/// It cannot be read, or no header takes it.
pub fn token(endpoint: &Endpoint) -> Result<Option<Token>, OpenError> {
    let Some(source) = &endpoint.token else { return Ok(None) };
    let secret = source.load()?;
    let value = match endpoint.token_header {
        None => Secret::new([b"Bearer ", secret.expose()].concat()),
        Some(_) => secret,
    };
    if HeaderValue::from_bytes(value.expose()).is_err() {
        return Err(OpenError::Token("token_file"));
    }
    let header = endpoint.token_header.clone().unwrap_or_else(|| "authorization".to_owned());
    Ok(Some(Token { header, value }))
}

/// The address of an endpoint, with `path` appended to the one in the configuration.
///
/// # Errors
/// It is a secret that cannot be read, or no address.
pub fn url(endpoint: &Endpoint, path: &str) -> Result<(Secret, Uri), OpenError> {
    let (text, given) = match &endpoint.url {
        Address::Open(url) => (Secret::from(url.clone()), true),
        Address::Secret(source) => (source.load()?, false),
    };
    let text = std::str::from_utf8(text.expose()).map_err(|_| OpenError::Address("is no address"))?;
    // Whether plain HTTP is allowed was decided when the configuration was read.
    let uri = check(text, given).map_err(OpenError::Address)?;
    Ok((Secret::from(format!("{}{path}", text.trim_end_matches('/'))), uri))
}

/// What people are told of an address: never its path, which may be a secret.
#[must_use]
pub fn shown(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", uri.scheme_str().unwrap_or("https"), uri.host().unwrap_or_default())
}

impl Client {
    /// A receiver at the endpoint's address with `path` appended.
    ///
    /// # Errors
    /// Credentials or certificates that cannot be used.
    pub fn open(endpoint: &Endpoint, path: &str) -> Result<Self, OpenError> {
        let (url, uri) = url(endpoint, path)?;
        let token = token(endpoint)?;
        let mut secrets = Vec::new();
        if matches!(endpoint.url, Address::Secret(_)) {
            secrets.push(Secret::copy(url.expose()));
            secrets.push(Secret::copy(uri.path().as_bytes()));
        }
        if let Some(token) = &token {
            let value = token.value.expose();
            secrets.push(Secret::copy(value.strip_prefix(b"Bearer ").unwrap_or(value)));
        }
        let proxy = endpoint.proxy.as_deref().map(ureq::Proxy::new).transpose().map_err(OpenError::Proxy)?;
        let mut config = Agent::config_builder()
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(endpoint.timeout))
            .timeout_connect(Some(endpoint.timeout.min(Duration::from_secs(10))))
            .max_response_header_size(32 << 10)
            .max_idle_connections(1)
            .max_idle_age(Duration::from_secs(30))
            .user_agent(concat!("tokenhound/", env!("CARGO_PKG_VERSION")));
        // Plain HTTP needs no authorities, and a machine may have none.
        if uri.scheme_str() == Some("https") {
            config = config.tls_config(endpoint.tls.load()?.http()?);
        }
        Ok(Self { agent: config.build().into(), url, shown: shown(&uri), token, secrets })
    }

    /// Something else that must not appear in a message.
    pub fn hide(&mut self, secret: &Secret) {
        self.secrets.push(Secret::copy(secret.expose()));
    }

    /// Posts once.
    ///
    /// # Errors
    /// No answer came: the connection failed, or it took too long.
    pub fn post(&self, kind: &str, headers: &[(&str, String)], body: &[u8]) -> Result<Answer, Refused> {
        let url = std::str::from_utf8(self.url.expose()).unwrap_or_default();
        let mut request = self.agent.post(url).header("content-type", kind);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token
            && let Ok(mut value) = HeaderValue::from_bytes(token.value.expose())
        {
            value.set_sensitive(true);
            request = request.header(token.header.as_str(), value);
        }
        let mut response = request.send(body).map_err(|error| self.failed(&error))?;
        let after = retry_after(response.headers(), Timestamp::now());
        let mut text = Vec::new();
        // What is left of a longer answer is not read: without its end the connection is not used again.
        let _ = response.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut text);
        Ok(Answer { status: response.status().as_u16(), after, body: text })
    }

    /// What a failed call means: nothing was said of the item.
    fn failed(&self, error: &ureq::Error) -> Refused {
        let what = match error {
            // These repeat the address.
            ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) | ureq::Error::Http(_) => {
                "the address cannot be used".to_owned()
            }
            other => self.clean(&other.to_string()),
        };
        Refused::Later { why: format!("post to {}: {what}", self.shown), after: None }
    }

    /// An answer as words: where, status, and the beginning of what was said.
    #[must_use]
    pub fn told(&self, answer: &Answer) -> String {
        let mut told = format!("{} answered {}", self.shown, answer.status);
        let text = self.clean(&String::from_utf8_lossy(&answer.body));
        if !text.is_empty() {
            let _ = write!(told, ": {text}");
        }
        told
    }

    /// Text of others: without secrets of ours that it repeats, on one line, short.
    fn clean(&self, text: &str) -> String {
        cleaned(text, &self.secrets)
    }
}

/// Text of others as it may be told: without `secrets`, on one line, at most 200 characters.
#[must_use]
pub fn cleaned(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.trim().to_owned();
    for secret in secrets {
        if let Ok(secret) = std::str::from_utf8(secret.expose())
            && secret.len() > 1
        {
            text = text.replace(secret, "[redacted]");
        }
    }
    visible::text(&text.chars().take(MAX_TOLD).collect::<String>())
}

/// What an answer means for an item. Statuses that speak of us (who are you, where is that) or of the receiver's state
/// are tried again; the others speak of the item.
///
/// # Errors
/// What is to be done with the item that was not taken.
pub fn judge(answer: &Answer, told: impl FnOnce() -> String) -> Result<(), Refused> {
    let after = answer.after;
    match answer.status {
        200..=299 => Ok(()),
        300..=399 => Err(Refused::Later { why: format!("{}; redirects are not followed", told()), after }),
        401 | 407 => Err(Refused::Later { why: format!("{}; look at the credential of the sink", told()), after }),
        404 | 405 => Err(Refused::Later { why: format!("{}; look at the address of the sink", told()), after }),
        408 | 421 | 425 | 429 | 500..=599 => Err(Refused::Later { why: told(), after }),
        _ => Err(Refused::ForGood { why: told() }),
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. At most [`MAX_WAIT`].
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(date.duration_since(now)).ok()?
        }
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer { status, after: Some(Duration::from_secs(3)), body: Vec::new() }
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        for status in [200, 202, 204] {
            assert!(judge(&answer(status), String::new).is_ok(), "{status}");
        }
        for status in [301, 308, 401, 404, 407, 408, 425, 429, 500, 502, 503, 504] {
            let later = judge(&answer(status), String::new);
            assert!(
                matches!(later, Err(Refused::Later { after: Some(after), .. }) if after.as_secs() == 3),
                "{status}"
            );
        }
        for status in [400, 403, 409, 410, 413, 415, 422] {
            assert!(matches!(judge(&answer(status), String::new), Err(Refused::ForGood { .. })), "{status}");
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date_and_bounded() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("999999", Some(900)),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            assert_eq!(retry_after(&headers, now).map(|wait| wait.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn text_of_others_is_cut_and_repeats_no_secret() {
        let secrets = [Secret::from("made-up-4711".to_owned())];
        assert_eq!(cleaned(" bad key made-up-4711\nsorry ", &secrets), visible::text("bad key [redacted]\nsorry"));
        assert_eq!(cleaned(&"x".repeat(900), &secrets).len(), MAX_TOLD);
    }
}
