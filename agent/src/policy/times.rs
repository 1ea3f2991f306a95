//! When a rule holds: days and hours of the week, and until when. Pure: the time is that of the access.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, Zoned, civil, tz::TimeZone};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES: u16 = 24 * 60;

/// Hours on some days of the week: `mon-fri 22:00-06:00 Europe/Berlin`. One that goes past midnight belongs to the day it
/// begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    text: String,
    days: [bool; 7],
    /// Minutes since midnight: from, and until before. `until` is at most a day after `from`.
    from: u16,
    until: u16,
    zone: TimeZone,
}

/// Why a window is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A word that is neither days, hours nor a zone.
    #[error("\"{0}\" is no day, hour or time zone; write for example 'mon-fri 22:00-06:00 Europe/Berlin'")]
    Word(String),
    /// Something is given twice.
    #[error(
        "\"{0}\" comes after another one; give days, hours and time zone once, in this order, and more windows as a list"
    )]
    Again(String),
    /// Hours of no length.
    #[error("\"{0}\" holds never; the end must differ from the begin")]
    Empty(String),
    /// The time zone database has no such zone.
    #[error("no time zone \"{0}\" in this machine's time zone database; leave it out for UTC")]
    Zone(String),
}

impl Window {
    /// Reads a window. A zone is looked up in the machine's time zone database.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let (mut days, mut hours, mut zone) = (None, None, None);
        for word in text.split_whitespace() {
            let again = || WindowError::Again(word.to_owned());
            if let Some(found) = parse_days(word) {
                if days.is_some() || hours.is_some() || zone.is_some() {
                    return Err(again());
                }
                days = Some(found);
            } else if let Some(found) = parse_hours(word) {
                if hours.is_some() || zone.is_some() {
                    return Err(again());
                }
                if found.0 == found.1 {
                    return Err(WindowError::Empty(word.to_owned()));
                }
                hours = Some(found);
            } else if word == "UTC" || word.contains('/') {
                if zone.is_some() {
                    return Err(again());
                }
                zone = Some(TimeZone::get(word).map_err(|_| WindowError::Zone(word.to_owned()))?);
            } else {
                return Err(WindowError::Word(word.to_owned()));
            }
        }
        if days.is_none() && hours.is_none() {
            return Err(WindowError::Word(text.to_owned()));
        }
        let (from, until) = hours.unwrap_or((0, MINUTES));
        let until = if until < from { until + MINUTES } else { until };
        Ok(Self {
            text: text.to_owned(),
            days: days.unwrap_or([true; 7]),
            from,
            until,
            zone: zone.unwrap_or(TimeZone::UTC),
        })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Is that moment in it?
    #[must_use]
    pub fn holds(&self, wall: SystemTime) -> bool {
        let Some(now) = zoned(wall, &self.zone) else { return false };
        let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        let today = day(&now);
        let yesterday = (today + 6) % 7;
        let within = |minute: u16| (self.from..self.until).contains(&minute);
        (self.days[today] && within(minute)) || (self.days[yesterday] && within(minute + MINUTES))
    }

    /// Whatever moment is in `other` is in it too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let wider = self.zone == other.zone && self.from <= other.from && self.until >= other.until;
        wider && self.days.iter().zip(&other.days).all(|(mine, theirs)| *mine || !theirs)
    }
}

/// `mon`, `mon-fri`, `sat,sun`.
fn parse_days(word: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        for at in 0..=(last + 7 - first) % 7 {
            days[(first + at) % 7] = true;
        }
    }
    Some(days)
}

/// `22:00-06:00`.
fn parse_hours(word: &str) -> Option<(u16, u16)> {
    let (from, until) = word.split_once('-')?;
    Some((parse_minute(from)?, parse_minute(until)?))
}

fn parse_minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= MINUTES).then_some(all)
}

/// The moment from which on a rule no longer holds: that time, or the end of that day in UTC.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn parse_expiry(text: &str) -> Result<SystemTime, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.into());
    }
    let end = text.parse::<civil::Date>().and_then(|date| date.tomorrow()?.to_zoned(TimeZone::UTC));
    end.map(|end| end.timestamp().into())
        .map_err(|_| format!("\"{text}\" is no date; write it as 2027-01-31 or 2027-01-31T18:00:00Z"))
}

/// `90s`, `30m`, `8h`, `7d`.
///
/// # Errors
/// What is wrong with the text, and what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration; write a number with s, m, h or d: 90s, 30m, 8h, 7d");
    let (unit, seconds) = match text.bytes().last() {
        Some(b's') => ('s', 1),
        Some(b'm') => ('m', 60),
        Some(b'h') => ('h', 3600),
        Some(b'd') => ('d', 86_400),
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|seconds| (1..=3660 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("\"{text}\" is not between 1s and 3660d"))
}

/// As a date or time for people.
#[must_use]
pub fn shown(moment: SystemTime) -> String {
    Timestamp::try_from(moment).map_or_else(|_| "a time out of range".to_owned(), |moment| moment.to_string())
}

fn zoned(wall: SystemTime, zone: &TimeZone) -> Option<Zoned> {
    Timestamp::try_from(wall).ok().map(|moment| moment.to_zoned(zone.clone()))
}

fn day(moment: &Zoned) -> usize {
    usize::from(moment.weekday().to_monday_zero_offset().unsigned_abs())
}

/// Hour in UTC.
#[must_use]
pub fn hour(wall: SystemTime) -> u32 {
    zoned(wall, &TimeZone::UTC).map_or(0, |moment| u32::from(moment.hour().unsigned_abs()))
}

/// Day of the week in UTC, `mon` to `sun`.
#[must_use]
pub fn weekday(wall: SystemTime) -> &'static str {
    zoned(wall, &TimeZone::UTC).and_then(|moment| DAYS.get(day(&moment)).copied()).unwrap_or("mon")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    #[test]
    fn a_window_holds_on_its_days_and_in_its_hours() {
        // 2026-11-30 is a Monday.
        for (window, moment, expected) in [
            ("mon", "2026-11-30T00:00:00Z", true),
            ("mon", "2026-12-01T00:00:00Z", false),
            ("sat-mon", "2026-11-29T12:00:00Z", true),
            ("sat,sun", "2026-11-30T12:00:00Z", false),
            ("01:00-05:30", "2026-11-30T01:00:00Z", true),
            ("01:00-05:30", "2026-11-30T05:29:59Z", true),
            ("01:00-05:30", "2026-11-30T05:30:00Z", false),
            ("mon 22:00-06:00", "2026-11-30T23:00:00Z", true),
            ("mon 22:00-06:00", "2026-12-01T05:59:00Z", true),
            ("mon 22:00-06:00", "2026-11-30T05:59:00Z", false),
            ("mon 22:00-06:00", "2026-12-01T23:00:00Z", false),
            ("mon 20:00-24:00", "2026-11-30T23:59:59Z", true),
            ("mon 20:00-24:00", "2026-12-01T00:00:00Z", false),
            ("MON 09:00-17:00 UTC", "2026-11-30T10:00:00Z", true),
        ] {
            assert_eq!(Window::parse(window).unwrap().holds(at(moment)), expected, "{window} {moment}");
        }
    }

    #[test]
    fn mistakes_in_windows_are_named() {
        for (window, said) in [
            ("mo", "\"mo\" is no day"),
            ("25:00-26:00", "is no day"),
            ("10:00", "is no day"),
            ("10:00-10:00", "holds never"),
            ("mon tue", "\"tue\" comes after"),
            ("10:00-12:00 mon", "in this order"),
            ("mon 10:00-12:00 Nowhere/City", "no time zone \"Nowhere/City\""),
            ("UTC", "is no day"),
            ("", "is no day"),
        ] {
            let error = Window::parse(window).unwrap_err().to_string();
            assert!(error.contains(said), "{window}: {error}");
        }
    }

    #[test]
    fn a_day_ends_at_its_end() {
        assert_eq!(parse_expiry("2026-11-30").unwrap(), at("2026-12-01T00:00:00Z"));
        assert_eq!(parse_expiry("2026-11-30T18:00:00+01:00").unwrap(), at("2026-11-30T17:00:00Z"));
        assert!(parse_expiry("30.11.2026").unwrap_err().contains("write it as"));
        assert!(parse_expiry("2026-02-30").is_err());
        assert_eq!(hour(at("2026-11-30T18:20:00Z")), 18);
        assert_eq!(weekday(at("2026-11-30T18:20:00Z") - Duration::from_secs(86400)), "sun");
    }

    #[test]
    fn the_wider_window_is_the_one_that_holds_longer() {
        let covers = |wide: &str, narrow: &str| Window::parse(wide).unwrap().covers(&Window::parse(narrow).unwrap());
        assert!(covers("mon-fri", "tue 10:00-12:00"));
        assert!(!covers("tue 10:00-12:00", "mon-fri"));
        assert!(!covers("10:00-12:00", "10:00-12:01"));
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("8h", 28_800), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "8", "h", "8x", "-1h", "0s", "4000d", "99999999999999999999d", "8hh"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
