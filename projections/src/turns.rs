//! Giving others a turn, without a runtime.

use std::future::poll_fn;
use std::task::Poll;

/// Lets whatever else the executor has go first, once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
