//! Looking at oneself.

use factum::Severity;

use crate::Fixture;
use crate::kit::*;

/// Notes and warnings are the store's own affair; a problem is one that users have.
pub(crate) async fn a_store_that_is_well_finds_no_problem(fixture: &Fixture) {
    add(fixture, &stream("account-1"), events(3)).await;
    let head = fixture.store().head().await.must("the head");
    let mut found = soon("looking at the store", fixture.store().diagnose()).await.must("looking at the store");
    if let Some(read_models) = fixture.read_models() {
        let more = soon("looking at the read models", read_models.diagnose()).await;
        found.extend(more.must("looking at the read models"));
    }
    for finding in found {
        assert!(!finding.code().is_empty() && !finding.what().is_empty(), "a finding says nothing: {finding:?}");
        assert!(finding.severity() < Severity::Problem, "a store that is well found a problem: {finding}");
    }
    assert_eq!(fixture.store().head().await.must("the head"), head, "looking at a store changed it");
}
