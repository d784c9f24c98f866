//! Days, and their beginning and end in UTC.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::error::BankError;

/// The beginning of a day written YYYY-MM-DD.
pub(crate) fn start(text: &str) -> Result<DateTime<Utc>, BankError> {
    let no_day = || BankError::NoDay { text: text.to_owned() };
    // chrono would take years of other lengths, signs and single digits too.
    let shape = text.len() == 10 && text.bytes().take(4).all(|byte| byte.is_ascii_digit());
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| shape).ok_or_else(no_day)?;
    Ok(day.and_time(NaiveTime::MIN).and_utc())
}

/// The last microsecond of a day written YYYY-MM-DD: what stores keep is cut to microseconds.
pub(crate) fn end(text: &str) -> Result<DateTime<Utc>, BankError> {
    let start = start(text)?;
    start
        .checked_add_signed(TimeDelta::days(1) - TimeDelta::microseconds(1))
        .ok_or(BankError::NoDay { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_with_its_last_microsecond() {
        assert_eq!(end("1993-06-30").unwrap().to_rfc3339(), "1993-06-30T23:59:59.999999+00:00");
        assert_eq!(start("1996-02-29").unwrap().to_rfc3339(), "1996-02-29T00:00:00+00:00");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "1993-02-29", "1993-6-30", "930630", "1993-06-30 ", "tomorrow", "+993-06-30", "-993-06-30"] {
            assert!(matches!(end(text), Err(BankError::NoDay { .. })), "{text:?} was taken");
        }
    }
}
