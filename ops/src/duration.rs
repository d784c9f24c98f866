//! How long, as it is written on the command line.

use std::time::Duration;

const EXPECTED: &str = "write a time such as 1h, 30m, 90s, 2d or 1h30m; 0 for none, forever for no end";

/// Reads a time: numbers with d, h, m, s or ms, the larger first, or `0`, or `forever`.
///
/// # Errors
/// What would be right.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(factum_ops::parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
/// assert_eq!(factum_ops::parse_duration("0"), Ok(Duration::ZERO));
/// assert!(factum_ops::parse_duration("90").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match text {
        "0" => return Ok(Duration::ZERO),
        "forever" => return Ok(Duration::MAX),
        _ => {}
    }
    let (mut total, mut rest, mut last) = (Duration::ZERO, text, u64::MAX);
    while !rest.is_empty() {
        let (part, unit, after) = part(rest).filter(|(_, unit, _)| *unit < last).ok_or_else(|| EXPECTED.to_owned())?;
        let part = part.checked_mul(unit).ok_or_else(|| EXPECTED.to_owned())?;
        (total, rest, last) = (total.saturating_add(Duration::from_millis(part)), after, unit);
    }
    if text.is_empty() { Err(EXPECTED.to_owned()) } else { Ok(total) }
}

/// A number, the milliseconds of its unit, and what follows.
fn part(text: &str) -> Option<(u64, u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let unit = match unit {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1_000,
        "ms" => 1,
        _ => return None,
    };
    Some((number.parse().ok()?, unit, rest))
}

/// A time as it would be written.
pub(crate) fn show_duration(time: Duration) -> String {
    if time == Duration::MAX {
        return "forever".to_owned();
    }
    let mut left = time.as_millis();
    let mut text = String::new();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
        if left >= unit {
            text.push_str(&format!("{}{name}", left / unit));
            left %= unit;
        }
    }
    if text.is_empty() { "0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_time_is_read_again() {
        for text in ["0", "1h", "30m", "90s", "2d", "1h30m", "250ms", "1d2h3m4s5ms", "forever"] {
            let time = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&show_duration(time)), Ok(time), "{text}");
        }
        assert_eq!(show_duration(Duration::from_secs(3_600)), "1h");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "1", "h", "1x", "-1h", "1.5h", "30m1h", "1h1h", "1 h", "1H", "99999999999999999999d", "é"] {
            assert!(parse_duration(text).is_err(), "{text:?} was taken");
        }
    }
}
