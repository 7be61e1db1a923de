//! redb trusts the bytes of its file, and panics on some that it has not written. A panic of it is an error here: one bad page
//! must not end a hub, and a start that is refused ends with a sentence.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// It panicked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panicked;

/// Runs what may panic on a corrupt file; says nothing of the panic.
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
