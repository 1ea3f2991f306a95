//! Times as stores write them ([`TimeEncoding`]), as points in time.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use super::{jwt, pem};
use crate::catalogue::model::TimeEncoding;

/// What a field for a time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// That time.
    At(Timestamp),
    /// Never: zero, a negative number, the year 0001 (Go's zero time, GitLab's runner) or 9999.
    Never,
}

impl Time {
    /// The point in time, if it says one.
    #[must_use]
    pub const fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// Longest text of a time in bytes. Tokens and certificates that carry one have their own bounds.
const MAX_TEXT: usize = 64;
/// Microseconds from 1601, where Windows and Chromium count from, to 1970.
const WEBKIT_EPOCH_US: i64 = 11_644_473_600_000_000;
/// More seconds than this (the year 5138) are milliseconds: some tools changed their unit and kept their field.
const MAX_SECONDS: f64 = 1e11;
/// The same for milliseconds that are microseconds.
const MAX_MILLISECONDS: f64 = 1e14;
/// From this year on a time is a way to say never.
const NEVER_FROM: i16 = 9999;

/// The time that the field's bytes say. `None` if they say none, or one that cannot be placed: local time without an offset,
/// and time since boot. Total.
#[must_use]
pub fn decode(encoding: TimeEncoding, bytes: &[u8]) -> Option<Time> {
    match encoding {
        TimeEncoding::JwtExp => jwt::read(bytes)?.expires.map(Time::At),
        TimeEncoding::JwtIat => jwt::read(bytes)?.issued.map(Time::At),
        TimeEncoding::X509 => pem::certificate(bytes).map(|validity| finite(validity.not_after)),
        TimeEncoding::SshCert => pem::ssh_certificate(bytes).map(|end| end.map_or(Time::Never, Time::At)),
        TimeEncoding::Rfc3339 => instant(text(bytes)?),
        TimeEncoding::EpochS | TimeEncoding::EpochSText => seconds(text(bytes)?.parse().ok()?),
        TimeEncoding::EpochMs => milliseconds(text(bytes)?.parse().ok()?),
        TimeEncoding::EpochUs => epoch(text(bytes)?.parse::<f64>().ok()? / 1e6),
        TimeEncoding::EpochSPlusSeconds => sum(text(bytes)?),
        TimeEncoding::WebkitUs => webkit(text(bytes)?.parse().ok()?),
        TimeEncoding::Date => date(text(bytes)?),
        TimeEncoding::SqliteUtc => civil(text(bytes)?),
        // Whose local time it is, is not in the file. With an offset it is a point in time.
        TimeEncoding::LocalDatetime => instant(text(bytes)?),
        TimeEncoding::Mixed => any(text(bytes)?),
        TimeEncoding::Monotonic | TimeEncoding::Unknown => None,
    }
}

/// Short text without blanks and quotes around it.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(4 * MAX_TEXT))?).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    (!text.is_empty() && text.len() <= MAX_TEXT).then_some(text)
}

fn instant(text: &str) -> Option<Time> {
    text.parse::<Timestamp>().ok().map(finite)
}

fn finite(time: Timestamp) -> Time {
    let year = time.to_zoned(TimeZone::UTC).year();
    if year <= 1 || year >= NEVER_FROM { Time::Never } else { Time::At(time) }
}

fn seconds(number: f64) -> Option<Time> {
    if number.abs() > MAX_SECONDS { milliseconds(number) } else { epoch(number) }
}

fn milliseconds(number: f64) -> Option<Time> {
    if number.abs() > MAX_MILLISECONDS { epoch(number / 1e6) } else { epoch(number / 1e3) }
}

/// Seconds since 1970, to the millisecond: that is what a double holds without guessing.
fn epoch(seconds: f64) -> Option<Time> {
    if !seconds.is_finite() {
        return None;
    }
    if seconds <= 0.0 {
        return Some(Time::Never);
    }
    // A cast of a float saturates; what is beyond jiff's range is refused there.
    Timestamp::from_millisecond((seconds * 1e3).round() as i64).ok().map(finite)
}

fn webkit(microseconds: i64) -> Option<Time> {
    if microseconds <= 0 {
        return Some(Time::Never);
    }
    Timestamp::from_microsecond(microseconds.checked_sub(WEBKIT_EPOCH_US)?).ok().map(finite)
}

/// `1700000000+3600`: when it was made and for how long.
fn sum(text: &str) -> Option<Time> {
    let (made, lives) = text.split_once('+')?;
    let (made, lives): (f64, f64) = (made.trim().parse().ok()?, lives.trim().parse().ok()?);
    if lives <= 0.0 { Some(Time::Never) } else { seconds(made + lives) }
}

/// `2026-01-31 12:00:00` in UTC, with or without parts of a second or `T`.
fn civil(text: &str) -> Option<Time> {
    let time: DateTime = text.parse().ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| finite(time.timestamp()))
}

/// A date, which holds from its first moment in UTC, or Go's `RFC822` (glab: `13 Jul 26 08:15 UTC`).
fn date(text: &str) -> Option<Time> {
    let date = text.parse::<Date>().ok().and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    if let Some(date) = date {
        return Some(finite(date.timestamp()));
    }
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")).unwrap_or(text);
    let rfc822 = DateTime::strptime("%d %b %y %H:%M", text).ok().and_then(|time| time.to_zoned(TimeZone::UTC).ok());
    rfc822.map(|time| finite(time.timestamp())).or_else(|| any_text(text))
}

fn any_text(text: &str) -> Option<Time> {
    instant(text).or_else(|| civil(text))
}

fn any(text: &str) -> Option<Time> {
    text.parse().ok().and_then(seconds).or_else(|| any_text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_is_the_same_moment() {
        let moment = Time::At("2027-01-15T08:00:00Z".parse().unwrap());
        for (encoding, text) in [
            (TimeEncoding::Rfc3339, "2027-01-15T08:00:00Z"),
            (TimeEncoding::Rfc3339, " 2027-01-15T09:00:00.000+01:00\n"),
            (TimeEncoding::EpochS, "1800000000"),
            (TimeEncoding::EpochS, "1800000000.0"),
            (TimeEncoding::EpochS, "1800000000000"),
            (TimeEncoding::EpochSText, "\"1800000000\""),
            (TimeEncoding::EpochMs, "1800000000000"),
            (TimeEncoding::EpochUs, "1800000000000000"),
            (TimeEncoding::EpochSPlusSeconds, "1799996400+3600"),
            (TimeEncoding::WebkitUs, "13444473600000000"),
            (TimeEncoding::SqliteUtc, "2027-01-15 08:00:00"),
            (TimeEncoding::Date, "15 Jan 27 08:00 UTC"),
            (TimeEncoding::LocalDatetime, "2027-01-15T10:00:00+02:00"),
            (TimeEncoding::Mixed, "2027-01-15T08:00:00Z"),
            (TimeEncoding::Mixed, "1800000000"),
        ] {
            assert_eq!(decode(encoding, text.as_bytes()), Some(moment), "{encoding:?} {text}");
        }
        let midnight = Time::At("2027-01-15T00:00:00Z".parse().unwrap());
        assert_eq!(decode(TimeEncoding::Date, b"2027-01-15"), Some(midnight));
    }

    #[test]
    fn what_means_never_is_no_time() {
        for (encoding, text) in [
            (TimeEncoding::Rfc3339, "0001-01-01T00:00:00Z"),
            (TimeEncoding::Rfc3339, "9999-12-30T21:59:59Z"),
            (TimeEncoding::EpochS, "0"),
            (TimeEncoding::EpochMs, "-1"),
            (TimeEncoding::WebkitUs, "0"),
            (TimeEncoding::EpochSPlusSeconds, "1800000000+0"),
        ] {
            assert_eq!(decode(encoding, text.as_bytes()), Some(Time::Never), "{encoding:?} {text}");
        }
    }

    #[test]
    fn what_says_no_time_is_none_and_never_a_crash() {
        let odd: [&[u8]; 14] = [
            b"",
            b" ",
            b"\"\"",
            b"soon",
            b"nan",
            b"inf",
            b"1e400",
            b"\xff\xfe",
            b"99999999999999999999999999999",
            b"-99999999999999999999999999999",
            b"2027-13-45T99:00:00Z",
            b"+",
            b"a.b.c",
            b"1+",
        ];
        for encoding in TimeEncoding::ALL {
            for bytes in odd.iter().copied().chain([&[b'9'; 4000][..]]) {
                assert_eq!(decode(*encoding, bytes).and_then(Time::at), None, "{encoding:?} {bytes:?}");
            }
        }
        // Local time without an offset cannot be placed, and an hour too many would make a dead token live.
        assert_eq!(decode(TimeEncoding::LocalDatetime, b"2027-01-15 08:00:00.000000"), None);
        assert_eq!(decode(TimeEncoding::Monotonic, b"1800000000"), None);
    }
}
