//! The disk is full, and then it is not.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use factum::{AppendError, EventStore, FaultKind};
use factum_postgres::PostgresStore;
use factum_postgres_server::{Server, ServerOptions};
use tokio::task::JoinSet;

use crate::common::Place;
use crate::in_time;
use crate::load::{Sent, Told, append};

/// A file system of some megabytes in memory, gone with the test.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, which is said, where this may not be mounted.
    fn of_megabytes(size: u32) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("factum-disk-").tempdir_in("/tmp").ok()?;
        if mount(folder.path(), &format!("size={size}m,mode=0777")) {
            return Some(Self(folder));
        }
        // Not `eprintln`, whose output a test harness swallows.
        let said = b"\n*** SKIPPED, NOT TESTED: a full disk: only root may mount a small one\n";
        let _ = std::io::stderr().write_all(said);
        None
    }

    fn grow_to(&self, size: u32) {
        assert!(mount(self.0.path(), &format!("remount,size={size}m")), "the disk does not grow");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(at: &Path, options: &str) -> bool {
    let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
    done.is_ok_and(|output| output.status.success())
}

/// 48 kB that cannot be compressed to much less.
fn payload() -> String {
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(48 << 10).collect();
    format!("\"{noise}\"")
}

/// Sends appends from some tasks until each was refused.
async fn fill(store: &Arc<PostgresStore>, tasks: usize) -> Vec<Sent> {
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let store = Arc::clone(store);
        set.spawn(async move {
            let mut all = Vec::new();
            while all.last().is_none_or(|last: &Sent| last.said.is_ok()) {
                let key = format!("{task}-{}", all.len());
                let (append, ids) = append(&key, 1 + all.len() % 2, Some(&payload()));
                let said = store.append(append).await;
                all.push(Sent { key, ids, said });
            }
            all
        });
    }
    in_time(set.join_all()).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_to_be_full_and_used_again_when_there_is_room() {
    let Some(server) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let Some(disk) = Disk::of_megabytes(12) else { return };
    let place = Place { database: server.empty_database().await.unwrap() };
    let location = disk.0.path().join("small");
    std::fs::create_dir(&location).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&server.data_folder().unwrap().metadata().unwrap());
    std::os::unix::fs::chown(&location, Some(owner), None).unwrap();
    place.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", location.display())).await;
    place.execute("ALTER DATABASE :database SET default_tablespace = small").await;
    PostgresStore::migrate(&place.url()).await.unwrap();
    let store = place.store().await;
    let mut told = fill(&store, 8).await;
    let mut refused = 0;
    for sent in &told {
        match &sent.said {
            Ok(_) => {}
            Err(AppendError::NotDone(fault)) => {
                assert_eq!(fault.kind(), FaultKind::Full, "{fault}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 8);
    assert!(told.len() > 16, "it was full from the start");
    // What is there can be read.
    assert!(store.head().await.unwrap() > crate::head(8));

    disk.grow_to(64);
    for n in 0..8 {
        let key = format!("with room {n}");
        let (append, ids) = append(&key, 2, Some(&payload()));
        told.push(Sent { key, ids, said: Ok(in_time(store.append(append)).await.unwrap()) });
    }
    Told(told).reckon(&store).await;
}
