//! As of when, as it is written on the command line.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use factum::{At, Cursor, Version};

const EXPECTED: &str = "write a position such as 29344, version:3, occurred:1993-06-30 or recorded:1993-06-30T12:00:00Z; a \
                        day means its end";

/// Reads a moment: a position, `version:N`, `recorded:TIME` or `occurred:TIME`. A time is RFC 3339, or a day in UTC, which
/// means its last microsecond.
///
/// # Errors
/// What would be right.
///
/// ```
/// use factum::{At, Position};
///
/// assert_eq!(factum_ops::parse_at("29344"), Ok(At::from(Position::new(29_344))));
/// let end = "1993-06-30T23:59:59.999999Z".parse().unwrap();
/// assert_eq!(factum_ops::parse_at("occurred:1993-06-30"), Ok(At::Occurred(end)));
/// assert!(factum_ops::parse_at("yesterday").is_err());
/// ```
pub fn parse_at(text: &str) -> Result<At, String> {
    let at = match text.split_once(':') {
        Some(("position", position)) => position.parse().ok().map(|position: Cursor| At::from(position)),
        Some(("version", version)) => version.parse().ok().and_then(|n| Version::new(n).ok()).map(At::Version),
        Some(("recorded", text)) => time(text).map(At::Recorded),
        Some(("occurred", text)) => time(text).map(At::Occurred),
        _ => text.parse().ok().map(|position: Cursor| At::from(position)),
    };
    at.ok_or_else(|| EXPECTED.to_owned())
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    // chrono would take years of other lengths, signs and single digits too.
    let shape = text.len() == 10 && text.bytes().take(4).all(|byte| byte.is_ascii_digit());
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| shape)?;
    day.and_time(NaiveTime::MIN).and_utc().checked_add_signed(TimeDelta::days(1) - TimeDelta::microseconds(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_moment_is_read_again() {
        for text in
            ["0", "29344", "0:17,1:4", "version:3", "recorded:1993-06-30T12:00:00Z", "occurred:2026-01-01T00:00:00.5Z"]
        {
            let at = parse_at(text).unwrap();
            assert_eq!(parse_at(&at.to_string()), Ok(at), "{text}");
        }
        assert_eq!(parse_at("position:17"), parse_at("17"));
        assert_eq!(parse_at("recorded:1993-06-30T14:00:00+02:00"), parse_at("recorded:1993-06-30T12:00:00Z"));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        let wrong = [
            "",
            "x",
            "-1",
            "1.5",
            "version:0",
            "version:x",
            "version:",
            "recorded:",
            "occurred:1993-6-30",
            "occurred:1993-02-29",
            "happened:1993-06-30",
            "1993-06-30",
            "occurred:+993-06-30",
            "recorded:12:00",
        ];
        for text in wrong {
            assert!(parse_at(text).is_err(), "{text:?} was taken");
        }
    }
}
