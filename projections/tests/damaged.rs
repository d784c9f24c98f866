//! A stored document that cannot be read any more, or what it is found by that is not what it says: somebody has been at it, or the
//! code was changed without a new version. Nothing of it is silent, in any process.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::*;
use factum::{
    Commit, Document, DocumentKey, EventStore, Field, FieldChange, FieldValue, Generation, LogId, Mark, Position,
    ProjectionName, ReadModelStore, Recorded, Shard, Tenant,
};
use factum_memory::MemoryStore;
use factum_projections::{
    Difference, DifferenceKind, FieldValues, Json, Keys, Projection, ProjectionState, Projector, ProjectorError,
    ProjectorOptions, ReplayOptions, VerifyOptions, VerifyReport,
};

/// Found by its cents, or by another number under the same name, or by more.
struct Sums<const WAY: u8>;

impl<const WAY: u8> Projection for Sums<WAY> {
    const NAME: &'static str = "sums";
    const FIELDS: &'static [Field] = match WAY {
        2 => &[Field::integer("cents"), Field::text("size")],
        _ => &[Field::integer("cents")],
    };
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, key: &str, sum: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        Balances::<5, 1>.apply(key, sum, event);
    }

    fn fields(&self, _: &str, sum: &Balance, values: &mut FieldValues) {
        values.set("cents", if WAY == 1 { -sum.cents } else { sum.cents });
        if WAY == 2 {
            values.set("size", if sum.cents < 100 { "small" } else { "large" });
        }
    }
}

fn process<const WAY: u8>(store: &Arc<MemoryStore>) -> Projector {
    let options = ProjectorOptions::new().backoff(Duration::ZERO, Duration::ZERO);
    Projector::new(store.clone(), store.clone()).options(options).with(Sums::<WAY>)
}

fn shard() -> Shard {
    Shard {
        projection: ProjectionName::new("sums").unwrap(),
        generation: Generation(1),
        partition: 0,
        log: LogId::FIRST,
    }
}

fn key(text: &str) -> DocumentKey {
    DocumentKey::new(Tenant::default(), text).unwrap()
}

async fn stored(store: &MemoryStore, of: &str) -> Document {
    store.load(&shard(), &[key(of)]).await.unwrap().pop().flatten().unwrap()
}

/// Changes what is stored behind the projector's back: with a commit that moves nothing.
async fn tamper(store: &MemoryStore, documents: Vec<(DocumentKey, Document)>, fields: Vec<FieldChange>) {
    let at = store.checkpoint(&shard()).await.unwrap();
    let to = Mark { position: at.position, event: at.stands_on.unwrap().1 };
    let (store_id, from, epoch) = (EventStore::id(store), at.position, at.epoch);
    let (kept, keep_from) = (Vec::new(), None);
    let commit = Commit { shard: shard(), from, epoch, store: store_id, to, documents, kept, keep_from, fields };
    store.commit(commit).await.unwrap();
}

async fn set(store: &MemoryStore, of: &str, field: &'static str, value: Option<FieldValue>) {
    tamper(store, Vec::new(), vec![FieldChange { key: key(of), field: field.into(), value }]).await;
}

async fn verify(projector: &Projector) -> (VerifyReport, Vec<String>) {
    let mut lines = Vec::new();
    let shown = |json: &Option<Json>| json.as_ref().map_or_else(|| "-".to_owned(), Json::to_string);
    let tell = |Difference { key, kind, fields, .. }: Difference| {
        assert_eq!(kind, DifferenceKind::Differs);
        for field in fields {
            lines.push(format!("{key} {} {} {}", field.path, shown(&field.expected), shown(&field.found)));
        }
    };
    let report = projector.verify("sums", &VerifyOptions::new(), tell, |_| ()).await.unwrap();
    assert_eq!(report.fields_passed, 0);
    (report, lines)
}

/// It halts at the event that would have changed the document, every process sees it, and it goes on when the document is mended.
#[tokio::test]
async fn a_document_that_cannot_be_folded_on_halts_the_projection_where_everybody_sees_it() {
    let store = bank(1);
    for account in [1, 2] {
        open(&*store, account).await;
    }
    soon(process::<0>(&store).catch_up()).await.unwrap();
    let whole = stored(&store, "2").await;
    let damaged = Document { body: Some("{\"cents\":".into()), ..whole.clone() };
    tamper(&store, vec![(key("2"), damaged)], Vec::new()).await;
    deposit(&*store, 1, 10).await;
    let third = deposit(&*store, 2, 20).await;
    deposit(&*store, 1, 40).await;

    let worker = process::<0>(&store);
    let error = soon(worker.wait_for("sums", &third)).await.unwrap_err();
    let ProjectorError::Halted { failure, .. } = &error else { panic!("{error:?}") };
    assert_eq!((failure.position, failure.stream.name()), (Position::new(4), "account-2"));
    assert!(failure.cause.contains("\"2\"") && failure.cause.contains("damaged"), "{}", failure.cause);

    // What precedes that event is taken, and another process sees why the rest is not.
    let other = process::<0>(&store);
    let status = other.status_of("sums").await.unwrap();
    assert_eq!((status.state, status.checkpoint), (ProjectionState::Halted, Position::new(3).into()));
    assert_eq!(status.failure.as_ref(), Some(&**failure));
    let found = other.diagnose(Duration::ZERO).await.unwrap();
    assert_eq!(found.findings.iter().map(|finding| finding.code()).collect::<Vec<_>>(), ["halted"]);

    // Nothing is mended yet.
    assert_eq!(other.resume("sums").await.unwrap().failures.len(), 1);
    assert!(matches!(soon(other.wait_for("sums", &third)).await, Err(ProjectorError::Halted { .. })));
    tamper(&store, vec![(key("2"), whole)], Vec::new()).await;
    other.resume("sums").await.unwrap();
    soon(worker.catch_up_one("sums")).await.unwrap();
    let sums = worker.read_model::<Sums<0>>();
    assert_eq!(sums.get("2").await.unwrap().document.unwrap().cents, 20);
    assert_eq!(sums.get("1").await.unwrap().document.unwrap().cents, 50);
    assert_eq!(other.status_of("sums").await.unwrap().state, ProjectionState::Live);
}

#[tokio::test]
async fn what_a_document_is_found_by_and_does_not_say_is_named() {
    let store = bank(1);
    for account in 1..=4 {
        open(&*store, account).await;
        deposit(&*store, account, i64::from(account) * 100).await;
    }
    let projector = process::<0>(&store);
    soon(projector.catch_up()).await.unwrap();
    assert_eq!(verify(&projector).await.1, Vec::<String>::new());
    set(&store, "1", "cents", Some(7.into())).await;
    set(&store, "2", "cents", None).await;
    set(&store, "3", "colour", Some("red".into())).await;
    let (report, lines) = verify(&projector).await;
    let red = "\"not read as a value: 0x726564\"";
    let expected =
        ["1 fields.cents 100 7".to_owned(), "2 fields.cents 200 -".to_owned(), format!("3 fields.colour - {red}")];
    assert_eq!((report.documents, report.differences), (4, 3));
    assert_eq!(lines, expected);
    let options = VerifyOptions::new().keys(["1", "4"]);
    let some = projector.verify("sums", &options, |_| (), |_| ()).await.unwrap();
    assert_eq!((some.documents, some.differences), (2, 1));

    soon(projector.replay("sums", ReplayOptions::new(), |_| ())).await.unwrap();
    assert_eq!(verify(&projector).await.1, Vec::<String>::new());
}

/// The log said it once, to nobody who looks: `find` answered by what was written under the old code.
#[tokio::test]
async fn fields_that_were_changed_without_a_new_version_are_named_to_whoever_looks() {
    let store = bank(1);
    open(&*store, 1).await;
    deposit(&*store, 1, 100).await;
    soon(process::<0>(&store).catch_up()).await.unwrap();

    // The same field, with other values.
    let other = process::<1>(&store);
    assert_eq!(verify(&other).await.1, ["1 fields.cents -100 100"]);
    assert_eq!(other.status_of("sums").await.unwrap().other_fields, None);

    // Another field.
    let more = process::<2>(&store);
    assert_eq!(verify(&more).await.1, ["1 fields.size \"large\" -"]);
    let kept = more.status_of("sums").await.unwrap().other_fields;
    assert_eq!(kept.as_deref(), Some("cents (integer)"));
    let found = more.diagnose(Duration::ZERO).await.unwrap();
    assert!(!found.is_well());
    let [finding] = &found.findings[..] else { panic!("{found:?}") };
    assert_eq!(finding.code(), "fields-changed");
    let remedy = finding.what_to_do();
    assert!(remedy.contains("VERSION") && remedy.contains("`replay sums`"), "{finding:?}");

    soon(more.replay("sums", ReplayOptions::new(), |_| ())).await.unwrap();
    assert_eq!(verify(&more).await.1, Vec::<String>::new());
    assert_eq!(more.status_of("sums").await.unwrap().other_fields, None);
    assert!(more.diagnose(Duration::ZERO).await.unwrap().is_well());
}

/// What is written on meanwhile is no difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_as_it_is_read_is_not_named() {
    let store = bank(1);
    for account in 0..20 {
        open(&*store, account).await;
    }
    let projector = process::<0>(&store);
    soon(projector.catch_up()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, projector, over) = (store.clone(), process::<0>(&store), over.clone());
        async move {
            for n in (0..20).cycle() {
                let done = deposit(&*store, n, 1).await;
                projector.wait_for("sums", &done).await.unwrap();
                if over.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
    });
    for _ in 0..60 {
        let mut found = Vec::new();
        let told = |difference: Difference| found.push(difference);
        let report = soon(projector.verify("sums", &VerifyOptions::new(), told, |_| ())).await.unwrap();
        assert_eq!((report.documents, found), (20, vec![]));
    }
    over.store(true, Ordering::SeqCst);
    soon(writing).await.unwrap();
}
