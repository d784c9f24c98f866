//! Arrays of texts as the server sends them.
//!
//! <https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c> (`array_send`): the number of
//! dimensions, whether there are NULLs, the element type; for each dimension its length and lower bound; then each element
//! behind its length.

const MAX_EXPECTED: usize = 64;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("the array ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn integer(&mut self) -> Result<i32, &'static str> {
        let bytes = self.take(4)?;
        bytes.try_into().map(i32::from_be_bytes).map_err(|_| "the array ends early")
    }
}

/// The elements of an array of texts of one dimension.
pub(crate) fn texts(bytes: &[u8]) -> Result<Vec<&str>, &'static str> {
    let mut reader = Reader(bytes);
    let dimensions = reader.integer()?;
    reader.take(8)?;
    match dimensions {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err("the array has several dimensions"),
    }
    let len = usize::try_from(reader.integer()?).map_err(|_| "the array has a negative length")?;
    reader.take(4)?;
    let mut texts = Vec::with_capacity(len.min(MAX_EXPECTED));
    for _ in 0..len {
        let len = usize::try_from(reader.integer()?).map_err(|_| "the array holds a NULL")?;
        texts.push(std::str::from_utf8(reader.take(len)?).map_err(|_| "the array holds a text that is not UTF-8")?);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(texts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = texts.len() as i32;
        for number in [1, 0, 25, count, 1] {
            bytes.extend_from_slice(&i32::to_be_bytes(number));
        }
        for text in texts {
            bytes.extend_from_slice(&(text.len() as i32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    #[test]
    fn elements_come_back() {
        assert_eq!(texts(&sent(&["course:c1", "", "ž"])), Ok(vec!["course:c1", "", "ž"]));
        assert_eq!(texts(&[0; 12]), Ok(vec![]));
    }

    #[test]
    fn what_ends_early_is_told() {
        let whole = sent(&["course:c1", "student:s1"]);
        for len in 0..whole.len() {
            assert!(texts(&whole[..len]).is_err(), "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = texts(&bytes);
        }
    }
}
