//! The files in `ACME_CERT_DIR`: for each authority, the account, and the certificate with its key.
//!
//! Invariants:
//! - only the hub's user can read the folder and its files;
//! - a file is replaced atomically, and is on the disk before the hub relies on it;
//! - a certificate and its key are in one file (PEM), so they always match;
//! - each authority has its own files, so one never gets data of another.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::limits::CERTIFICATE_FILE_BYTES_MAX;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The permission bits of other users.
const OTHERS: u32 = 0o077;
const ACCOUNT: &str = "account-";
const CERTIFICATE: &str = "certificate-";
const NEXT: &str = "next";
/// Bytes of the authority's URL in a file name, which may have 255 bytes.
const NAME_BYTES_MAX: usize = 200;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct CertificateStore {
    folder: PathBuf,
    account: PathBuf,
    certificate: PathBuf,
}

/// Why the folder cannot be used. The text names it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be created.
    #[error("the folder {path} (ACME_CERT_DIR) cannot be made", path = .0.display())]
    NotCreated(PathBuf, #[source] io::Error),
    /// A file cannot be read.
    #[error("{path} cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// A file cannot be written.
    #[error("{path} cannot be written", path = .0.display())]
    Unwritable(PathBuf, #[source] io::Error),
    /// Other users can read the folder, and it holds other files; its mode.
    #[error(
        "the folder {path} (ACME_CERT_DIR) is open to others (mode {1:03o}) and holds other things; it is to \
         hold private keys: name a folder of its own, or `chmod 700 {path}`",
        path = .0.display()
    )]
    Open(PathBuf, u32),
    /// Other users can read the file or folder, and its mode cannot be changed.
    #[error("{path} (ACME_CERT_DIR) is open to others, and its mode cannot be changed", path = .0.display())]
    NotOurs(PathBuf, #[source] io::Error),
}

impl CertificateStore {
    /// Creates the folder if it does not exist. Removes the permissions of others if it holds only
    /// our files.
    ///
    /// # Errors
    /// It stays open to others, it cannot be created, or it is not writable.
    pub(super) fn open(folder: &Path, directory_url: &str) -> Result<Self, StoreError> {
        let authority = file_name(directory_url);
        let store = Self {
            folder: folder.to_owned(),
            account: folder.join(format!("{ACCOUNT}{authority}.json")),
            certificate: folder.join(format!("{CERTIFICATE}{authority}.pem")),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|error| StoreError::NotCreated(folder.to_owned(), error))?;
        store.close_folder()?;
        store.check_writable()?;
        Ok(store)
    }

    /// The path of the certificate and its key.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The path of the account.
    pub(super) fn account(&self) -> &Path {
        &self.account
    }

    /// Checks that files can be written. Call it before asking an authority, whose certificates are
    /// rate-limited.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        let path = self.folder.join(NEXT);
        // About as much as a certificate needs: even a full disk may take an empty file.
        let written = self.write_next(&path, &[b'\n'; 16 << 10]).and_then(|()| fs::remove_file(&path));
        written.map_err(|error| StoreError::Unwritable(path, error))
    }

    /// Reads a file of this folder; `None` if it does not exist. Removes the permissions of others.
    ///
    /// # Errors
    /// It cannot be read, or is larger than [`CERTIFICATE_FILE_BYTES_MAX`].
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let unreadable = |error| StoreError::Unreadable(path.to_owned(), error);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let mode = file.metadata().map_err(unreadable)?.mode();
        if mode & OTHERS != 0 {
            let mode = mode & 0o777;
            file.set_permissions(Permissions::from_mode(FILE_MODE))
                .map_err(|error| StoreError::NotOurs(path.to_owned(), error))?;
            warn!(
                "{} was open to others (mode {mode:03o}) and is not any more: the key in it may be known",
                path.display()
            );
        }
        let mut bytes = Vec::new();
        file.take(CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > CERTIFICATE_FILE_BYTES_MAX {
            return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(Some(bytes))
    }

    /// Replaces a file of this folder; it is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written, and is unchanged.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let next = self.folder.join(NEXT);
        let written = self.write_next(&next, bytes).and_then(|()| fs::rename(&next, path));
        let written = written.and_then(|()| File::open(&self.folder)?.sync_all());
        written.map_err(|error| StoreError::Unwritable(path.to_owned(), error))
    }

    fn write_next(&self, next: &Path, bytes: &[u8]) -> io::Result<()> {
        match fs::remove_file(next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(next)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn close_folder(&self) -> Result<(), StoreError> {
        let folder = &self.folder;
        let unreadable = |error| StoreError::Unreadable(folder.clone(), error);
        let mode = fs::metadata(folder).map_err(unreadable)?.mode() & 0o777;
        if mode & OTHERS == 0 {
            return Ok(());
        }
        // A folder made for this purpose may be closed. Any other, such as /tmp or /, must stay as
        // it is.
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let is_ours = name.to_str().is_some_and(|name| {
                name == NEXT || name.starts_with(ACCOUNT) || name.starts_with(CERTIFICATE)
            });
            if !is_ours {
                return Err(StoreError::Open(folder.clone(), mode));
            }
        }
        fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
            .map_err(|error| StoreError::NotOurs(folder.clone(), error))
    }
}

/// The URL of an authority without its scheme, as a file name.
fn file_name(directory_url: &str) -> String {
    let name = directory_url.strip_prefix("https://").unwrap_or(directory_url);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    name.chars().take(NAME_BYTES_MAX).map(|letter| if is_plain(letter) { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests;
