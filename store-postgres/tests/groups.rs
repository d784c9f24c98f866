//! Appends that wait at the same time share a transaction, and each is told what it would be told after those before it.

mod common;

use std::collections::BTreeMap;
use std::pin::Pin;

use common::{OTHERS, Place, WAITING, hold, in_time, place, until};
use factum::{
    Append, AppendError, Appended, Condition, EventStore, LogId, Metadata, NewEvent, Outcome, PageLimit, Position,
    ReadLog, StreamId, Tenant, Version, Versions,
};
use factum_postgres::PostgresStore;
use sqlx::{PgConnection, Row};

/// What is to be so, by the definition of an append alone.
#[derive(Debug, Default)]
struct Model {
    ends: BTreeMap<StreamId, u64>,
    log: Vec<(NewEvent, StreamId, u64)>,
}

/// How many events the log has before and after, and the first and the last version in each stream; or what condition did not hold.
type Expected = Result<(usize, usize, Vec<Versions>), (StreamId, Condition, Option<Version>)>;

impl Model {
    fn end(&self, stream: &StreamId) -> u64 {
        self.ends.get(stream).copied().unwrap_or(0)
    }

    fn append(&mut self, append: &Append) -> Expected {
        for write in &append.writes {
            let actual = Version::new(self.end(&write.stream)).ok();
            if !write.condition.holds(actual) {
                return Err((write.stream.clone(), write.condition, actual));
            }
        }
        let (before, mut versions) = (self.log.len(), Vec::new());
        for write in append.writes.iter().filter(|write| !write.events.is_empty()) {
            let first = self.end(&write.stream) + 1;
            for (event, version) in write.events.iter().zip(first..) {
                self.log.push((event.clone(), write.stream.clone(), version));
                self.ends.insert(write.stream.clone(), version);
            }
            let (first, last) = (Version::new(first).unwrap(), Version::new(self.end(&write.stream)).unwrap());
            versions.push(Versions { stream: write.stream.clone(), first, last });
        }
        Ok((before, self.log.len(), versions))
    }
}

fn told(done: Result<Appended, AppendError>) -> Expected {
    match done.map(|appended| appended.outcome) {
        Ok(Outcome::Accepted { first, last, versions, .. }) => {
            Ok((first.get() as usize - 1, last.get() as usize, versions))
        }
        Err(AppendError::Conflict { stream, expected, actual }) => Err((stream, expected, actual)),
        other => panic!("{other:?}"),
    }
}

/// What makes appends differ.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// How many streams there are: the fewer, the more often one group writes one of them twice.
    streams: u64,
    /// Of how many appends one has a condition that may not hold.
    right: u8,
    /// Whether each is one event of one stream without anything that an event may have besides.
    simple: bool,
}

fn chosen(random: &mut fastrand::Rng, end: u64, kind: Kind) -> Condition {
    let version = |number| Condition::from(Version::new(number).ok());
    match random.u8(..kind.right) {
        0 => version(random.u64(..4)),
        1 if !kind.simple => Condition::Any,
        2 if !kind.simple && (end > 0 || random.bool()) => Condition::Exists,
        _ => version(end),
    }
}

fn some_event(random: &mut fastrand::Rng, kind: Kind) -> NewEvent {
    let mut event = common::event();
    if kind.simple {
        return event;
    }
    if random.u8(..4) == 0 {
        event.tags =
            ["bank:1", "bank:2"].iter().take(random.usize(1..3)).map(|tag| factum::Tag::new(*tag).unwrap()).collect();
    }
    if random.u8(..4) == 0 {
        event.metadata = Metadata::new().with("trace", random.u32(..).to_string());
    }
    event
}

/// To streams of `model` as it is before the group.
fn some_append(random: &mut fastrand::Rng, model: &Model, kind: Kind) -> Append {
    let mut append: Option<Append> = None;
    let writes = if kind.simple { 1 } else { random.usize(1..4) };
    let first = random.u64(..kind.streams);
    for n in 0..writes as u64 {
        let mut stream = StreamId::of("account", &((first + n) % kind.streams).to_string()).unwrap();
        if !kind.simple && stream.name().ends_with('7') {
            stream = stream.in_tenant(Tenant::new("other").unwrap());
        }
        let condition = chosen(random, model.end(&stream), kind);
        let events = if kind.simple { 1 } else { random.usize(..4) };
        let events = (0..events).map(|_| some_event(random, kind)).collect();
        append = Some(match append {
            Some(append) => append.and(stream, condition, events),
            None => Append::to(stream, condition, events),
        });
    }
    let mut append = append.unwrap();
    if append.events() == 0 {
        append.writes[0].events.push(some_event(random, kind));
    }
    append
}

type Under<'s> = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send + 's>>;

/// Lets all wait while another session holds the order lock: the first has gone to the server, and those after it form groups.
async fn together(
    place: &Place,
    store: &PostgresStore,
    appends: &[Append],
    observer: &mut PgConnection,
) -> Vec<Result<Appended, AppendError>> {
    let mut holder = place.connection().await;
    let transaction = hold(place, &mut holder).await;
    let mut under: Vec<Under> = appends.iter().map(|append| store.append(append.clone()) as Under).collect();
    for append in &mut under {
        assert!(futures_util::poll!(append.as_mut()).is_pending());
    }
    let (all, ()) = tokio::join!(futures_util::future::join_all(under), async {
        until(observer, WAITING, |waiting| waiting > 0).await;
        transaction.rollback().await.unwrap();
    });
    all
}

async fn groups(kind: Kind, rounds: u64) {
    let Some(place) = place().await else { return };
    place.execute("ALTER DATABASE :database SET track_functions = 'pl'").await;
    let (store, mut observer) = (place.store().await, place.connection().await);
    let mut model = Model::default();
    for round in 0..rounds {
        let mut random = fastrand::Rng::with_seed(round);
        let appends: Vec<_> = (0..random.usize(2..40)).map(|_| some_append(&mut random, &model, kind)).collect();
        let done = in_time(together(&place, &store, &appends, &mut observer)).await;
        for (append, done) in appends.iter().zip(done) {
            assert_eq!(told(done), model.append(append), "round {round}: {append:?}");
        }
    }
    let mut read = ReadLog::after(LogId::FIRST, Position::START);
    read.limit = PageLimit { events: 100_000, ..read.limit };
    let log = store.read_log(read).await.unwrap().events;
    assert_eq!(log.len(), model.log.len());
    for ((event, stream, version), (recorded, position)) in model.log.iter().zip(log.iter().zip(1..)) {
        assert_eq!((&event.id, stream, *version), (&recorded.id, &recorded.stream, recorded.version.get()));
        assert_eq!((&event.tags, &event.metadata), (&recorded.tags, &recorded.metadata));
        assert_eq!(recorded.position.get(), position);
    }
    let tags: usize = model.log.iter().map(|(event, ..)| event.tags.len()).sum();
    let recorded = sqlx::query("SELECT count(*) FROM factum.tags").fetch_one(&mut observer).await.unwrap();
    assert_eq!(recorded.get::<i64, _>(0), tags as i64);
    in_time(store.close()).await.unwrap();
    // What a session called is told when it ends.
    until(&mut observer, OTHERS, |others| others == 0).await;
    let calls = "SELECT coalesce(sum(calls) FILTER (WHERE funcname = 'append_plain'), 0)::bigint,
       coalesce(sum(calls) FILTER (WHERE funcname IN ('append_one', 'append_run')), 0)::bigint
     FROM pg_stat_user_functions WHERE schemaname = 'factum'";
    let calls = sqlx::query(calls).fetch_one(&mut observer).await.unwrap();
    let (plain, alone): (i64, i64) = (calls.get(0), calls.get(1));
    assert!(plain > 0);
    // A group that fails is sent again one by one: then there are more than those that came first.
    assert!(alone <= rounds as i64, "a group failed");
}

/// One event each, to streams of their own, most of which are where they are believed to be.
#[tokio::test]
async fn each_of_a_group_of_single_events_is_told_what_it_would_be_told_alone() {
    groups(Kind { streams: 1_500, right: 60, simple: true }, 40).await;
}

/// Several streams and events, none, tags, tenants, and metadata; and most groups hold one that is refused.
#[tokio::test]
async fn each_of_a_group_of_anything_is_told_what_it_would_be_told_alone() {
    groups(Kind { streams: 1_500, right: 60, simple: false }, 40).await;
    groups(Kind { streams: 1_500, right: 6, simple: false }, 40).await;
}

/// What one appends, the next finds.
#[tokio::test]
async fn each_of_a_group_on_the_same_streams_is_told_what_it_would_be_told_alone() {
    groups(Kind { streams: 9, right: 6, simple: false }, 40).await;
    groups(Kind { streams: 9, right: 6, simple: true }, 40).await;
}

/// A clock that was set back.
#[tokio::test]
async fn the_time_of_a_group_is_not_before_that_of_the_one_before() {
    let Some(place) = place().await else { return };
    place
        .execute(
            "INSERT INTO factum.events SELECT 1, 1, '2100-01-01Z', NULL, gen_random_uuid(), 1, '', 'account', 'account-1', \
             'Deposited', NULL, NULL, '{}'",
        )
        .await;
    let store = place.store().await;
    let append = common::one("2", Condition::NoStream).and(common::stream("3"), Condition::Any, vec![common::event()]);
    let Outcome::Accepted { recorded_at, .. } = store.append(append).await.unwrap().outcome else { panic!("refused") };
    assert_eq!(recorded_at.to_rfc3339(), "2100-01-01T00:00:00+00:00");
}
