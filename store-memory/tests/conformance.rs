//! The memory store keeps every promise, with one log and with several.

use std::sync::Arc;

use factum_conformance::Fixture;
use factum_memory::MemoryStore;

mod one_log {
    use super::*;

    async fn store() -> Fixture {
        Fixture::new(Arc::new(MemoryStore::new()))
    }

    factum_conformance::suite!(store);
}

mod several_logs {
    use super::*;

    async fn store() -> Fixture {
        Fixture::new(Arc::new(MemoryStore::with_logs(3)))
    }

    factum_conformance::suite!(store);
}
