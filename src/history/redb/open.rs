//! Opening the file: what it may be, and the sentence for each thing that it may not.
//!
//! Nothing is written before it is known that the file is ours, or empty.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableHandle as _,
};

use super::file::SharedFile;
use super::index::IDS;
use super::record::UPDATES;
use super::{FORMAT, HASH_KEY, HistorySync, META, RedbHistory};
use crate::history::Retention;
use crate::limits::STORE_CACHE_BYTES;

/// How every file of the store begins.
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Updates may be private: the file is its owner's.
const MODE: u32 = 0o600;

/// Why a history file cannot be used; it is as it was.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    Missing,
    NotAFile,
    Denied,
    Held,
    Foreign,
    Corrupt(String),
    Format(u64),
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.cause {
            Cause::Missing => write!(f, "there is no history {path}"),
            Cause::NotAFile => write!(f, "the history {path} is a directory or a device; expected a file"),
            Cause::Denied => write!(f, "no permission to read and write the history {path}"),
            Cause::Held => {
                write!(f, "the history {path} is held by another process: a hub that runs, or a command")
            }
            Cause::Foreign => write!(f, "{path} is not a history of petasos; it was left as it is"),
            Cause::Corrupt(what) => write!(f, "the history {path} is corrupt: {what}"),
            Cause::Format(found) => {
                write!(f, "the history {path} has format version {found}, this hub reads version {FORMAT}")
            }
            Cause::Io(error) => write!(f, "cannot open the history {path}: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            _ => Self::Io(error),
        }
    }
}

impl From<DatabaseError> for Cause {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(StorageError::Io(error)) => Self::Io(error),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// What a file holds.
enum Content {
    /// Nothing yet.
    Empty,
    /// A history of this format.
    Ours,
}

impl RedbHistory {
    /// Opens the history in this file, or begins one in a file that is new or empty; the file stays locked until the
    /// history and its readers are gone.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be used, and was not changed.
    pub fn open(path: &Path, retention: Retention, sync: HistorySync) -> Result<Self, OpenError> {
        let fail = |cause| OpenError { path: path.to_owned(), cause };
        make_if_missing(path).map_err(fail)?;
        let file = Arc::new(lock(path).map_err(fail)?);
        let storage = SharedFile { file, syncs: sync != HistorySync::Never };
        let database = open_store(&storage).map_err(fail)?;
        let open = Box::new(move || builder().create_with_backend(storage.clone()));
        Self::on(database, open, retention, sync).map_err(|error| fail(Cause::Corrupt(error.to_string())))
    }

    /// A history on storage of one's own, for instance one that fails on purpose; errors call it `name`. It holds nothing
    /// yet, or a history of this format. `storage` is called again after a failure, and has to answer the same bytes.
    ///
    /// # Errors
    /// [`OpenError`]: the storage failed, or holds something else.
    pub fn on_storage<S: StorageBackend>(
        name: &str,
        storage: impl Fn() -> S + Send + Sync + 'static,
        retention: Retention,
        sync: HistorySync,
    ) -> Result<Self, OpenError> {
        let fail = |cause| OpenError { path: name.into(), cause };
        let open = move || builder().create_with_backend(storage());
        let database = open().map_err(|error| fail(error.into()))?;
        guarded(|| begin_if_empty(&database)).flatten().map_err(fail)?;
        Self::on(database, Box::new(open), retention, sync)
            .map_err(|error| fail(Cause::Corrupt(error.to_string())))
    }
}

/// Opens a history that is there, for whoever does not run a hub.
pub(super) fn open_existing(path: &Path) -> Result<(Database, SharedFile), OpenError> {
    let fail = |cause| OpenError { path: path.to_owned(), cause };
    let open = || {
        let metadata = path.metadata().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Cause::Missing,
            _ => error.into(),
        })?;
        if metadata.is_file() && metadata.len() == 0 {
            return Err(Cause::Foreign);
        }
        let storage = SharedFile { file: Arc::new(lock(path)?), syncs: true };
        Ok((open_store(&storage)?, storage))
    };
    open().map_err(fail)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(STORE_CACHE_BYTES);
    builder
}

/// Makes an empty history where there is no file: beside its place, and moved there once it is whole. So a crash never
/// leaves half a file under the name; what it leaves beside is begun afresh.
fn make_if_missing(path: &Path) -> Result<(), Cause> {
    if exists(path)? {
        return Ok(());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let file = Arc::new(lock(beside)?);
    // Another hub may have been faster. From here on none can: it would need the lock.
    if exists(path)? {
        let _ = std::fs::remove_file(beside);
        return Ok(());
    }
    file.set_len(0)?;
    drop(open_store(&SharedFile { file: Arc::clone(&file), syncs: true })?);
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    // The name has to be on the disk too.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all().map_err(Cause::from)
}

/// Whether there is anything of this name, a dangling link included.
fn exists(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock(path: &Path) -> Result<File, Cause> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Cause::NotAFile);
    }
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Cause::Held),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn open_store(storage: &SharedFile) -> Result<Database, Cause> {
    let is_new = storage.file.metadata()?.len() == 0;
    if !is_new {
        let mut magic = [0; MAGIC.len()];
        if storage.file.read_exact_at(&mut magic, 0).is_err() || magic != MAGIC {
            return Err(Cause::Foreign);
        }
        // Looked at without writing. After a crash the store has to be repaired first, which changes no content.
        match guarded(|| builder().open_read_only_with_backend(storage.clone()))? {
            Ok(database) => {
                guarded(|| content(&database))??;
            }
            Err(DatabaseError::RepairAborted) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let database = guarded(|| builder().create_with_backend(storage.clone()))??;
    guarded(|| begin_if_empty(&database))??;
    Ok(database)
}

/// redb trusts a file that it opens, and may panic on one that was altered.
pub(super) fn guarded<T>(open: impl FnOnce() -> T) -> Result<T, Cause> {
    catch_unwind(AssertUnwindSafe(open))
        .map_err(|_| Cause::Corrupt("it was altered, or the disk has lost a part of it".to_owned()))
}

fn content(database: &impl ReadableDatabase) -> Result<Content, Cause> {
    let corrupt = |error: redb::Error| Cause::Corrupt(error.to_string());
    let transaction = database.begin_read().map_err(|error| corrupt(error.into()))?;
    let mut tables = transaction.list_tables().map_err(|error| corrupt(error.into()))?.peekable();
    if tables.peek().is_none() {
        return Ok(Content::Empty);
    }
    if !tables.any(|table| table.name() == "meta") {
        return Err(Cause::Foreign);
    }
    let meta = transaction.open_table(META).map_err(|_| Cause::Foreign)?;
    match meta.get("format").map_err(|error| corrupt(error.into()))?.map(|value| value.value()) {
        Some(FORMAT) => Ok(Content::Ours),
        Some(found) => Err(Cause::Format(found)),
        None => Err(Cause::Foreign),
    }
}

/// Begins a history in a store that holds nothing.
fn begin_if_empty(database: &Database) -> Result<(), Cause> {
    match content(database)? {
        Content::Ours => Ok(()),
        Content::Empty => begin(database).map_err(|error| Cause::Corrupt(error.to_string())),
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
    transaction.commit()?;
    Ok(())
}
