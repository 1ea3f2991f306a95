//! Keys that several types of sinks share.

use std::{path::PathBuf, time::Duration};

use ureq::http::Uri;

use super::{credential::Source, tls::Tls};
use crate::{
    policy::times,
    yaml::fields::{Fields, Reading},
};

/// How long one delivery may take unless `timeout` says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A path that must be absolute.
pub fn absolute(name: &'static str, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<PathBuf> {
    let place = fields.node(name)?.place;
    let path = PathBuf::from(fields.optional::<String>(name, reading)?);
    if path.is_absolute() {
        return Some(path);
    }
    reading.error(place, format!("\"{name}\" must be an absolute path, not \"{}\"", path.display()));
    None
}

/// A duration within bounds.
pub fn duration(
    name: &'static str,
    default: Duration,
    (least, most): (&'static str, &'static str),
    fields: &mut Fields<'_>,
    reading: &mut Reading<'_>,
) -> Duration {
    let Some(node) = fields.node(name) else { return default };
    let Some(text) = fields.optional::<String>(name, reading) else { return default };
    let bound = |text| times::duration(text).unwrap_or(default);
    match times::duration(&text) {
        Ok(given) if (bound(least)..=bound(most)).contains(&given) => return given,
        Ok(_) => reading.error(node.place, format!("\"{name}\" is between {least} and {most}")),
        Err(wrong) => reading.error(node.place, wrong),
    }
    default
}

/// A number within bounds.
pub fn number(
    name: &'static str,
    default: u64,
    (least, most): (u64, u64),
    fields: &mut Fields<'_>,
    reading: &mut Reading<'_>,
) -> u64 {
    let Some(node) = fields.node(name) else { return default };
    match fields.optional::<u64>(name, reading) {
        Some(given) if (least..=most).contains(&given) => given,
        Some(_) => {
            reading.error(node.place, format!("\"{name}\" is between {least} and {most}"));
            default
        }
        None => default,
    }
}

/// Where something answers over HTTP, and how to prove oneself to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address.
    pub url: Address,
    /// Certificates.
    pub tls: Tls,
    /// A token that goes into a header.
    pub token: Option<Source>,
    /// The header; without it `Authorization: Bearer TOKEN`.
    pub token_header: Option<String>,
    /// An HTTP proxy (`CONNECT`). Those of the environment are not used.
    pub proxy: Option<String>,
    /// How long one call may take, all in all.
    pub timeout: Duration,
}

/// An address, or where it is kept if it is a secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it is in the configuration.
    Open(String),
    /// As Slack's are.
    Secret(Source),
}

impl Endpoint {
    /// Reads the keys `url` (or `url_file`, `url_credential`), `ca`, `certificate`, `key_*`, `token_*`, `proxy`,
    /// `timeout` and `allow_plaintext`. `usual` is the address where none is given.
    pub fn read(usual: Option<&str>, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let plaintext = fields.optional("allow_plaintext", reading).unwrap_or(false);
        let tls = Tls::read(fields, reading);
        let token = Source::of("token_file", "token_credential", fields, reading);
        let token_header = token_header(token.is_some(), fields, reading);
        let proxy = proxy(fields, reading);
        let timeout = duration("timeout", TIMEOUT, ("1s", "5m"), fields, reading);
        let url = address(usual, plaintext, fields, reading)?;
        Some(Self { url, tls, token, token_header, proxy, timeout })
    }
}

fn address(
    usual: Option<&str>,
    plaintext: bool,
    fields: &mut Fields<'_>,
    reading: &mut Reading<'_>,
) -> Option<Address> {
    let secret = Source::of("url_file", "url_credential", fields, reading);
    let place = fields.node("url").map_or(fields.place(), |node| node.place);
    let given: Option<String> = fields.optional("url", reading);
    match (given, secret) {
        (Some(_), Some(_)) => reading.error(place, "\"url\" and \"url_file\" or \"url_credential\" exclude each other"),
        (None, Some(secret)) => return Some(Address::Secret(secret)),
        (Some(url), None) => match check(&url, plaintext) {
            Ok(_) => return Some(Address::Open(url)),
            Err(wrong) => reading.error(place, format!("\"url\": {wrong}")),
        },
        (None, None) => match usual {
            Some(usual) => return Some(Address::Open(usual.to_owned())),
            None => reading.error(place, "\"url\" is missing (or \"url_file\", \"url_credential\" if it is a secret)"),
        },
    }
    None
}

/// The address, if it is one that findings may be sent to.
///
/// # Errors
/// What is wrong with it, without repeating it: it may be a secret.
pub fn check(url: &str, plaintext: bool) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no address; write https://HOST[:PORT]/PATH")?;
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return Err("names no host; write https://HOST[:PORT]/PATH");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("user and password do not belong in an address; use token_file or token_credential");
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if plaintext || is_loopback(host) => Ok(uri),
        Some("http") => Err("http leaves findings readable on the way; use https, or say allow_plaintext: true"),
        _ => Err("must start with https:// (or http:// for this machine itself)"),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn token_header(has_token: bool, fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let place = fields.node("token_header")?.place;
    let header: String = fields.optional("token_header", reading)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !has_token {
        reading.error(place, "\"token_header\" needs \"token_file\" or \"token_credential\"");
    } else if header.is_empty() || header.len() > 64 || !header.chars().all(fits) {
        reading.error(place, format!("\"{header}\" is no name of a header"));
    } else {
        // HTTP/2, and so gRPC, knows small letters only.
        return Some(header.to_ascii_lowercase());
    }
    None
}

fn proxy(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let place = fields.node("proxy")?.place;
    let proxy: String = fields.optional("proxy", reading)?;
    match check(&proxy, true) {
        Ok(_) => Some(proxy),
        Err(wrong) => {
            reading.error(place, format!("\"proxy\": {wrong}"));
            None
        }
    }
}
