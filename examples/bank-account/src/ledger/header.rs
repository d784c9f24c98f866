//! Which column is which.

use super::row::{RowError, fields};

/// Where the columns that are booked stand, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) columns: usize,
    pub(super) trans_id: usize,
    pub(super) account_id: usize,
    pub(super) date: usize,
    pub(super) side: usize,
    pub(super) amount: usize,
}

impl Header {
    /// Finds the columns by name; says what is wrong with the line otherwise.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let names = fields(line).map_err(|error: RowError| format!("cannot be read: {error}"))?;
        let column = |wanted: &str| {
            let mut found = names.iter().enumerate().filter(|(_, name)| name.as_str() == wanted);
            match (found.next(), found.next()) {
                (Some((index, _)), None) => Ok(index),
                (None, _) => {
                    Err(format!("has none called {wanted}; expected trans_id;account_id;date;type;...;amount"))
                }
                (Some(_), Some(_)) => Err(format!("has two called {wanted}")),
            }
        };
        Ok(Self {
            columns: names.len(),
            trans_id: column("trans_id")?,
            account_id: column("account_id")?,
            date: column("date")?,
            side: column("type")?,
            amount: column("amount")?,
        })
    }
}
