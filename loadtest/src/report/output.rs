//! Where a report goes: standard output and files.

use std::fs;
use std::io::Write as _;
use std::path::Path;

/// Writes to standard output; a closed pipe is not an error.
pub(crate) fn write(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON file.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), String> {
    write_file(path, &format!("{value:#}\n"))
}

/// Writes a file.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
