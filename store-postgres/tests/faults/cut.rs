//! The connection is cut in the middle of an append: before the server has it, while it works on it, before its answer comes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use factum::{Append, AppendError, Condition, EventStore, FaultKind, ReadError, ReadStream};
use factum_postgres_server::Server;
use sqlx::{Connection, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::common::{Place, event, keyed, one, stream};
use crate::load::{Sent, Told, append};
use crate::{in_time, own_place};

/// What an append holds that is to be cut.
const MARK: &[u8] = b"CUT HERE";

const PASS: u8 = 0;
const BEFORE_THE_SERVER: u8 = 1;
const WHILE_IT_WORKS: u8 = 2;
const BEFORE_THE_ANSWER: u8 = 3;
const IN_THE_ANSWER: u8 = 4;
/// Nothing is cut; no answer comes any more.
const NO_ANSWER: u8 = 5;
/// The same, when the mark is seen for the second time.
const NO_SECOND_ANSWER: u8 = 6;

/// What stands between a store and its server, and cuts once when it sees the mark.
struct Proxy {
    port: u16,
    cuts: Arc<AtomicU8>,
}

impl Proxy {
    async fn in_front_of(server: &Server) -> Self {
        let socket = server.socket_folder().unwrap().join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, cuts) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU8::new(PASS)));
        let cuts_of_all = Arc::clone(&cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(client, socket.clone(), Arc::clone(&cuts_of_all)));
            }
        });
        Self { port, cuts }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Ends, and cuts both sides, when it is told to or one of them ends.
async fn pass_on(mut client: TcpStream, socket: PathBuf, cuts: Arc<AtomicU8>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut cut = PASS;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if asked[..length].windows(MARK.len()).any(|bytes| bytes == MARK) {
                    cut = cuts.swap(PASS, Ordering::SeqCst);
                    if cut == NO_SECOND_ANSWER {
                        cuts.store(NO_ANSWER, Ordering::SeqCst);
                    }
                }
                if cut == BEFORE_THE_SERVER || server.write_all(&asked[..length]).await.is_err() || cut == WHILE_IT_WORKS {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if cut == BEFORE_THE_ANSWER {
                    return;
                }
                if cut == NO_ANSWER {
                    continue;
                }
                let length = if cut == IN_THE_ANSWER { length / 2 } else { length };
                if client.write_all(&answered[..length]).await.is_err() || cut == IN_THE_ANSWER {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_of_an_append_loses_and_doubles_nothing() {
    let Some((server, place)) = own_place().await else { return };
    let proxy = Proxy::in_front_of(&server).await;
    let store = place.options().connect(&proxy.url(place.database.name())).await.unwrap();
    let mut told = Vec::new();
    for cut in [BEFORE_THE_SERVER, WHILE_IT_WORKS, BEFORE_THE_ANSWER, IN_THE_ANSWER] {
        // The last are enough to be copied, in a transaction of several statements.
        for events in [1, 2, 1_000] {
            proxy.cuts.store(cut, Ordering::SeqCst);
            let key = format!("{cut}-{events}");
            let (append, ids) = append(&key, events, Some(r#"{"cents":1,"note":"CUT HERE"}"#));
            let said = in_time(store.append(append)).await;
            assert!(said.is_ok(), "what can be found out was not: {said:?}");
            assert_eq!(proxy.cuts.load(Ordering::SeqCst), PASS, "nothing was cut");
            told.push(Sent { key, ids, said });
        }
    }
    Told(told).reckon(&store).await;
}

/// One event without a key is found by its id.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_without_a_key_that_was_cut_is_recorded_once_too() {
    let Some((server, place)) = own_place().await else { return };
    let proxy = Proxy::in_front_of(&server).await;
    let store = place.options().connect(&proxy.url(place.database.name())).await.unwrap();
    for (n, cut) in (1..).zip([BEFORE_THE_SERVER, WHILE_IT_WORKS, BEFORE_THE_ANSWER, IN_THE_ANSWER]) {
        proxy.cuts.store(cut, Ordering::SeqCst);
        let mut marked = event();
        marked.payload = r#"{"note":"CUT HERE"}"#.into();
        // Any version: sent twice, it would be recorded twice.
        let done = in_time(store.append(Append::to(stream("1"), Condition::Any, vec![marked]))).await.unwrap();
        assert_eq!(proxy.cuts.load(Ordering::SeqCst), PASS, "nothing was cut");
        assert_eq!(done.cursor, crate::head(n), "it was recorded twice");
    }
    assert_eq!(store.head().await.unwrap(), crate::head(4));
}

/// The server's process still waits for the order lock with what it was sent when its connection is cut: were it left alone, the
/// append would be recorded after its sender was told that it was not.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_connection_was_sent_does_not_come_later() {
    let Some((server, place)) = own_place().await else { return };
    let proxy = Proxy::in_front_of(&server).await;
    let store = Arc::new(place.options().connect(&proxy.url(place.database.name())).await.unwrap());
    let direct = place.store().await;
    let mut holder = place.connection().await;
    let mut lock = holder.begin().await.unwrap();
    direct.append_in(&mut lock, one("holds the lock", Condition::Any)).await.unwrap();
    proxy.cuts.store(WHILE_IT_WORKS, Ordering::SeqCst);
    let mut marked = event();
    marked.payload = r#"{"note":"CUT HERE"}"#.into();
    // Any version, no key: if what was cut came too, it would be there twice.
    let append = Append::to(stream("1"), Condition::Any, vec![marked]);
    let appending = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(append).await }
    });
    // The process that was cut off waits, and then the one that does it again.
    let first = in_time(another_waits(&place, 0)).await;
    in_time(another_waits(&place, first)).await;
    lock.rollback().await.unwrap();
    let done = in_time(appending).await.unwrap().unwrap();
    assert_eq!((done.already, done.cursor), (false, crate::head(1)));
    in_time(direct.append(one("2", Condition::Any))).await.unwrap();
    assert_eq!(direct.head().await.unwrap(), crate::head(2), "what was cut came later");
}

/// A process of the server that waits for the order lock, other than this one.
async fn another_waits(place: &Place, than: i32) -> i32 {
    let mut conn = place.connection().await;
    let waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid <> $1";
    loop {
        if let Some(row) = sqlx::query(waits).bind(than).fetch_optional(&mut conn).await.unwrap() {
            return row.get(0);
        }
        tokio::task::yield_now().await;
    }
}

/// A server of which nothing is heard any more, though the connection stands, was waited for forever by whoever read, and by the
/// one task that appends while it asked what was under a key or what a query had matched: nobody appended any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up_by_readers_and_by_what_appends_ask_beside() {
    let Some((server, place)) = own_place().await else { return };
    let proxy = Proxy::in_front_of(&server).await;
    let options = place.options().statement_timeout(Duration::from_secs(1));
    let store = options.connect(&proxy.url(place.database.name())).await.unwrap();
    let marked = || keyed("CUT HERE", one("1", Condition::Any));
    in_time(store.append(marked())).await.unwrap();

    let cut_stream = stream("CUT HERE");
    proxy.cuts.store(NO_ANSWER, Ordering::SeqCst);
    match in_time(store.read_stream(ReadStream::new(cut_stream.clone()))).await {
        Err(ReadError::Fault(fault)) => assert_eq!(fault.kind(), FaultKind::Unavailable, "{fault}"),
        other => panic!("{other:?}"),
    }
    in_time(store.read_stream(ReadStream::new(cut_stream))).await.unwrap();

    // The append is answered: its key is known. What is asked then, to tell what is under it, is not.
    proxy.cuts.store(NO_SECOND_ANSWER, Ordering::SeqCst);
    match in_time(store.append(marked())).await {
        Err(AppendError::NotDone(fault)) => assert_eq!(fault.kind(), FaultKind::Unavailable, "{fault}"),
        other => panic!("{other:?}"),
    }
    assert!(in_time(store.append(marked())).await.unwrap().already);
    assert_eq!(in_time(store.head()).await.unwrap(), crate::head(1));
}
