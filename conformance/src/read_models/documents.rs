//! Documents: written, loaded, got, listed.

use factum::{Commit, Document, DocumentKey, DocumentPage, ListDocuments, LogId, Shard, Tenant};

use super::kit::*;
use crate::Fixture;
use crate::kit::{Must, tenant};

async fn write(store: &Store, shard: &Shard, documents: Vec<(DocumentKey, Document)>) {
    let at = store.checkpoint(shard).await.must("a checkpoint").position.get();
    store.commit(Commit { documents, ..step(shard, at, at + 100) }).await.must("writing documents");
}

/// Body, bounds to the microsecond, and positions.
pub(crate) async fn a_document_comes_back_as_it_was(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let bodies = ["null", "{}", r#"{"b":1,"a":0.1000}"#, "\"Žluťoučký 😀\\u0000\"", "{ \"spaced\" : 1 }"];
    for (n, body) in (1..).zip(bodies) {
        let mut document = document(n, Some(body));
        document.bounds.occurred_at = crate::kit::time("1993-06-30T23:59:59.999999Z");
        for position in [200, 300, 70_000, i64::MAX as u64] {
            document.positions.push(factum::Position::new(position));
        }
        let key = key(&format!("document {n} 'š'"));
        write(&store, &shard(live), vec![(key.clone(), document.clone())]).await;
        let loaded = store.load(&shard(live), std::slice::from_ref(&key)).await.must("loading");
        assert_eq!(loaded, [Some(document.clone())], "a document was loaded as another than was written");
        let found = store.get(&v1(), &[key]).await.must("getting");
        assert_eq!(found.documents, [vec![document]], "a document was got as another than was written");
    }
}

pub(crate) async fn answers_are_in_the_order_of_the_keys(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let written = ["a", "b", "c"].map(|text| (key(text), document(3, Some(&format!("\"{text}\"")))));
    write(&store, &shard(live), written.to_vec()).await;
    let asked = ["c", "missing", "a", "c"].map(key);
    let wanted = [Some(2), None, Some(0), Some(2)].map(|n: Option<usize>| n.map(|n| written[n].1.clone()));
    assert_eq!(store.load(&shard(live), &asked).await.must("loading"), wanted, "load answers in another order");
    let found = store.get(&v1(), &asked).await.must("getting");
    let wanted: Vec<Vec<_>> = wanted.into_iter().map(|document| document.into_iter().collect()).collect();
    assert_eq!(found.documents, wanted, "get answers in another order");
    assert_eq!((found.read.generation, found.read.checkpoint), (live, at(100)), "an answer tells another checkpoint");
    assert!(store.load(&shard(live), &[]).await.must("loading nothing").is_empty());
}

/// A deletion leaves a tombstone, which the projector sees and readers do not.
pub(crate) async fn a_deleted_document_is_hidden_from_readers(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let keys = ["a", "b", "c"].map(key);
    write(&store, &shard, keys.iter().map(|key| (key.clone(), document(3, Some("{}")))).collect()).await;
    write(&store, &shard, vec![(keys[1].clone(), document(8, None))]).await;
    assert_eq!(store.get(&v1(), &keys[1..2]).await.must("getting").documents, [vec![]], "a deleted document was got");
    let loaded = store.load(&shard, &keys[1..2]).await.must("loading");
    assert_eq!(loaded, [Some(document(8, None))], "a tombstone was not loaded");
    let listed = store.list(&listing(v1(), 10)).await.must("listing");
    let names: Vec<_> = listed.documents.iter().map(|(key, _)| key.key()).collect();
    assert_eq!(names, ["a", "c"], "a deleted document was listed");
    let all = store.list(&ListDocuments { deleted: true, ..listing(v1(), 10) }).await.must("listing");
    let bodies: Vec<_> = all.documents.iter().map(|(_, documents)| documents[0].body.is_some()).collect();
    assert_eq!(bodies, [true, false, true], "a tombstone was not listed where it was asked for");
    write(&store, &shard, vec![(keys[1].clone(), document(9, Some("\"again\"")))]).await;
    assert_eq!(body(&store, "b").await.as_deref(), Some("\"again\""), "a document that came back is not there");
}

async fn page(store: &Store, list: &ListDocuments) -> DocumentPage {
    store.list(list).await.must("listing documents")
}

/// By the bytes of the keys, whatever a database thinks of letters.
pub(crate) async fn pages_are_in_the_order_of_the_keys_as_bytes(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let mut keys =
        vec!["b", "a", "B", "10", "9", "ä", "z", "a b", "a-b", "aB", "😀", "\u{ffff}", "'", "%", "é", "e\u{301}"];
    let documents = keys.iter().map(|text| (key(text), document(3, Some(&format!("\"{text}\""))))).collect();
    write(&store, &shard(live), documents).await;
    keys.sort_unstable();
    for size in [1, 3, 8, keys.len(), 100] {
        let mut seen = Vec::new();
        let mut list = listing(v1(), size);
        for _ in 0..=keys.len() {
            let found = page(&store, &list).await;
            assert!(found.documents.len() <= size, "a page of {size} keys holds {}", found.documents.len());
            assert_eq!((found.read.generation, &found.read.checkpoint), (live, &at(100)), "a page tells another place");
            list.after = found.documents.last().map(|(key, _)| key.key().to_owned()).or(list.after);
            seen.extend(found.documents);
            if found.end {
                break;
            }
        }
        let names: Vec<_> = seen.iter().map(|(key, _)| key.key()).collect();
        assert_eq!(names, keys, "pages of {size} are not every key once, in the order of their bytes");
        let bodies = seen.iter().all(|(key, found)| {
            found.len() == 1 && found[0].body.as_deref() == Some(format!("\"{}\"", key.key()).as_bytes())
        });
        assert!(bodies, "a page holds another document than its key's");
    }
    let first = page(&store, &listing(v1(), 3)).await;
    assert!(!first.end, "a page of 3 says that {} keys end there", keys.len());
    let beyond = page(&store, &ListDocuments { after: Some("\u{10ffff}".to_owned()), ..listing(v1(), 3) }).await;
    assert!(beyond.documents.is_empty() && beyond.end, "there is something after the last key");
}

/// Deleted documents do not end a listing, nor make an empty page.
pub(crate) async fn a_listing_steps_over_deleted_documents(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let body = |n: u64| if n.is_multiple_of(10) { Some("{}") } else { None };
    let documents = (1..=50).map(|n| (key(&format!("{n:03}")), document(n, body(n)))).collect();
    write(&store, &shard(live), documents).await;
    let mut seen = Vec::new();
    let mut list = listing(v1(), 2);
    for _ in 0..20 {
        let found = page(&store, &list).await;
        list.after = found.documents.last().map(|(key, _)| key.key().to_owned()).or(list.after);
        assert!(found.end || !found.documents.is_empty(), "a page is empty and says that it is not the end");
        seen.extend(found.documents.into_iter().map(|(key, _)| key.key().to_owned()));
        if found.end {
            break;
        }
    }
    assert_eq!(seen, ["010", "020", "030", "040", "050"], "deleted documents hide others from a listing");
}

pub(crate) async fn tenants_are_apart(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let tenants = [Tenant::default(), tenant("acme"), tenant("zeta")];
    let documents = tenants.iter().flat_map(|tenant| {
        ["1", "2"].map(|text| (key_of(tenant.clone(), text), document(3, Some(&format!("\"{tenant} {text}\"")))))
    });
    write(&store, &shard(live), documents.collect()).await;
    for tenant in &tenants {
        let found = page(&store, &ListDocuments { tenant: tenant.clone(), ..listing(v1(), 10) }).await;
        let bodies: Vec<_> = found.documents.iter().filter_map(|(_, found)| found[0].body.clone()).collect();
        let wanted = ["1", "2"].map(|text| format!("\"{tenant} {text}\""));
        assert_eq!(bodies, wanted, "a listing of tenant {tenant}");
        assert!(found.end && found.documents.iter().all(|(key, _)| key.tenant() == tenant));
        let got = store.get(&v1(), &[key_of(tenant.clone(), "2")]).await.must("getting");
        assert_eq!(got.documents[0][0].body.as_deref(), Some(wanted[1].as_bytes()), "a document of tenant {tenant}");
        let after = ListDocuments { tenant: tenant.clone(), after: Some("1".to_owned()), ..listing(v1(), 10) };
        assert_eq!(page(&store, &after).await.documents.len(), 1, "a second page of tenant {tenant}");
    }
    let nobody = ListDocuments { tenant: crate::kit::tenant("nobody"), ..listing(v1(), 10) };
    assert!(page(&store, &nobody).await.documents.is_empty(), "a tenant without documents has some");
    for (after, next) in [(0, Some(1)), (1, Some(2)), (2, None)] {
        let found = store.next_tenant(&v1(), &tenants[after]).await.must("the next tenant");
        assert_eq!(found.as_ref(), next.map(|next: usize| &tenants[next]), "the tenant after {}", tenants[after]);
    }
    let found = store.next_tenant(&v1(), &tenant("nobody")).await.must("the next tenant");
    assert_eq!(found.as_ref(), Some(&tenants[2]), "the tenant after one that has no documents");
}

/// A document is folded from one log; readers get those of all logs, in the order of the logs.
pub(crate) async fn logs_have_documents_of_their_own(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shards = [1, 0, 2].map(|log| Shard { log: LogId::new(log), ..shard(live) });
    for shard in &shards {
        let document = document_in(shard.log, 5, Some(&shard.log.to_string()));
        write(&store, shard, vec![(key("1"), document)]).await;
    }
    write(&store, &shards[2], vec![(key("1"), document_in(LogId::new(2), 6, None))]).await;
    for shard in &shards[..2] {
        let loaded = store.load(shard, &[key("1")]).await.must("loading");
        let wanted = document_in(shard.log, 5, Some(&shard.log.to_string()));
        assert_eq!(loaded, [Some(wanted)], "the document of log {} is another's", shard.log);
    }
    let found = store.get(&v1(), &[key("1")]).await.must("getting");
    let listed = page(&store, &listing(v1(), 1)).await;
    for documents in [&found.documents[0], &listed.documents[0].1] {
        let logs: Vec<_> = documents.iter().map(|document| document.bounds.log.get()).collect();
        assert_eq!(logs, [0, 1], "the documents of a key are one for each log that has one, by log");
    }
    assert!(listed.end, "a page counts keys, not documents");
    let checkpoint = found.read.checkpoint;
    assert_eq!(checkpoint.positions().count(), 3, "an answer tells the checkpoint of each log: {checkpoint}");
}

/// The pages of one listing belong together: they go on in their generation after a switch.
pub(crate) async fn a_generation_can_be_read_by_its_number(fixture: &Fixture) {
    let Some((store, old)) = live(fixture).await else { return };
    write(&store, &shard(old), ["a", "b"].map(|text| (key(text), document(3, Some("\"old\"")))).to_vec()).await;
    let first = page(&store, &listing(v1(), 1)).await;
    let next = store.build(&new(V1)).await.must("building").generation;
    write(&store, &shard(next), ["a", "b"].map(|text| (key(text), document(3, Some("\"new\"")))).to_vec()).await;
    store.switch(&switch(old, next)).await.must("switching");
    let rest = listing(numbered(first.read.generation), 5);
    let rest = page(&store, &ListDocuments { after: Some("a".to_owned()), ..rest }).await;
    assert_eq!(rest.read.generation, old, "a page that names its generation was read from another");
    let bodies: Vec<_> = rest.documents.iter().filter_map(|(_, found)| found[0].body.clone()).collect();
    assert_eq!(bodies, ["\"old\""], "the second page of a listing is of another generation");
}
