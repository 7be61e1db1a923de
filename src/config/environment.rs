//! What the settings are read in: the files, cores and variables of the process.

use crate::ops::host::MemoryLimit;

/// The environment in which the settings are read.
pub struct Environment<'w> {
    /// Reads the file of a `*_FILE` setting.
    pub read_file: &'w dyn Fn(&str) -> std::io::Result<String>,
    /// The cores this process may run on.
    pub cpus: &'w [usize],
    /// The memory that this process may use; `None` if that is not known.
    pub memory: Option<&'w MemoryLimit>,
    /// The environment variables, to find misspelled names.
    pub variables: &'w [(String, String)],
}
