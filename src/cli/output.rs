//! What commands print, and their exit status.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// The call, or the settings, are wrong.
pub(crate) const USAGE: u8 = 2;

/// Says what is wrong, on standard error.
pub(crate) fn complain(message: impl Display) {
    // There is nowhere left to say that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "petasos: {message}");
}

/// The status of a command that wrote to standard output. A closed pipe is not a failure.
pub(crate) fn written(result: io::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}
