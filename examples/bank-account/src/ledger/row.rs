//! One row: what it says, or why it is no row.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use thiserror::Error;

use super::header::Header;
use crate::account::Side;
use crate::money::{Money, MoneyError};

/// A transaction as a ledger states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Unique in the bank: the key of its command.
    pub(crate) trans_id: u64,
    pub(crate) account_id: u64,
    /// Midnight UTC of the day on which it took effect.
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) side: Side,
    /// Never negative.
    pub(crate) amount: Money,
}

/// Why a line is no row.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum RowError {
    #[error("it is too long to be a row")]
    TooLong,
    #[error("a quote is not closed, or text follows a closed one")]
    Quote,
    #[error("it has {found} fields where the header has {expected}")]
    Fields { found: usize, expected: usize },
    #[error("the {column} {text:?} is not a number")]
    Number { column: &'static str, text: String },
    #[error("the date {text:?} is not a day written YYMMDD")]
    Date { text: String },
    #[error("the type {text:?} is none of PRIJEM, VYDAJ, VYBER")]
    Type { text: String },
    #[error(transparent)]
    Amount(#[from] MoneyError),
    #[error("the amount {amount} is negative; the type says which way it went")]
    Negative { amount: Money },
}

impl Row {
    pub(super) fn parse(line: &[u8], header: &Header) -> Result<Self, RowError> {
        let fields = fields(line)?;
        if fields.len() != header.columns {
            return Err(RowError::Fields { found: fields.len(), expected: header.columns });
        }
        let amount: Money = fields[header.amount].parse()?;
        if amount.is_negative() {
            return Err(RowError::Negative { amount });
        }
        Ok(Self {
            trans_id: number("trans_id", &fields[header.trans_id])?,
            account_id: number("account_id", &fields[header.account_id])?,
            occurred_at: date(&fields[header.date])?,
            side: side(&fields[header.side])?,
            amount,
        })
    }
}

/// Splits a line at `;`, outside quotes; a quote within quotes is doubled. Every byte of ISO-8859-1 is the character
/// of the same number.
pub(super) fn fields(line: &[u8]) -> Result<Vec<String>, RowError> {
    let mut fields = Vec::with_capacity(10);
    let mut bytes = line.iter().copied().peekable();
    loop {
        let mut field = String::new();
        if bytes.next_if_eq(&b'"').is_some() {
            loop {
                match bytes.next().ok_or(RowError::Quote)? {
                    b'"' if bytes.next_if_eq(&b'"').is_some() => field.push('"'),
                    b'"' => break,
                    byte => field.push(char::from(byte)),
                }
            }
        } else {
            while let Some(byte) = bytes.next_if(|byte| *byte != b';') {
                field.push(char::from(byte));
            }
        }
        fields.push(field);
        match bytes.next() {
            None => return Ok(fields),
            Some(b';') => {}
            Some(_) => return Err(RowError::Quote),
        }
    }
}

fn number(column: &'static str, text: &str) -> Result<u64, RowError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| RowError::Number { column, text: short(text) })
}

/// The bank's ledger covers 1993 to 1998, so a year of two digits is one of the 1900s.
fn date(text: &str) -> Result<DateTime<Utc>, RowError> {
    let malformed = || RowError::Date { text: short(text) };
    if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let part = |range: std::ops::Range<usize>| text[range].parse::<u32>().map_err(|_| malformed());
    let year = i32::try_from(1900 + part(0..2)?).map_err(|_| malformed())?;
    let day = NaiveDate::from_ymd_opt(year, part(2..4)?, part(4..6)?).ok_or_else(malformed)?;
    Ok(day.and_time(NaiveTime::MIN).and_utc())
}

fn side(text: &str) -> Result<Side, RowError> {
    match text {
        "PRIJEM" => Ok(Side::Credit),
        "VYDAJ" | "VYBER" => Ok(Side::Debit),
        _ => Err(RowError::Type { text: short(text) }),
    }
}

/// So much of a field as an error shows.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
