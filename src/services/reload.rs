//! SIGHUP: reads the certificate, the keys of `*_JWT_KEY_FILE`, and key sets again.
//!
//! Invariant: an unusable file changes nothing, and a log line names it. Open streams stay open
//! until their token's `exp`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::certificates::Certificates;
use crate::api::keyring::SharedKey;
use crate::mercure::token::VerificationKey;
use crate::ops::host;
use crate::services::key_sets::KeySetSource;

/// A key in a file.
#[derive(Clone)]
pub struct KeyFile {
    /// The setting that names it.
    pub name: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// The key that the shards use.
    pub key: Arc<SharedKey>,
}

/// Everything that SIGHUP reads again.
pub(crate) struct Reloads {
    pub(crate) certificates: Option<Certificates>,
    pub(crate) key_files: Vec<KeyFile>,
    pub(crate) key_sets: Vec<KeySetSource>,
}

impl Reloads {
    /// When to call [`Self::look`] next, if at all.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.certificates.as_ref().and_then(Certificates::next_look)
    }

    /// Checks whether the certificate has changed.
    pub(crate) fn look(&mut self) {
        self.certificates.iter_mut().for_each(Certificates::look);
    }

    /// The hub stops: nothing is read any more.
    pub(crate) fn stop(&self) {
        self.certificates.iter().for_each(Certificates::stop);
    }

    /// Reads everything again.
    pub(crate) fn reload(&mut self) {
        if self.certificates.is_none() && self.key_files.is_empty() && self.key_sets.is_empty() {
            info!("nothing to read again: no certificate, no key in a file, no key set");
        }
        self.certificates.iter_mut().for_each(Certificates::reload);
        self.key_files.iter().for_each(KeyFile::reload);
        self.key_sets.iter().for_each(|set| set.keys.fetch());
    }
}

impl KeyFile {
    fn reload(&self) {
        let Self { name, path, key } = self;
        let file = path.display();
        match self.read() {
            Ok(new) => {
                if new.is_short() {
                    warn!(%file, "{name} is shorter than the output of its hash: use a longer one");
                }
                key.replace(new);
                info!(%file, "tokens are verified with {name} as it is now");
            }
            Err(error) => warn!(%file, "{name}: {error}; the key stays as it was"),
        }
    }

    fn read(&self) -> Result<VerificationKey, String> {
        let path = self.path.to_str().ok_or("its name is not UTF-8")?;
        let text = host::read_key_file(path).map_err(|error| format!("the file cannot be read: {error}"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        VerificationKey::new(self.key.algorithm(), text.as_bytes()).map_err(|error| error.to_string())
    }
}
