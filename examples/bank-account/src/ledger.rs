//! The PKDD'99 ledger: one transaction a line, `;` between fields, ISO-8859-1, a header line; plain or gzip.
//!
//! It is read line by line, never as a whole: a field of this format holds no line end, so a row that is malformed, a
//! quote without its partner included, spoils its own line and no other.

mod header;
mod lines;
mod row;
mod source;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub(crate) use row::{Row, RowError};
pub(crate) use source::{Progress, look};

use header::Header;
use lines::{Line, Lines};

/// Why a ledger cannot be read, or not further.
#[derive(Debug, Error)]
pub(crate) enum LedgerError {
    #[error("{} cannot be opened: {source}; give the path of a ledger, plain or .gz", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is a directory; give the path of a ledger, plain or .gz", path.display())]
    Directory { path: PathBuf },
    #[error("{} is empty; a ledger begins with a header line", path.display())]
    Empty { path: PathBuf },
    #[error("{} is no ledger: line 1 should name the columns and {what}", path.display())]
    Header { path: PathBuf, what: String },
    #[error("{} is cut off or damaged after line {line}: {source}; get a whole copy and import it: what was booked is not booked again", path.display())]
    Broken { path: PathBuf, line: u64, source: io::Error },
}

/// A line of a ledger that should have been a row.
#[derive(Debug)]
pub(crate) struct LedgerLine {
    /// Its number in the file, from 1; the header has the first.
    pub(crate) number: u64,
    pub(crate) row: Result<Row, RowError>,
}

/// Reads a ledger from its beginning; iterates over its rows.
pub(crate) struct Ledger {
    path: PathBuf,
    lines: Lines,
    header: Header,
    ended: bool,
}

impl Ledger {
    pub(crate) fn open(path: &Path) -> Result<(Self, Progress), LedgerError> {
        let (reader, progress) = source::open(path)?;
        let mut lines = Lines::new(reader);
        let owned = || path.to_path_buf();
        let first = match lines.next().map_err(|source| LedgerError::Broken { path: owned(), line: 0, source })? {
            Some(Line::Text(text)) => text,
            Some(Line::TooLong) => {
                return Err(LedgerError::Header { path: owned(), what: "is far too long for that".to_owned() });
            }
            None => return Err(LedgerError::Empty { path: owned() }),
        };
        let header = Header::parse(first).map_err(|what| LedgerError::Header { path: owned(), what })?;
        Ok((Self { path: owned(), lines, header, ended: false }, progress))
    }
}

impl Iterator for Ledger {
    type Item = Result<LedgerLine, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let line = self.lines.number();
            let row = match self.lines.next() {
                Ok(None) => break,
                Ok(Some(Line::Text(text))) if text.iter().all(u8::is_ascii_whitespace) => continue,
                Ok(Some(Line::Text(text))) => Row::parse(text, &self.header),
                Ok(Some(Line::TooLong)) => Err(RowError::TooLong),
                Err(source) => {
                    self.ended = true;
                    return Some(Err(LedgerError::Broken { path: self.path.clone(), line, source }));
                }
            };
            return Some(Ok(LedgerLine { number: self.lines.number(), row }));
        }
        None
    }
}

#[cfg(test)]
mod tests;
