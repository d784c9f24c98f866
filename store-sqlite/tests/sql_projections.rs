//! Projections into tables of the file: exactly once, whatever fails; generations that are exchanged whole; and nothing
//! that belongs to others is touched.

mod common;
mod sql;

use std::sync::Arc;

use common::{append, place};
use factum::{
    CommitError, EventStore, Generation, GenerationState, Generations, Position, Projected, ProjectedError,
    ReadModelError, ReadModelStore, SwitchError,
};
use factum_sqlite::{SqlError, SqliteStore};
use sql::*;

#[tokio::test]
async fn exactly_once_read_model_with_two_workers_one_is_stale_and_nothing_is_doubled() {
    let (_directory, file) = place();
    let store = open(&file);
    let other = open(&file);
    deposits(&store, &[1, 2, 3]).await;
    let (one, two) = (sums(&store), sums(&other));
    let batch = next(&store, &one).await;
    let same = next(&other, &two).await;
    let (first, second) = tokio::join!(one.apply(batch.clone()), two.apply(same));
    let stale = [first, second].into_iter().filter(is_stale).count();
    assert_eq!(stale, 1, "of two workers with one batch one commits");
    assert!(is_stale(&one.apply(batch).await), "a batch was applied twice");
    assert_eq!(shown(&store).await, [("1".to_owned(), 6)]);
    drive(&other, &two).await.unwrap();
    deposits(&other, &[10]).await;
    drive(&other, &two).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 16)]);
}

#[tokio::test]
async fn what_fails_is_undone_and_named_and_what_precedes_it_is_taken() {
    for way in [Way::Refuse, Way::Panic, Way::Constraint, Way::Rollback, Way::Unknown] {
        let (_directory, file) = place();
        let store = open(&file);
        deposits(&store, &[1, 2, 13, 4]).await;
        let sums = failing(&store, way);
        let error = drive(&store, &sums).await.unwrap_err();
        let ProjectedError::Halted(failure) = &error else { panic!("{way:?}: {error:?}") };
        assert_eq!((failure.position.get(), failure.version.get(), failure.event_type.as_str()), (3, 3, "Deposited"));
        assert_eq!(failure.stream.name(), "account-1");
        let says = match way {
            Way::Refuse | Way::Panic => "thirteen",
            Way::Constraint | Way::Rollback => "UNIQUE",
            Way::Unknown => "there is no table {some}",
            Way::None => unreachable!(),
        };
        assert!(failure.cause.contains(says), "{way:?}: {}", failure.cause);
        assert_eq!(shown(&store).await, [("1".to_owned(), 3)], "{way:?}");
        assert_eq!(sums.checkpoint(LOG).await.unwrap().position, Position::new(2));

        // Mended, it goes on where it stood.
        let mended = self::sums(&store);
        drive(&store, &mended).await.unwrap();
        assert_eq!(shown(&store).await, [("1".to_owned(), 20)]);
    }
}

#[tokio::test]
async fn neighbours_unharmed_by_sql_that_fails_in_their_transaction() {
    for way in [Way::Refuse, Way::Panic, Way::Rollback] {
        let (_directory, file) = place();
        let store = open(&file);
        deposits(&store, &[13]).await;
        let sums = failing(&store, way);
        let batch = next(&store, &sums).await;
        let appends = futures(20, |n| {
            let store = Arc::clone(&store);
            async move { append(&store, format!("2-{n}")).await }
        });
        let (applied, appended) = tokio::join!(sums.apply(batch), appends);
        assert!(matches!(applied, Err(ProjectedError::Halted(_))), "{way:?}: {applied:?}");
        for done in appended {
            done.unwrap();
        }
        assert_eq!(store.head().await.unwrap(), Position::new(21).into(), "{way:?}");
        assert!(shown(&store).await.is_empty());
    }
}

#[tokio::test]
async fn a_worker_of_an_old_epoch_writes_nothing() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1]).await;
    let sums = sums(&store);
    let batch = next(&store, &sums).await;
    store.raise_epoch(&shard(Generation(1)), batch.from.epoch).await.unwrap();
    assert!(is_stale(&sums.apply(batch).await), "a worker that was stopped wrote when it came back");
    assert!(shown(&store).await.is_empty());
    drive(&store, &sums).await.unwrap();
    assert_eq!(shown(&store).await.len(), 1);
}

#[tokio::test]
async fn a_replayed_generation_takes_the_plain_names_with_its_indexes_and_keys() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1, 2]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    let held = {
        deposits(&store, &[5]).await;
        next(&store, &sums).await
    };
    // A view of the user's, over the plain name, made once.
    let outside = rusqlite::Connection::open(&file).unwrap();
    outside.execute_batch("CREATE VIEW rich AS SELECT account FROM sums WHERE cents > 2").unwrap();
    tamper(&file, "UPDATE sums SET cents = 77");

    let built = build(&store, &sums).await;
    assert_eq!(built, Generation(2));
    assert_eq!(shown(&store).await, [("1".to_owned(), 77)], "readers see what is being built");
    Generations::switch(&sums, Generation(1), built, None).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 8)]);
    assert_eq!(strings(&store, "SELECT account FROM rich").await, ["1"], "a view means the old tables");
    let indexes = "SELECT name FROM pragma_index_list('sums') WHERE origin = 'c'";
    let indexes = outside.query_row(indexes, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(indexes, "sums_by_cents__g2");
    let referred = "SELECT \"table\" FROM pragma_foreign_key_list('days')";
    assert_eq!(outside.query_row(referred, [], |row| row.get::<_, String>(0)).unwrap(), "sums");

    // What was live takes no more, and a worker that held a page over the switch loads anew.
    assert!(is_overtaken(&sums.apply(held).await), "a page that was held over a switch was written");
    let late = next_of(&store, &sums, Generation(1)).await;
    let superseded = sums.apply_to(Generation(1), late).await;
    assert!(matches!(superseded, Err(ProjectedError::Commit(CommitError::Superseded { .. }))), "{superseded:?}");
    deposits(&store, &[100]).await;
    drive(&store, &sums).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 108)]);
}

#[tokio::test]
async fn a_switch_back_is_a_switch_and_a_dropped_generation_leaves_no_table() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    build(&store, &sums).await;
    Generations::switch(&sums, Generation(1), Generation(2), None).await.unwrap();
    Generations::switch(&sums, Generation(2), Generation(1), None).await.unwrap();
    assert_eq!(tables(&store).await, ["days", "days__g2", "sums", "sums__g2"]);
    let live = sums.drop_generation(Generation(1)).await;
    assert!(matches!(live, Err(ProjectedError::ReadModel(ReadModelError::Live { .. }))), "{live:?}");
    sums.drop_generation(Generation(2)).await.unwrap();
    soon(async {
        while tables(&store).await != ["days", "sums"] {
            append(&store, "9").await.unwrap();
        }
    })
    .await;
    deposits(&store, &[4]).await;
    drive(&store, &sums).await.unwrap();
    assert_eq!(build(&store, &sums).await, Generation(3));
}

/// A reader that asks all the time sees the old tables or the new ones, never neither and never half.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_half_a_switch() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1, 2, 3]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    let reading = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let reader = {
        let (file, reading) = (file.clone(), Arc::clone(&reading));
        std::thread::spawn(move || {
            let conn = rusqlite::Connection::open(file).unwrap();
            let mut asked = 0;
            while reading.load(std::sync::atomic::Ordering::SeqCst) || asked == 0 {
                let sql = "SELECT sums.cents, count(*) FROM sums JOIN days USING (account)";
                let row = conn.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
                assert_eq!(row.unwrap(), (6, 3));
                asked += 1;
            }
            asked
        })
    };
    for generation in 2..12 {
        assert_eq!(build(&store, &sums).await, Generation(generation));
        Generations::switch(&sums, Generation(generation - 1), Generation(generation), None).await.unwrap();
        sums.drop_generation(Generation(generation - 1)).await.unwrap();
        assert_eq!(shown(&store).await, [("1".to_owned(), 6)]);
    }
    reading.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(reader.join().expect("a reader saw a switch half done") > 0);
}

#[tokio::test]
async fn a_switch_that_would_lose_a_foreign_key_or_meets_a_table_is_refused_whole() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    build(&store, &sums).await;
    tamper(&file, "CREATE TABLE notes (account TEXT REFERENCES sums (account))");
    let refused = Generations::switch(&sums, Generation(1), Generation(2), None).await;
    assert!(matches!(&refused, Err(SwitchError::Unfit { why, .. }) if why.contains("notes")), "{refused:?}");
    tamper(&file, "DROP TABLE notes; CREATE TABLE days__g1 (a)");
    let refused = Generations::switch(&sums, Generation(1), Generation(2), None).await;
    assert!(matches!(&refused, Err(SwitchError::Unfit { why, .. }) if why.contains("days__g1")), "{refused:?}");
    let states: Vec<_> = sums.list().await.unwrap().iter().map(|info| info.state).collect();
    assert_eq!(states, [GenerationState::Live, GenerationState::Building]);
    assert_eq!(shown(&store).await, [("1".to_owned(), 1)]);
    tamper(&file, "DROP TABLE days__g1");
    Generations::switch(&sums, Generation(1), Generation(2), None).await.unwrap();
}

#[tokio::test]
async fn a_query_reads_one_moment_and_writes_nothing() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[7]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    let at = store.query(|sql| sql.checkpoint("sums", 1)).await.unwrap();
    assert_eq!(at, Some(Position::new(1).into()));
    for sql in ["DELETE FROM sums", "BEGIN", "PRAGMA query_only", "ATTACH ':memory:' AS other", "DROP TABLE sums"] {
        let refused = store.query(move |reader| reader.query(sql, [], |_| Ok(()))).await;
        assert!(matches!(refused, Err(SqlError::NotAllowed { .. })), "{sql}: {refused:?}");
    }
    let panicked = store.query(|_| -> Result<(), SqlError> { panic!("thirteen") }).await;
    assert!(matches!(&panicked, Err(SqlError::Panicked(what)) if what.contains("thirteen")), "{panicked:?}");
    let wrong = store.query(|sql| sql.query_one("SELECT * FROM elsewhere", [], |_| Ok(()))).await.unwrap_err();
    assert!(wrong.to_string().contains("no such table: elsewhere"), "{wrong}");
    assert_eq!(shown(&store).await, [("1".to_owned(), 7)]);
}

#[tokio::test]
async fn a_file_of_an_earlier_release_gets_what_it_lacks() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[7]).await;
    store.close().await.unwrap();
    drop(store);
    tamper(&file, "DROP TABLE projected_tables");
    let store = Arc::new(SqliteStore::open(&file).unwrap());
    drive(&store, &sums(&store)).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 7)]);
}
