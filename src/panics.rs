//! Panics of libraries, as errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of a panic; that of `panic!` is a text always.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

thread_local! {
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of a library that panics where it should return an error; returns the message of the
/// panic as that error.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CATCHES.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHES.set(before);
    result.map_err(|payload| panic_message(&*payload).to_owned())
}

/// Whether a panic of this thread becomes an error in [`caught`]: then a panic hook should not
/// report it.
pub fn catches_panics() -> bool {
    CATCHES.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_is_caught_is_an_error() {
        assert_eq!(caught(catches_panics), Ok(true));
        assert_eq!(caught(|| -> u8 { panic!("no thread {}", 7) }), Err("no thread 7".to_owned()));
        assert!(!catches_panics());
    }

    #[test]
    fn a_panic_has_its_message() {
        let message = |payload: Box<dyn Any + Send>| panic_message(&*payload).to_owned();
        assert_eq!(message(Box::new("a bad page")), "a bad page");
        assert_eq!(message(Box::new("page 7".to_owned())), "page 7");
        assert_eq!(message(Box::new(7)), "no message");
    }
}
