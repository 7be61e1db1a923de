//! redb trusts the bytes of its file, and panics on some that it did not write. Here such a panic
//! becomes an error: one bad page must not end a hub, and a refused start must end with a message.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use redb::Database;

use crate::panics::panic_message;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// The place of the last panic that was caught here.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// The error for a panic.
#[derive(Debug, thiserror::Error)]
#[error("a panic at {place}: {message}")]
pub(super) struct Panicked {
    message: String,
    place: String,
}

/// Runs code that may panic on a corrupt file. The panic is in the error, not on standard error.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| if GUARDED.get() { PLACE.set(place(info)) } else { others(info) }));
    });
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.map_err(|payload| Panicked {
        message: panic_message(&*payload).to_owned(),
        // The program may have replaced the hook.
        place: PLACE.take().unwrap_or_else(|| "an unknown place".to_owned()),
    })
}

/// Closes a store. redb writes when it is closed, and a corrupt file may make it panic then; the
/// next start repairs what it could not write.
pub(super) fn close(database: Database) {
    let _ = guarded(|| drop(database));
}

fn place(info: &PanicHookInfo<'_>) -> Option<String> {
    info.location().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_guard_ends_with_it() {
        let error = guarded(|| panic!("bad page {}", 7)).expect_err("caught").to_string();
        assert!(error.contains("bad page 7") && error.contains(file!()), "{error}");
        assert!(!GUARDED.get());
        assert_eq!(guarded(|| 1).expect("no panic"), 1);
    }
}
