//! How long, as it is written on the command line.

use std::time::Duration;

/// Reads a time: numbers with units such as `d`, `h`, `m`, `s` or `ms`, or `0`, or `forever`.
///
/// # Errors
/// What is wrong, and what would be right.
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
        "0" => Ok(Duration::ZERO),
        "forever" => Ok(Duration::MAX),
        _ => humantime::parse_duration(text).map_err(|error| {
            format!("{error}; write a time such as 1h, 30m, 90s, 2d or 1h30m; 0 for none, forever for no end")
        }),
    }
}

/// A time as it would be written.
pub(crate) fn show_duration(time: Duration) -> String {
    match time {
        Duration::ZERO => "0".to_owned(),
        Duration::MAX => "forever".to_owned(),
        time => humantime::format_duration(time).to_string(),
    }
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
        for text in ["", "1", "h", "1x", "-1h", "1H", "99999999999999999999d", "é"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("1h30m"), "{text:?}: {error}");
        }
    }
}
