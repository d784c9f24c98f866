//! What the server said of each append of a group.

use chrono::{DateTime, Utc};
use factum::Append;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// What the server said of a group.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The last position before the group.
    pub(crate) head: i64,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) verdicts: Vec<i16>,
    pub(crate) found: Option<Vec<Option<i64>>>,
    /// For each write, the version that its stream was at.
    pub(crate) lasts: Vec<i64>,
}

pub(crate) const HOLDS: i16 = 0;
pub(crate) const STREAM_CONFLICT: i16 = 1;
pub(crate) const QUERY_CONFLICT: i16 = 2;

impl Judged {
    pub(crate) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            head: row.try_get(0)?,
            recorded_at: row.try_get(1)?,
            verdicts: row.try_get(2)?,
            found: row.try_get(3)?,
            lasts: row.try_get(4)?,
        })
    }

    /// What `append_plain` answers, which says nothing of verdicts where all holds.
    pub(crate) fn of_plain(row: &PgRow, appends: &[&Append]) -> Result<Self, sqlx::Error> {
        let numbers: Vec<i64> = row.try_get(0)?;
        let senseless = || sqlx::Error::Decode(format!("an append was answered by {} numbers", numbers.len()).into());
        let writes = appends.iter().map(|append| append.writes.len()).sum();
        let (first, rest) = numbers.split_at_checked(2).ok_or_else(senseless)?;
        let (lasts, verdicts) = rest.split_at_checked(writes).ok_or_else(senseless)?;
        let ([head, recorded_at], true) = (first, verdicts.is_empty() || verdicts.len() == appends.len()) else {
            return Err(senseless());
        };
        let recorded_at = DateTime::from_timestamp_micros(*recorded_at).ok_or_else(senseless)?;
        let verdicts = match verdicts {
            [] => vec![HOLDS; appends.len()],
            told => {
                told.iter().map(|verdict| i16::try_from(*verdict)).collect::<Result<_, _>>().map_err(|_| senseless())?
            }
        };
        Ok(Self { head: *head, recorded_at, verdicts, found: None, lasts: lasts.to_vec() })
    }
}
