//! SIGHUP: reads the certificate, the keys of `*_JWT_KEY_FILE`, and key sets again.
//!
//! Invariant: an unusable file changes nothing, and a log line names it. Open streams stay open
//! until their token's `exp`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::certificates::Certificates;
use crate::api::keyring::SharedKey;
use crate::error_text::chain;
use crate::io::key_file::read_key_file;
use crate::mercure::token::{KeyError, VerificationKey};
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

/// Why a key cannot be read again.
#[derive(Debug, thiserror::Error)]
enum KeyFileError {
    #[error("its name is not UTF-8")]
    NotUtf8,
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
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
            Err(error) => warn!(%file, "{name}: {}; the key stays as it was", chain(&error)),
        }
    }

    fn read(&self) -> Result<VerificationKey, KeyFileError> {
        let path = self.path.to_str().ok_or(KeyFileError::NotUtf8)?;
        let text = read_key_file(path).map_err(KeyFileError::Unreadable)?;
        let text = text.trim_end_matches(['\r', '\n']);
        Ok(VerificationKey::new(self.key.algorithm(), text.as_bytes())?)
    }
}
