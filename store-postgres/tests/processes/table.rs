//! What the table holds in the end: the truth that readers and writers are compared with.

use std::collections::HashMap;

use factum::{Query, Tag};
use factum_postgres::sqlx::types::Uuid;
use factum_postgres::sqlx::{self, Row};

use crate::common::Place;

/// One row.
struct Event {
    position: i64,
    id: Uuid,
    stream: String,
    category: String,
    version: i64,
    event_type: String,
    tags: Vec<Tag>,
    /// The append that it came with, and how many events that had; `None` for the event that ends the test.
    append: Option<(String, i64)>,
    /// Up to where the writer had looked when it took a seat.
    after: Option<i64>,
}

pub(crate) struct Table(Vec<Event>);

impl Table {
    pub(crate) async fn read(place: &Place) -> Self {
        let all = "SELECT position, id, stream, category, version, event_type, tags, payload->>'append', \
                   (payload->>'of')::bigint, (payload->>'after')::bigint FROM factum.events ORDER BY position";
        let rows = sqlx::query(all).fetch_all(&mut place.connection().await).await.unwrap();
        let events = rows.iter().map(|row| Event {
            position: row.get(0),
            id: row.get(1),
            stream: row.get(2),
            category: row.get(3),
            version: row.get(4),
            event_type: row.get(5),
            tags: row
                .get::<Option<Vec<String>>, _>(6)
                .unwrap_or_default()
                .iter()
                .map(|tag| Tag::new(tag).unwrap())
                .collect(),
            append: row.get::<Option<String>, _>(7).zip(row.get(8)),
            after: row.get(9),
        });
        Self(events.collect())
    }

    /// Positions and ids of what a reader should have seen that began after a position.
    pub(crate) fn matching(&self, filter: &Query, after: i64) -> Vec<(i64, Uuid)> {
        let matches = |event: &&Event| {
            event.position > after && filter.matches_parts("", &event.category, &event.event_type, &event.tags)
        };
        self.0.iter().filter(matches).map(|event| (event.position, event.id)).collect()
    }

    pub(crate) fn is_dense_and_every_append_in_it_is_whole(&self) {
        let positions = self.0.iter().map(|event| event.position);
        assert!(positions.eq(1..=i64::try_from(self.0.len()).unwrap()), "there are holes");
        let mut versions: HashMap<&str, i64> = HashMap::new();
        for event in &self.0 {
            let last = versions.insert(&event.stream, event.version).unwrap_or(0);
            assert_eq!(event.version, last + 1, "{} at position {}", event.stream, event.position);
        }
        let mut begun: HashMap<&str, i64> = HashMap::new();
        for together in self.0.chunk_by(|one, next| one.append == next.append) {
            let Some((append, of)) = &together[0].append else { continue };
            assert_eq!(together.len(), usize::try_from(*of).unwrap(), "half of {append} is there");
            assert_eq!(begun.insert(append, together[0].position), None, "{append} is there twice");
        }
    }

    /// Nothing was recorded of a seat between where its writer had looked and what it wrote.
    pub(crate) fn holds_no_append_whose_query_condition_did_not_hold(&self) {
        let mut taken: HashMap<&Tag, i64> = HashMap::new();
        for event in &self.0 {
            for tag in &event.tags {
                let before = taken.insert(tag, event.position).unwrap_or(0);
                assert!(Some(before) <= event.after, "{tag} at {before} and {}", event.position);
            }
        }
        assert_eq!(taken.len(), 2, "there are two seats");
    }

    pub(crate) fn holds_what_was_answered(&self, answered: &[(String, i64)], undone: &[String]) {
        let mut lasts: HashMap<&str, i64> = HashMap::new();
        for event in &self.0 {
            if let Some((append, _)) = &event.append {
                lasts.insert(append, event.position);
            }
        }
        for (append, last) in answered {
            assert_eq!(lasts.get(append.as_str()), Some(last), "{append} was answered");
        }
        for append in undone {
            assert_eq!(lasts.get(append.as_str()), None, "{append} was not recorded");
        }
    }
}
