//! A compact list of ascending positions.

use crate::place::Position;

/// Ascending positions, each as the difference to the one before in LEB128
/// (<https://en.wikipedia.org/wiki/LEB128>): one or two bytes for each event of a busy document.
///
/// ```
/// use factum::{Position, Positions};
///
/// let mut positions = Positions::default();
/// positions.push(Position::new(300));
/// positions.push(Position::new(302));
/// assert_eq!(positions.as_bytes().len(), 3);
/// let again = Positions::from_bytes(positions.as_bytes().to_vec()).unwrap();
/// assert_eq!(again.iter().map(Position::get).collect::<Vec<_>>(), [300, 302]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    bytes: Vec<u8>,
    last: u64,
}

impl Positions {
    /// Adds a position that is greater than all before; another is ignored.
    pub fn push(&mut self, position: Position) {
        let Some(mut delta) = position.get().checked_sub(self.last).filter(|delta| *delta > 0) else {
            return;
        };
        self.last = position.get();
        while delta >= 0x80 {
            self.bytes.push((delta & 0x7f) as u8 | 0x80);
            delta >>= 7;
        }
        self.bytes.push(delta as u8);
    }

    /// The encoded form, for a column.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the encoded form; `None` if it is not one.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Iter { bytes: &bytes, last: 0 };
        while !reader.bytes.is_empty() {
            reader.step()?;
        }
        let last = reader.last;
        Some(Self { bytes, last })
    }

    /// The positions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        Iter { bytes: &self.bytes, last: 0 }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

struct Iter<'a> {
    bytes: &'a [u8],
    last: u64,
}

impl Iter<'_> {
    fn step(&mut self) -> Option<()> {
        let mut delta = 0u64;
        let mut shift = 0;
        loop {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            delta |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 64)?;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        self.last = self.last.checked_add(delta).filter(|_| delta > 0)?;
        Some(())
    }
}

impl Iterator for Iter<'_> {
    type Item = Position;
    fn next(&mut self) -> Option<Position> {
        self.step().map(|()| Position::new(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_survive_their_bytes(mut numbers in proptest::collection::vec(1..=i64::MAX as u64, 0..50)) {
            numbers.sort_unstable();
            numbers.dedup();
            let mut positions = Positions::default();
            for number in &numbers {
                positions.push(Position::new(*number));
            }
            let again = Positions::from_bytes(positions.as_bytes().to_vec()).unwrap();
            prop_assert_eq!(again.iter().map(Position::get).collect::<Vec<_>>(), numbers);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(positions) = Positions::from_bytes(bytes) {
                let all: Vec<_> = positions.iter().collect();
                prop_assert!(all.is_sorted());
            }
        }
    }
}
