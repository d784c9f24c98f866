//! What reads and conditions look at: as much as they find, whatever the size of the log.

mod common;
mod sql;

use std::time::Duration;

use common::{Place, event, place, query_of_tag, stream};
use factum::{
    Append, AppendError, Category, Condition, Cursor, EventStore, EventType, Field, FieldCondition, FindDocuments,
    LogId, NewGeneration, PageLimit, Position, ProjectionName, ProjectionVersion, Query, QueryCondition, QueryItem,
    ReadLog, ReadModelStore, ReadStream, ReadTarget, StreamId, Tag,
};
use factum_postgres::PostgresOptions;
use sqlx::Row;

/// How many events there are, and how many a page holds.
const EVENTS: u64 = 100_000;
const PAGE: u64 = 100;

/// Twenty categories in turn, and a rare one; five types; a tag of each tenth, and of each hundredth event; a rare one.
const FILL: &str = "
    INSERT INTO factum.events
    SELECT n, 1 + n / 1000, now(), NULL, gen_random_uuid(), 1, '', c, c || '-' || n % 1000, 't' || n % 5,
      ARRAY['ten:' || n % 10, 'hundred:' || n % 100] || CASE WHEN n % 10000 = 7777 THEN '{flag}'::text[] ELSE '{}' END,
      NULL, '{}'
    FROM generate_series(1, 100000) n, LATERAL (SELECT CASE WHEN n % 10000 = 7777 THEN 'rare' ELSE 'c' || n % 20 END AS c) AS of;
    INSERT INTO factum.tags SELECT position, unnest(tags), tenant, category, event_type FROM factum.events;";

enum Asked {
    Log(ReadLog),
    Stream(ReadStream),
    Append(QueryCondition),
}

fn category(name: &str) -> Query {
    Query::categories([Category::new(name).unwrap()])
}

fn typed(category: &str, event_type: &str) -> QueryItem {
    QueryItem::new().category(Category::new(category).unwrap()).event_type(EventType::new(event_type).unwrap())
}

fn both_tags(one: &str, other: &str) -> Query {
    Query::all().or(QueryItem::new().tag(Tag::new(one).unwrap()).tag(Tag::new(other).unwrap()))
}

fn page(read: ReadLog, filter: Query) -> Asked {
    let limit = PageLimit { events: usize::try_from(PAGE).unwrap(), ..PageLimit::default() };
    Asked::Log(read.filter(filter).limit(limit))
}

fn after(position: u64) -> ReadLog {
    ReadLog::after(LogId::FIRST, Position::new(position))
}

fn none_of(query: Query, after: u64) -> Asked {
    Asked::Append(QueryCondition { query, after: Cursor::from(Position::new(after)) })
}

/// How many rows and entries of indexes the server has walked over in these tables.
async fn walked(place: &Place, tables: [&str; 2]) -> i64 {
    let mut conn = place.connection().await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let gone = async {
        // A session has told the statistics when it is gone.
        while sqlx::query(others).fetch_one(&mut conn).await.unwrap().get::<i64, _>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("sessions stay");
    let sum = "SELECT sum(n)::bigint FROM (
        SELECT seq_tup_read AS n FROM pg_stat_all_tables WHERE schemaname = 'factum' AND relname = ANY ($1)
        UNION ALL
        SELECT idx_tup_read FROM pg_stat_all_indexes WHERE schemaname = 'factum' AND relname = ANY ($1)
      ) AS walked";
    sqlx::query(sum).bind(&tables[..]).fetch_one(&mut conn).await.unwrap().get(0)
}

/// The planner took the positions from the middle to the end of the log for few, and a page of one category walked over half the
/// log and sorted it: 3 seconds at five million events. A condition on a category looked at each of its events.
#[tokio::test]
async fn pages_and_conditions_look_at_what_they_find_and_little_more() {
    let Some(place) = place().await else { return };
    place.execute(FILL).await;
    place.execute("VACUUM ANALYZE factum.events").await;
    place.execute("VACUUM ANALYZE factum.tags").await;
    let half = EVENTS / 2;
    let before = || ReadLog::before(LogId::FIRST, Position::new(half));
    let two = || Query::all().or(typed("c1", "t1")).or(typed("rare", "t2"));
    let asked = [
        ("a page of everything", page(after(half), Query::all()), PAGE),
        ("a page of one category", page(after(half), category("c1")), PAGE),
        ("the page of it before", page(before(), category("c1")), PAGE),
        ("a rare category", page(after(0), category("rare")), 10),
        ("two categories by their types", page(after(half), two()), 2 * PAGE),
        ("the page of them before", page(before(), two()), 2 * PAGE),
        // It looks at 50,000 positions, and where that took no time at the others too: a twentieth of them are of this category.
        ("a type that is not there", page(after(0), Query::all().or(typed("c1", "none"))), EVENTS / 20 / 2),
        ("a tag", page(after(half), query_of_tag("ten:3")), PAGE),
        ("the page of it before", page(before(), query_of_tag("ten:3")), PAGE),
        ("a rare tag", page(after(0), query_of_tag("flag")), 10),
        ("two tags", page(after(half), both_tags("ten:3", "hundred:13")), 4 * PAGE),
        ("a stream", Asked::Stream(ReadStream::new(StreamId::of("c1", "1").unwrap()).limit(50)), 50),
        ("no event with a new tag", none_of(query_of_tag("new"), 0), 0),
        ("no event with a tag of late", none_of(query_of_tag("flag"), EVENTS - 100), 0),
        ("no event with two tags", none_of(both_tags("flag", "ten:3"), 0), 20),
        ("no event of a category of late", none_of(category("rare"), EVENTS - 100), 0),
        ("no event of a new category", none_of(category("new"), 0), 0),
    ];
    for (name, asked, expected) in asked {
        for options in [PostgresOptions::new(), PostgresOptions::new().transaction_pooler()] {
            let so_far = walked(&place, ["events", "tags"]).await;
            let store = options.connect(&place.url()).await.unwrap();
            match &asked {
                Asked::Log(read) => {
                    let found = store.read_log(read.clone()).await.unwrap().events.len();
                    assert_eq!(found == 0, name.ends_with("is not there"), "{name}");
                }
                Asked::Stream(read) => assert!(!store.read_stream(read.clone()).await.unwrap().events.is_empty()),
                Asked::Append(condition) => {
                    let append = Append::to(stream("1"), Condition::Any, vec![event()]).when(condition.clone());
                    match store.append(append).await {
                        Ok(_) | Err(AppendError::QueryConflict { .. }) => {}
                        Err(error) => panic!("{name}: {error}"),
                    }
                }
            }
            store.close().await.unwrap();
            let walked = walked(&place, ["events", "tags"]).await - so_far;
            // Each event that is found is looked at in one index, and by its position in another.
            let bound = i64::try_from(2 * expected + 50).unwrap();
            assert!(walked <= bound, "{name} walked over {walked}, where {bound} would be much");
        }
    }
}

/// Documents of two tenants, each with a number, one of a thousand owners, and whether it is open.
const FILL_DOCUMENTS: &str = "
    INSERT INTO factum.documents
    SELECT 1, 0, n, 1, now(), now(), CASE WHEN n % 2 = 0 THEN 'acme' ELSE '' END, lpad(n::text, 6, '0'), '', '{}'
    FROM generate_series(1, 40000) n;
    INSERT INTO factum.document_fields
    SELECT d.generation, d.log, d.tenant, d.key, f.field, f.value
    FROM factum.documents d, LATERAL (VALUES
      ('cents', decode(lpad(to_hex(d.position * 7919 % 40000), 16, '0'), 'hex') ),
      ('owner', convert_to('owner ' || d.position / 2 % 1000, 'UTF8')),
      ('open', decode(CASE WHEN d.position % 3 = 0 THEN '01' ELSE '00' END, 'hex'))
    ) AS f(field, value)";

/// As many as are found, whether the tables were ever analyzed or not.
#[tokio::test]
async fn queries_by_fields_walk_over_what_they_find_and_little_more() {
    let Some(place) = place().await else { return };
    let fields = vec![Field::integer("cents"), Field::text("owner"), Field::bool("open")];
    let new =
        NewGeneration { projection: ProjectionName::new("balances").unwrap(), version: ProjectionVersion(1), fields };
    let store = place.store().await;
    store.open(&new).await.unwrap();
    store.close().await.unwrap();
    place.execute(FILL_DOCUMENTS).await;
    let all = FindDocuments { limit: 20, ..FindDocuments::new(ReadTarget::Live(new.projection, new.version)) };
    let by = |field: &str, descending| FindDocuments { order_by: Some(field.to_owned()), descending, ..all.clone() };
    let having = |find: FindDocuments, conditions| FindDocuments { conditions, ..find };
    let one_owner = || FieldCondition::equal("owner", "owner 77");
    let asked = [
        ("the first by a field", by("cents", false), 20, 40),
        ("the last by a field", by("cents", true), 20, 40),
        ("all by key, from the end", FindDocuments { descending: true, ..all.clone() }, 20, 20),
        ("those of one value", having(all.clone(), vec![one_owner()]), 20, 40),
        ("those of one value by another", having(by("cents", true), vec![one_owner()]), 20, 80),
        ("with a condition beside", having(by("cents", false), vec![FieldCondition::equal("open", true)]), 20, 400),
    ];
    for analyzed in [false, true] {
        for (name, find, found, expected) in &asked {
            let so_far = walked(&place, ["documents", "document_fields"]).await;
            let store = place.store().await;
            let page = store.find(find).await.unwrap();
            assert_eq!(page.documents.len(), *found, "{name}");
            store.close().await.unwrap();
            let walked = walked(&place, ["documents", "document_fields"]).await - so_far;
            let bound = 2 * expected + 50;
            let known = if name.contains("beside") { 20_000 } else { bound };
            assert!(walked <= known, "{name} walked over {walked}, where {bound} would be much (analyzed: {analyzed})");
        }
        // Values of documents that are not there are looked for a page at a time, wherever that begins.
        let so_far = walked(&place, ["documents", "document_fields"]).await;
        let store = place.store().await;
        let first = store.stray_fields(&all.target, None, 20).await.unwrap();
        let second = store.stray_fields(&all.target, first.next.as_ref(), 20).await.unwrap();
        assert!(first.strays.is_empty() && second.strays.is_empty() && second.next.is_some(), "{second:?}");
        store.close().await.unwrap();
        let walked = walked(&place, ["documents", "document_fields"]).await - so_far;
        assert!(walked <= 210, "two pages of 20 values walked over {walked} (analyzed: {analyzed})");
        place.execute("VACUUM ANALYZE factum.documents").await;
        place.execute("VACUUM ANALYZE factum.document_fields").await;
    }
}

/// Sessions that read are kept on indexes; what users write for tables of their own, in sessions that are shared with those, is not.
#[tokio::test]
async fn the_statements_of_users_are_planned_freely() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let log = sql::Log::new().deposits(&[1]);
    let sums = sql::sums(&store);
    log.drive(&sums).await.unwrap();
    place
        .execute(
            "CREATE TABLE public.seen (setting text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO public.seen SELECT current_setting(name)
               FROM unnest(ARRAY['enable_sort', 'enable_seqscan', 'enable_bitmapscan']) AS name;
               RETURN NULL;
             END $$;
             CREATE TRIGGER see AFTER INSERT OR UPDATE ON sums FOR EACH STATEMENT EXECUTE FUNCTION see()",
        )
        .await;
    log.deposits(&[2]).drive(&sums).await.unwrap();
    // In a caller's own transaction nothing is set but how long it may be silent.
    let mut conn = place.connection().await;
    let mut transaction = sqlx::Connection::begin(&mut conn).await.unwrap();
    store.append_in(&mut transaction, common::one("1", Condition::Any)).await.unwrap();
    let changed = "SELECT name FROM pg_settings WHERE source = 'session' AND name LIKE 'enable%'";
    assert!(sqlx::query(changed).fetch_all(&mut *transaction).await.unwrap().is_empty());
    let seen: Vec<String> = sqlx::query_scalar("SELECT setting FROM seen").fetch_all(&mut *transaction).await.unwrap();
    assert!(seen.len() >= 3 && seen.iter().all(|setting| setting == "on"), "{seen:?}");
}
