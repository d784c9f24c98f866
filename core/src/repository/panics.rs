//! A panic in a user's code is the answer to one command, and the end of nothing else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code of the user's. What it may have left half done is thrown away by the caller if it panics.
pub(super) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| text_of(&*panic))
}

pub(super) fn text_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        return text.clone();
    }
    panic.downcast_ref::<&str>().map_or_else(|| "a panic without a text".to_owned(), |text| (*text).to_owned())
}
