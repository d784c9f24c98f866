//! Positions by tags: a walk over the index, so that its cost is that of what it finds, whatever the log's size.

use factum::{Direction, Query, Tag};
use rusqlite::{Statement, params};

/// How often one step may look into the index before it gives what it has.
const SEEKS: usize = 1_000;

/// Walks through the positions that may match a query whose every item names a tag.
pub(crate) struct TagWalk<'q> {
    items: Vec<Item<'q>>,
    direction: Direction,
}

struct Item<'q> {
    tags: &'q [Tag],
    /// Where it stands: not looked yet, at a position, or at its end.
    at: Place,
}

#[derive(Clone, Copy)]
enum Place {
    From(i64),
    Candidate(i64),
    End,
}

impl<'q> TagWalk<'q> {
    /// A walk that begins at this position; `None` where the query cannot be answered by tags alone.
    pub(crate) fn new(query: &'q Query, direction: Direction, from: i64) -> Option<Self> {
        if query.items().is_empty() || query.items().iter().any(|item| item.tags().is_empty()) {
            return None;
        }
        let items = query.items().iter().map(|item| Item { tags: item.tags(), at: Place::From(from) }).collect();
        Some(Self { items, direction })
    }

    /// The next position that may match, by a statement that seeks a tag in the walk's direction.
    ///
    /// A candidate need not match: whoever gets it looks at the event.
    pub(crate) fn next(&mut self, seek: &mut Statement<'_>) -> rusqlite::Result<Option<i64>> {
        let forward = self.direction == Direction::Forward;
        let mut next = None;
        for item in &mut self.items {
            if let Place::From(from) = item.at {
                let found = agree(seek, item.tags, from)?;
                item.at = found.map_or(Place::End, Place::Candidate);
            }
            if let Place::Candidate(at) = item.at {
                next = Some(next.map_or(at, |other| if forward { at.min(other) } else { at.max(other) }));
            }
        }
        if let Some(taken) = next {
            let after = if forward { taken + 1 } else { taken - 1 };
            for item in &mut self.items {
                if matches!(item.at, Place::Candidate(at) if at == taken) {
                    item.at = Place::From(after);
                }
            }
        }
        Ok(next)
    }
}

/// The first position at or after `from` (in the direction of the statement) that carries all of the tags: each tag in
/// turn moves to the position that another has reached, until all stand at one. Where that takes long, the place
/// reached is given, as a candidate that does not match.
fn agree(seek: &mut Statement<'_>, tags: &[Tag], from: i64) -> rusqlite::Result<Option<i64>> {
    let mut at = from;
    let mut agreed = 0;
    for tag in tags.iter().cycle().take(SEEKS.max(tags.len())) {
        let mut rows = seek.query(params![tag.as_str(), at])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let found = row.get(0)?;
        agreed = if found == at { agreed + 1 } else { 1 };
        at = found;
        if agreed >= tags.len() {
            break;
        }
    }
    Ok(Some(at))
}
