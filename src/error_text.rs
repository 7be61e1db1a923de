//! Errors and panics as texts for the log and the terminal.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Displays an error and its causes: `a: b: c`. A cause is left out if the text so far ends with
/// it: some libraries repeat the text of their source.
pub fn chain<'e>(error: &'e (dyn Error + 'static)) -> ErrorChain<'e> {
    ErrorChain(error)
}

/// See [`chain`].
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'e>(&'e (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.ends_with(&more) {
                write!(text, ": {more}")?;
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

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
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: io::Error,
    }

    #[test]
    fn every_cause_is_named_once() {
        let refused = || io::Error::other("refused");
        let layer = |text| Layer { text, source: refused() };
        assert_eq!(chain(&layer("no connection")).to_string(), "no connection: refused");
        assert_eq!(chain(&layer("no connection: refused")).to_string(), "no connection: refused");
        let outer = io::Error::other(layer("no connection"));
        assert_eq!(chain(&outer).to_string(), "no connection: refused");
        assert_eq!(chain(&refused()).to_string(), "refused");
    }

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
