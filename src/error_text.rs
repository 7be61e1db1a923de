//! Errors as texts for the log and the terminal.

use std::error::Error;
use std::fmt::{self, Write as _};

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
}
