//! How far back the past is kept: what is forgotten, what never is, and what is said of it.

use factum::{Commit, Document, HistoryFrom, LogId, Position, ReadHistory, ReadTarget, Shard};

use super::kit::*;
use crate::Fixture;
use crate::kit::Must;

/// How many commits it may take until what was left by one is forgotten.
const COMMITS: u64 = 40;

fn from(position: u64) -> Option<Position> {
    Some(Position::new(position))
}

/// A step to a position at which these documents are written and kept.
fn keeping(shard: &Shard, before: u64, at: u64, of: &[&str], keep_from: u64) -> Commit {
    let document = document_in(shard.log, at, Some(&format!("{at}")));
    let both: Vec<_> = of.iter().map(|text| (key(text), document.clone())).collect();
    Commit { kept: both.clone(), documents: both, keep_from: from(keep_from), ..step(shard, before, at) }
}

/// From where on the past is kept, and the positions of the versions of a document.
async fn versions(store: &Store, target: &ReadTarget, log: LogId, of: &str) -> (u64, Vec<u64>) {
    let read = ReadHistory { log, limit: 10_000, ..past(target.clone(), of, HistoryFrom::After(Position::START)) };
    let history = store.history(&read).await.must("a history");
    let positions = history.versions[0].iter().map(|version| version.bounds.position.get()).collect();
    (history.kept_from.get(), positions)
}

/// Commits steps without documents until a document has these versions.
async fn settle(store: &Store, shard: &Shard, mut at: u64, keep_from: u64, of: &str, wanted: &[u64]) {
    let target = numbered(shard.generation);
    for _ in 0..COMMITS {
        let (_, found) = versions(store, &target, shard.log, of).await;
        let base = found.iter().rfind(|position| **position <= keep_from);
        let needed = found.iter().position(|position| Some(position) == base).unwrap_or(0);
        assert_eq!(&found[needed..], wanted, "of {of} something that is needed from {keep_from} on is gone");
        if found == wanted {
            return;
        }
        store.commit(Commit { keep_from: from(keep_from), ..step(shard, at, at + 1) }).await.must("going on");
        at += 1;
    }
    panic!("{COMMITS} commits later, versions of {of} that nobody needs from {keep_from} on are still kept");
}

/// Two documents, kept at 10, 20, 30 and 40, where they are still.
async fn four_versions(store: &Store, shard: &Shard) {
    for (before, at) in [(0, 10), (10, 20), (20, 30), (30, 40)] {
        store.commit(keeping(shard, before, at, &["1", "2"], 0)).await.must("keeping versions");
    }
}

/// A document that is not written any more is forgotten like any other.
pub(crate) async fn what_nobody_needs_is_forgotten_and_the_rest_stays(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    four_versions(&store, &shard).await;
    let whole = versions(&store, &v1(), LogId::FIRST, "1").await;
    assert_eq!(whole.0, 0, "something was forgotten before anybody asked for it");
    assert!(whole.1.starts_with(&[10, 20, 30, 40]), "versions are missing before anything was forgotten: {whole:?}");
    for (before, keep_from, wanted) in [(40, 19, 0), (45, 20, 1), (50, 29, 1), (55, 35, 2), (60, 60, 3)] {
        store.commit(keeping(&shard, before, before + 5, &["3"], keep_from)).await.must("going on");
        let (kept_from, _) = versions(&store, &v1(), LogId::FIRST, "1").await;
        assert_eq!(kept_from, keep_from, "it is not said from where on the past is kept");
        for of in ["1", "2"] {
            let (_, found) = versions(&store, &v1(), LogId::FIRST, of).await;
            assert_eq!(found, whole.1[wanted..], "the versions of {of} that are needed from {keep_from} on");
        }
    }
    assert_eq!(body(&store, "1").await.as_deref(), Some("40"), "a document was forgotten with its past");
    let (_, third) = versions(&store, &v1(), LogId::FIRST, "3").await;
    assert!(third.starts_with(&[60, 65]), "the past of the document that was written meanwhile: {third:?}");
    let checkpoint = store.checkpoint(&shard).await.must("a checkpoint");
    assert_eq!(checkpoint.position, Position::new(65), "forgetting moved a checkpoint");
}

/// The versions of one document lie in one commit, and in several.
pub(crate) async fn however_it_was_committed_what_is_needed_stays(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let document = |at: u64| (key("1"), document(at, Some("{}")));
    let page = |positions: &[u64]| positions.iter().map(|at| document(*at)).collect::<Vec<(_, Document)>>();
    let commit = |before, kept: &[u64], at, keep_from| {
        let documents = vec![document(at)];
        Commit { kept: page(kept), documents, keep_from: from(keep_from), ..step(&shard, before, at) }
    };
    store.commit(commit(0, &[10, 20, 30], 35, 0)).await.must("keeping several versions");
    store.commit(commit(35, &[35, 40], 45, 25)).await.must("keeping two more");
    let needed = async |keep_from: u64, wanted: &[u64]| {
        let (kept_from, found) = versions(&store, &v1(), LogId::FIRST, "1").await;
        assert_eq!(kept_from, keep_from, "from where on the past is kept");
        assert!(found.ends_with(wanted), "of {found:?} not all that is needed from {keep_from} on is there");
    };
    needed(25, &[20, 30, 35, 40, 45]).await;
    store.commit(commit(45, &[], 47, 34)).await.must("going on");
    needed(34, &[30, 35, 40, 47]).await;
    store.commit(commit(47, &[47], 50, 46)).await.must("going on");
    needed(46, &[40, 47, 50]).await;
    // From here on no version but the newest two is needed.
    store.commit(commit(50, &[50], 60, 55)).await.must("going on");
    settle(&store, &shard, 60, 55, "1", &[50, 60]).await;
}

/// A document that was quiet for long is kept as it was then when it changes at last: older than what is kept already.
pub(crate) async fn what_is_kept_late_is_forgotten_in_its_turn(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    store.commit(keeping(&shard, 0, 10, &["1"], 0)).await.must("keeping a version");
    store.commit(writing(&shard, 10, 15, "1", Some("15"))).await.must("writing a document");
    store.commit(keeping(&shard, 15, 100, &["2"], 90)).await.must("going on");
    let late = Commit { kept: vec![(key("1"), document(15, Some("15")))], ..keeping(&shard, 100, 110, &[], 95) };
    let late = Commit { documents: vec![(key("1"), document(110, Some("110")))], ..late };
    store.commit(late).await.must("keeping a version late");
    settle(&store, &shard, 110, 95, "1", &[15, 110]).await;
    let at = store.checkpoint(&shard).await.must("a checkpoint").position.get();
    let last = Commit { kept: vec![(key("1"), document(110, Some("110")))], ..keeping(&shard, at, 200, &[], 115) };
    let last = Commit { documents: vec![(key("1"), document(200, Some("200")))], ..last };
    store.commit(last).await.must("keeping another version");
    settle(&store, &shard, 200, 115, "1", &[110, 200]).await;
}

/// A commit forgets a bounded part, and the next ones what it left.
pub(crate) async fn much_is_forgotten_by_and_by(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let names: Vec<_> = (0..500).map(|n| format!("{n:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (before, at) in [(0, 10), (10, 20), (20, 30)] {
        store.commit(keeping(&shard, before, at, &names, 0)).await.must("keeping versions");
    }
    store.commit(writing(&shard, 30, 31, "other", Some("{}"))).await.must("going on");
    let mut at = 31;
    for of in [names[0], names[250], names[499]] {
        settle(&store, &shard, at, 30, of, &[30, 30]).await;
        at = store.checkpoint(&shard).await.must("a checkpoint").position.get();
    }
    // Hundreds of versions of one document at once.
    for n in 0..600 {
        let keep = Commit { kept: vec![(key("busy"), document(at, Some("{}")))], ..step(&shard, at, at + 1) };
        let keep = Commit { documents: vec![(key("busy"), document(at + 1, Some("{}")))], ..keep };
        let keep_from = if n == 599 { from(at) } else { None };
        store.commit(Commit { keep_from, ..keep }).await.must("keeping a version of a busy document");
        at += 1;
    }
    settle(&store, &shard, at, at - 1, "busy", &[at - 1, at]).await;
}

pub(crate) async fn a_past_belongs_to_its_log_and_generation(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let next = store.build(&new(V1)).await.must("building").generation;
    let elsewhere = Shard { log: LogId::new(1), ..shard(live) };
    for of in [shard(live), shard(next), elsewhere.clone()] {
        four_versions(&store, &of).await;
    }
    store.commit(Commit { keep_from: from(35), ..step(&shard(live), 40, 41) }).await.must("forgetting");
    settle(&store, &shard(live), 41, 35, "1", &[30, 40, 40]).await;
    let (kept_from, other) = versions(&store, &v1(), LogId::new(1), "1").await;
    assert_eq!((kept_from, &other[..4]), (0, &[10, 20, 30, 40][..]), "a log forgets what another does");
    let (kept_from, other) = versions(&store, &numbered(next), LogId::FIRST, "1").await;
    assert_eq!((kept_from, &other[..4]), (0, &[10, 20, 30, 40][..]), "a generation forgets what another does");
}

/// Nor does a commit forget that fails, or one that says an earlier position than one before it.
pub(crate) async fn what_was_forgotten_stays_so_and_a_stale_commit_forgets_nothing(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    four_versions(&store, &shard).await;
    let stale = store.commit(Commit { keep_from: from(35), ..step(&shard, 30, 50) }).await;
    assert!(is_stale(&stale), "a stale commit that forgets led to {stale:?}");
    let (kept_from, found) = versions(&store, &v1(), LogId::FIRST, "1").await;
    assert_eq!((kept_from, &found[..4]), (0, &[10, 20, 30, 40][..]), "a stale commit forgot something");
    store.commit(Commit { keep_from: from(25), ..step(&shard, 40, 41) }).await.must("forgetting");
    store.commit(Commit { keep_from: from(15), ..step(&shard, 41, 42) }).await.must("forgetting less");
    store.commit(step(&shard, 42, 43)).await.must("forgetting nothing");
    let (kept_from, _) = versions(&store, &v1(), LogId::FIRST, "1").await;
    assert_eq!(kept_from, 25, "what was forgotten is said to be kept again");
}
