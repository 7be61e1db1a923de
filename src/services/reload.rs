//! SIGHUP: reads the certificate, the keys of `*_JWT_KEY_FILE`, the issuers, and key sets again.
//!
//! Invariant: an unusable file changes nothing, and a log line names it. The streams of a key that
//! is gone end: the shards find them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::{error, info, warn};

use super::certificates::Certificates;
use crate::api::keyring::{Issuer, SharedIssuers, SharedKey};
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

/// `ISSUERS_FILE` while the hub runs.
#[derive(Clone)]
pub struct IssuersFile {
    /// The setting that names it.
    pub name: &'static str,
    /// Its path.
    pub path: Box<str>,
    /// `ISSUER_PRIVATE_ADDRESSES`.
    pub allows_private: bool,
    /// The issuers that the shards trust.
    pub issuers: Arc<SharedIssuers>,
    /// Reads a file like it.
    pub read: ReadIssuers,
}

/// Reads the issuers of a file: its path, `ISSUER_PRIVATE_ADDRESSES`, and the key sets that are
/// fetched already, of which those that it names go on.
pub type ReadIssuers = fn(&str, bool, &[KeySetSource]) -> Result<IssuersRead, Vec<String>>;

/// What `ISSUERS_FILE` says.
pub struct IssuersRead {
    /// The issuers.
    pub issuers: Arc<[Issuer]>,
    /// Their key sets.
    pub key_sets: Vec<KeySetSource>,
    /// The files with their keys.
    pub key_files: Vec<KeyFile>,
    /// Warnings for the operator.
    pub warnings: Vec<String>,
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
    pub(crate) issuers: Option<IssuersFile>,
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

    /// Reads everything again; returns the new key sets, for which a thread has to be started.
    pub(crate) fn reload(&mut self) -> Vec<KeySetSource> {
        let has_keys = !self.key_files.is_empty() || !self.key_sets.is_empty() || self.issuers.is_some();
        if self.certificates.is_none() && !has_keys {
            info!("nothing to read again: no certificate, no key in a file, no key set");
        }
        self.certificates.iter_mut().for_each(Certificates::reload);
        self.key_sets.iter().for_each(|set| set.keys.fetch());
        let is_of_issuers = |file: &KeyFile| self.issuers.as_ref().is_some_and(|of| of.name == file.name);
        // The keys of issuers come with their list, or stay with it.
        self.key_files.iter().filter(|file| !is_of_issuers(file)).for_each(KeyFile::reload);
        self.reload_issuers()
    }

    fn reload_issuers(&mut self) -> Vec<KeySetSource> {
        let Some(file) = &self.issuers else { return Vec::new() };
        let IssuersFile { name, path, .. } = file;
        let read = match (file.read)(path, file.allows_private, &self.key_sets) {
            Ok(read) => read,
            Err(errors) => {
                let errors = errors.join("; ");
                error!(file = %path, errors, "{name} cannot be used; the issuers stay as they were");
                // A key that is withdrawn in its file is not kept in force by an error in the list.
                self.key_files.iter().filter(|key_file| key_file.name == *name).for_each(KeyFile::reload);
                return Vec::new();
            }
        };
        for warning in &read.warnings {
            warn!("{warning}");
        }
        let is_in = |sets: &[KeySetSource], set: &KeySetSource| {
            sets.iter().any(|other| Arc::ptr_eq(&other.keys, &set.keys))
        };
        let new = read.key_sets.iter().filter(|set| !is_in(&self.key_sets, set)).cloned().collect();
        let before = file.issuers.replace(Arc::clone(&read.issuers));
        log_changes(name, path, &before, &read.issuers);
        for set in self.key_sets.iter().filter(|set| set.issuer.is_some() && !is_in(&read.key_sets, set)) {
            set.keys.retire();
        }
        self.key_sets.retain(|set| set.issuer.is_none());
        self.key_sets.extend(read.key_sets);
        self.key_files.retain(|key_file| key_file.name != *name);
        self.key_files.extend(read.key_files);
        new
    }
}

/// Says which issuers are new, gone, or have other keys.
fn log_changes(name: &str, path: &str, before: &[Issuer], now: &[Issuer]) {
    let named = |list: &[Issuer], name: &str| list.iter().find(|issuer| *issuer.name == *name).cloned();
    let names = |list: &[Issuer], is_told: &dyn Fn(&Issuer) -> bool| {
        let told = list.iter().filter(|issuer| is_told(issuer)).map(|issuer| &*issuer.name);
        told.collect::<Vec<_>>().join(" ")
    };
    let added = names(now, &|issuer| named(before, &issuer.name).is_none());
    let removed = names(before, &|issuer| named(now, &issuer.name).is_none());
    let changed =
        names(now, &|issuer| named(before, &issuer.name).is_some_and(|before| !before.is_same(issuer)));
    let issuers = now.len();
    info!(file = %path, issuers, added, removed, changed, "the issuers are those of {name} as it is now");
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
