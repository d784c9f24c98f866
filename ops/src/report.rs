//! Errors as one line.

use std::error::Error;

/// An error and what its causes say beyond it, in one line: what a command prints of a failure.
///
/// ```
/// use factum::{Fault, FaultKind};
///
/// let cause = std::io::Error::other("no room left");
/// let fault = Fault::caused(FaultKind::Full, "writing to bank.db failed", cause);
/// assert_eq!(factum_ops::one_line(&fault), "writing to bank.db failed: no room left");
/// ```
pub fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum::{Fault, FaultKind, ReadError};

    #[test]
    fn a_line_holds_every_cause_once() {
        let cause = std::io::Error::other("disk\nfull");
        let error = ReadError::Fault(Fault::caused(FaultKind::Full, "writing to bank.db failed", cause));
        assert_eq!(one_line(&error), "reading failed: writing to bank.db failed: disk full");
    }
}
