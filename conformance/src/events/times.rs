//! Times of recording.

use chrono::{TimeDelta, Utc};
use factum::to_micros;

use crate::Fixture;
use crate::kit::*;

/// Within a log a later event never has an earlier time, and the answer tells the time that is read.
pub(crate) async fn recorded_at_never_goes_back(fixture: &Fixture) {
    for n in 0..50 {
        let account = stream(&format!("account-{}", n % 7));
        let answer = add(fixture, &account, events(1 + n % 3)).await;
        let last = stream_of(fixture, &account).await.pop().must("the last event");
        assert_eq!(last.recorded_at, answer.recorded_at, "the answer tells another time than the event");
        assert_eq!(last.recorded_at, to_micros(last.recorded_at), "recorded_at is finer than a microsecond");
    }
    for log in fixture.store().logs() {
        let times: Vec<_> = log_of(fixture, log).await.iter().map(|event| event.recorded_at).collect();
        assert!(times.is_sorted(), "recorded_at of log {log} goes back: {times:?}");
    }
}

/// Events are recorded when they are recorded: a store that lives by another clock than its callers is off by hours or
/// days, not by less than one.
pub(crate) async fn recorded_at_is_the_time_of_the_append(fixture: &Fixture) {
    let before = Utc::now();
    let answer = add(fixture, &stream("account-1"), vec![occurred("1993-06-30T00:00:00Z")]).await;
    let off = (answer.recorded_at - before).abs();
    assert!(off < TimeDelta::hours(1), "an event was recorded at {}, and it is {before}", answer.recorded_at);
}

pub(crate) async fn when_nobody_said_it_happened_when_it_was_recorded(fixture: &Fixture) {
    let account = stream("account-1");
    add(fixture, &account, vec![event("Noted", 1), occurred("1993-06-30T12:00:00.000001Z")]).await;
    let found = stream_of(fixture, &account).await;
    assert_eq!(found[0].metadata.when(), None, "a time of happening was made up");
    assert_eq!(found[0].occurred_at(), found[0].recorded_at);
    assert_eq!(found[1].occurred_at(), time("1993-06-30T12:00:00.000001Z"), "a time of happening changed");
}
