//! What the server takes of a group that is offered to its place: nothing where the log is not as its sender believes.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Place, WAITING, hold, in_time, one, place, stream, until};
use factum::{Condition, EventStore, LogId, PageLimit, Position, ReadLog, Version};
use sqlx::Row;
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use tokio::task::JoinSet;

/// Offers one event of a stream at a version, behind marks.
async fn offer(place: &Place, marks: &[(i64, Uuid)], id: &str, version: i64) -> Option<DateTime<Utc>> {
    let (positions, ids): (Vec<i64>, Vec<Uuid>) = marks.iter().copied().unzip();
    let sql = "SELECT factum.append_known($1, $2, ARRAY[$3], ARRAY[$4], NULL, ARRAY['account'], ARRAY[gen_random_uuid()], \
               ARRAY['Deposited'], ARRAY[1::bigint], NULL, NULL, NULL, ARRAY['{}'::json])";
    let bound = sqlx::query(sql).bind(positions).bind(ids).bind(version).bind(format!("account-{id}"));
    bound.fetch_one(&mut place.connection().await).await.unwrap().get(0)
}

#[tokio::test]
async fn a_group_is_taken_where_every_mark_is_at_its_place_and_the_last_one_is_the_head() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    assert!(offer(&place, &[(0, Uuid::nil())], "new", 1).await.is_none(), "an empty log");
    for n in 0..4 {
        store.append(one(&n.to_string(), Condition::Any)).await.unwrap();
    }
    let log = store.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap().events;
    let at = |position: usize| (position as i64, log[position - 1].id.as_uuid());
    let other = |position: usize| (position as i64, log[position % 4].id.as_uuid());
    for (what, marks) in [
        ("somebody appended since", vec![at(3)]),
        ("another event is the head", vec![other(4)]),
        ("the first is another", vec![other(1), at(3), at(4)]),
        ("one between is another", vec![at(1), other(2), at(4)]),
        ("one is not there", vec![at(4), (5, Uuid::nil())]),
        ("another order", vec![at(4), at(3)]),
    ] {
        assert!(offer(&place, &marks, "0", 2).await.is_none(), "{what}");
        assert_eq!(store.head().await.unwrap(), factum::Cursor::from(Position::new(4)), "{what}");
    }
    assert!(offer(&place, &[at(1), at(2), at(4)], "0", 2).await.is_some());
    let log = store.read_log(ReadLog::after(LogId::FIRST, Position::new(4))).await.unwrap().events;
    assert_eq!((log.len(), log[0].version), (1, Version::new(2).unwrap()));
    assert_eq!(log[0].stream, stream("0"));
}

/// A clock that was set back.
#[tokio::test]
async fn the_time_of_a_group_is_not_before_that_of_the_one_before() {
    let Some(place) = place().await else { return };
    place
        .execute(
            "INSERT INTO factum.events SELECT 1, 1, '2100-01-01Z', NULL, '00000000-0000-0000-0000-000000000007', 1, '', \
             'account', 'account-1', 'Deposited', NULL, NULL, '{}'",
        )
        .await;
    let recorded = offer(&place, &[(1, Uuid::from_u128(7))], "1", 2).await.unwrap();
    assert_eq!(recorded.to_rfc3339(), "2100-01-01T00:00:00+00:00");
}

/// Offered groups wait at the server, and somebody else comes first: what is told is where they stand then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_offered_to_a_place_that_another_takes_is_told_where_he_stands() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let mut tasks = JoinSet::new();
    for n in 0..200_u32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut told = BTreeMap::new();
            for _ in 0..60 {
                let append = one(&n.to_string(), Condition::Any);
                let event = append.writes[0].events[0].id;
                let appended = store.append(append).await.unwrap();
                told.insert(
                    event,
                    (appended.cursor.get(LogId::FIRST), appended.version(&stream(&n.to_string())).unwrap()),
                );
            }
            told
        });
    }
    for round in 1..=8 {
        until(&mut observer, "SELECT count(*) FROM factum.events", |events| events > round * 1_000).await;
        let transaction = hold(&place, &mut holder).await;
        until(&mut observer, WAITING, |waiting| waiting > 0).await;
        transaction.commit().await.unwrap();
    }
    let told: BTreeMap<_, _> = in_time(tasks.join_all()).await.into_iter().flatten().collect();
    let mut read = ReadLog::after(LogId::FIRST, Position::START);
    read.limit = PageLimit { events: 100_000, bytes: usize::MAX };
    let log = store.read_log(read).await.unwrap().events;
    let log = log.iter().filter(|event| event.stream != stream("holder"));
    assert!(log.map(|event| (event.id, (event.position, event.version))).collect::<BTreeMap<_, _>>() == told);
}
