//! Where a report goes: standard output and files.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("standard output")]
    Stdout(#[source] io::Error),
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// Writes to standard output; a closed pipe is not an error.
pub(crate) fn write(text: &str) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError::Stdout(error)),
        _ => Ok(()),
    }
}

/// Writes a JSON file.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), OutputError> {
    write_file(path, &format!("{value:#}\n"))
}

/// Writes a file.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), OutputError> {
    fs::write(path, text).map_err(|error| OutputError::File(path.to_owned(), error))
}
