//! Lines of bounded length out of a reader of bytes.

use std::io::{self, BufRead};

/// How long a line may be, in bytes. A ledger's rows take about a hundred.
const MAX_LINE: usize = 16 << 10;

/// A line without its end, LF or CRLF.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// It has more than [`MAX_LINE`] bytes and was skipped.
    TooLong,
}

/// Hands out the lines of a reader; holds one at a time.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// The number of the line that was handed out last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end. A line that an error cuts off is not handed out.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let (mut too_long, mut any) = (false, false);
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            any = true;
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..newline.unwrap_or(buffer.len())];
            too_long |= self.line.len() + part.len() > MAX_LINE;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(newline.is_some());
            self.reader.consume(used);
            if newline.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(self.line.strip_suffix(b"\r").unwrap_or(&self.line))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], buffer: usize) -> Vec<Option<Vec<u8>>> {
        let reader = io::BufReader::with_capacity(buffer, io::Cursor::new(bytes.to_vec()));
        let mut lines = Lines::new(Box::new(reader));
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Text(text) => Some(text.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.number(), all.len() as u64);
        all
    }

    #[test]
    fn lines_end_with_lf_or_crlf_or_the_file_wherever_buffers_end() {
        for buffer in 1..12 {
            let expected = ["a;b", "", "c", "d"].map(|text| Some(text.as_bytes().to_vec()));
            assert_eq!(lines(b"a;b\r\n\nc\r\nd", buffer), expected);
            assert_eq!(lines(b"a\n", buffer), [Some(b"a".to_vec())]);
            assert_eq!(lines(b"", buffer), []);
        }
    }

    #[test]
    fn a_line_without_end_is_skipped_and_not_held() {
        let mut bytes = vec![b'x'; MAX_LINE + 1];
        bytes.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&bytes, 100), [None, Some(b"next".to_vec())]);
        let whole = vec![b'x'; MAX_LINE];
        assert_eq!(lines(&whole, 100), [Some(whole.clone())]);
    }
}
