//! redb trusts the bytes of its file, and panics on some that it did not write. Here such a panic
//! becomes an error: one bad page must not end a hub, and a refused start must end with a message.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// The error for a panic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

/// Runs code that may panic on a corrupt file; suppresses the panic message.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                others(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    result.map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_guard_ends_with_it() {
        assert!(guarded(|| panic!("a bad page")).is_err());
        assert!(!GUARDED.get());
        assert_eq!(guarded(|| 1).expect("no panic"), 1);
    }
}
