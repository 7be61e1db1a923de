//! Opens the file, and reports why a file cannot be used.
//!
//! Nothing is written before the file is known to be a history of the hub, or empty.

use std::error::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableHandle as _,
};

use super::file::{SharedFile, Unsynced};
use super::format::{FORMAT, HASH_KEY, META};
use super::guard::{Panicked, guarded};
use super::index::{IDS, RECENT};
use super::record::UPDATES;
use super::store::check;
use super::writer::{HistorySync, RedbHistory};
use crate::history::{HistoryError, Retention};
use crate::limits::STORE_CACHE_BYTES;

/// The first bytes of every redb file.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Updates may be private, so only the owner can access the file.
const MODE: u32 = 0o600;

/// Why a history file cannot be used; the file is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the history {}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    #[source]
    cause: OpenCause,
}

impl OpenError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn cause(&self) -> &OpenCause {
        &self.cause
    }
}

/// What is wrong with a history file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenCause {
    /// It does not exist; only a command reports this.
    #[error("there is no such file")]
    Missing,
    /// It has no byte; only a command reports this.
    #[error("it is empty: no hub has begun a history there")]
    Empty,
    /// It is something else than a file.
    #[error("it is a directory or a device; expected a file")]
    NotAFile,
    /// This user may not use it.
    #[error("no permission to read and write it")]
    Denied(#[source] io::Error),
    /// Another process has locked it.
    #[error("it is held by another process: a hub that runs, or a command")]
    Held,
    /// It belongs to another program.
    #[error("it is not a history of petasos; it was left as it is")]
    Foreign,
    /// It ends too early.
    #[error("it is corrupt: a part of it is missing")]
    Truncated(#[source] io::Error),
    /// The store panicked on what it read.
    #[error("it is corrupt: it was altered, or the disk has lost a part of it")]
    Altered(#[source] Box<dyn Error + Send + Sync>),
    /// The store refuses what it read.
    #[error("it is corrupt")]
    Corrupt(#[source] Box<dyn Error + Send + Sync>),
    /// It was written by another version of the hub.
    #[error("it has format version {found}, this hub reads version {FORMAT}")]
    Format {
        /// The version of the file.
        found: u64,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for OpenCause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied(error),
            io::ErrorKind::IsADirectory => Self::NotAFile,
            _ => Self::Io(error),
        }
    }
}

impl OpenCause {
    /// The cause for an I/O error of the store. The store reads where its file tells it to: an
    /// offset that cannot be is a corrupt file.
    fn of_storage(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated(error),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Corrupt(error.into()),
            _ => Self::Io(error),
        }
    }

    /// The cause for any error of redb.
    fn of_store(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(error) => Self::of_storage(error),
            error => Self::Corrupt(error.into()),
        }
    }

    /// The cause for an error of the history on the store.
    fn of_history(error: HistoryError) -> Self {
        match error {
            HistoryError::Io(error) => Self::of_storage(error),
            error => Self::Corrupt(error.into()),
        }
    }
}

impl From<Panicked> for OpenCause {
    fn from(panicked: Panicked) -> Self {
        Self::Altered(panicked.into())
    }
}

/// The content of a file.
enum Content {
    /// Nothing yet.
    Empty,
    /// A history of this format.
    Ours,
}

impl RedbHistory {
    /// Opens the history in this file, or creates one if the file is missing or empty. The file
    /// stays locked until the history and its readers are dropped.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be used, and was not changed.
    pub fn open(path: &Path, retention: Retention, sync: HistorySync) -> Result<Self, OpenError> {
        let fail = |cause| OpenError { path: path.to_owned(), cause };
        make_if_missing(path).map_err(fail)?;
        let file = Arc::new(lock(path).map_err(fail)?);
        let storage = SharedFile { file, syncs: sync != HistorySync::Never };
        look(&storage).map_err(fail)?;
        Self::on_backend(move || storage.clone(), retention, sync).map_err(fail)
    }

    /// Opens a history on custom storage, for instance storage that fails on purpose; errors call
    /// it `name`. The storage must be empty or hold a history of this format. `storage` is called
    /// again after a failure, and must return the same bytes.
    ///
    /// # Errors
    /// [`OpenError`]: the storage failed, or holds something else.
    #[cfg(any(test, feature = "internals"))]
    pub fn on_storage<S: StorageBackend>(
        name: &str,
        storage: impl Fn() -> S + Send + Sync + 'static,
        retention: Retention,
        sync: HistorySync,
    ) -> Result<Self, OpenError> {
        let opened = Self::on_backend(storage, retention, sync);
        opened.map_err(|cause| OpenError { path: name.into(), cause })
    }

    fn on_backend<S: StorageBackend>(
        storage: impl Fn() -> S + Send + Sync + 'static,
        retention: Retention,
        sync: HistorySync,
    ) -> Result<Self, OpenCause> {
        let unsynced = Unsynced::default();
        let open = move || {
            let storage = unsynced.on(storage()).map_err(StorageError::Io)?;
            builder().create_with_backend(storage)
        };
        let database = guarded(&open)?.map_err(OpenCause::of_store)?;
        guarded(|| begin_if_empty(&database))??;
        guarded(|| Self::on(database, Box::new(open), retention, sync))?.map_err(OpenCause::of_history)
    }
}

/// Opens an existing history, for use without a hub.
pub(super) fn open_existing(path: &Path) -> Result<(Database, SharedFile), OpenError> {
    let fail = |cause| OpenError { path: path.to_owned(), cause };
    let open = || {
        let metadata = path.metadata().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenCause::Missing,
            _ => error.into(),
        })?;
        if metadata.is_file() && metadata.len() == 0 {
            return Err(OpenCause::Empty);
        }
        let storage = SharedFile { file: Arc::new(lock(path)?), syncs: true };
        look(&storage)?;
        let database =
            guarded(|| builder().create_with_backend(storage.clone()))?.map_err(OpenCause::of_store)?;
        guarded(|| content(&database))??;
        Ok((database, storage))
    };
    open().map_err(fail)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(STORE_CACHE_BYTES);
    builder
}

/// Creates an empty history if there is no file: first under a unique name in the same directory,
/// then moved into place once it is complete. So a crash never leaves a partial file in its place.
fn make_if_missing(path: &Path) -> Result<(), OpenCause> {
    if exists(path)? {
        return Ok(());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
    let beside = Path::new(&beside);
    let made = make(beside).and_then(|()| move_if_missing(beside, path));
    // A linked file has its new name too; a failed one is useless.
    let _ = std::fs::remove_file(beside);
    made
}

fn make(path: &Path) -> Result<(), OpenCause> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path)?;
    let storage = SharedFile { file: Arc::new(file), syncs: true };
    let database =
        guarded(|| builder().create_with_backend(storage.clone()))?.map_err(OpenCause::of_store)?;
    begin_if_empty(&database)?;
    drop(database);
    storage.file.sync_all().map_err(OpenCause::from)
}

/// Gives a file its name, unless another process was faster: the existing history is then used.
fn move_if_missing(from: &Path, to: &Path) -> Result<(), OpenCause> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // A file system without hard links.
        Err(_) => std::fs::rename(from, to)?,
        Ok(()) => {}
    }
    // The new name must reach the disk, too.
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all().map_err(OpenCause::from)
}

/// Whether this name exists, even as a dangling link.
fn exists(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock(path: &Path) -> Result<File, OpenCause> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(OpenCause::NotAFile);
    }
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenCause::Held),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Checks a file without writing: that it is a history, and that the parts read at start are
/// readable. After a crash the store must be repaired before it can be checked; the repair changes
/// no content.
fn look(storage: &SharedFile) -> Result<(), OpenCause> {
    if storage.file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut magic = [0; MAGIC.len()];
    if storage.file.read_exact_at(&mut magic, 0).is_err() || magic != MAGIC {
        return Err(OpenCause::Foreign);
    }
    match guarded(|| builder().open_read_only_with_backend(storage.clone()))? {
        Ok(database) => guarded(|| match content(&database)? {
            Content::Empty => Ok(()),
            Content::Ours => check(&database).map_err(OpenCause::of_history),
        })?,
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(OpenCause::of_store(error)),
    }
}

fn content(database: &impl ReadableDatabase) -> Result<Content, OpenCause> {
    let transaction = database.begin_read().map_err(OpenCause::of_store)?;
    let mut tables = transaction.list_tables().map_err(OpenCause::of_store)?.peekable();
    if tables.peek().is_none() {
        return Ok(Content::Empty);
    }
    if !tables.any(|table| table.name() == "meta") {
        return Err(OpenCause::Foreign);
    }
    let meta = transaction.open_table(META).map_err(|_| OpenCause::Foreign)?;
    match meta.get("format").map_err(OpenCause::of_store)?.map(|value| value.value()) {
        Some(FORMAT) => Ok(Content::Ours),
        Some(found) => Err(OpenCause::Format { found }),
        None => Err(OpenCause::Foreign),
    }
}

/// Creates a history in an empty store.
fn begin_if_empty(database: &Database) -> Result<(), OpenCause> {
    match content(database)? {
        Content::Ours => Ok(()),
        Content::Empty => begin(database).map_err(OpenCause::of_store),
    }
}

fn begin(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", FORMAT)?;
    for (name, half) in HASH_KEY.into_iter().zip([high, low]) {
        meta.insert(name, half)?;
    }
    drop(meta);
    transaction.open_table(UPDATES)?;
    transaction.open_table(IDS)?;
    transaction.open_table(RECENT)?;
    transaction.commit()?;
    Ok(())
}
