//! Opens the file, and reports why a file cannot be used.
//!
//! Nothing is written before the file is known to be a history of the hub, or empty; that its
//! numbers and its end verify; and that it holds every update that was acknowledged.

use std::error::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend, StorageError, TableHandle as _};

use super::convert::{self, OLD_FORMAT, convert};
use super::end_note::{Acknowledged, EndNote, acknowledged};
use super::error::failed;
use super::file::{SharedFile, Tentative, Unsynced};
use super::format::{FORMAT, VERSIONS};
use super::guard::{Panicked, close, guarded};
use super::index::{IDS, IdHasher, NEW_IDS};
use super::meta::{META, Meta};
use super::record::{EVENTS, RECORDS};
use super::store::check;
use super::sums::ID_SUMS;
use super::write::transact;
use super::writer::{HistorySync, LostUpdates, RedbHistory};
use crate::history::{HistoryError, Position, Retention};
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
    /// It ends before the newest acknowledged update: its store had to go back to an older commit.
    #[error(
        "updates {} to {} are lost, although they were acknowledged: the newest commit is damaged. Restore a \
         backup, or start once with HISTORY_ACCEPT_LOSS=1 to go on without them",
        .0.first.get(), .0.last.get()
    )]
    Lost(LostUpdates),
    /// It cannot be seen whether it ends with the newest acknowledged update.
    #[error(
        "its note of the newest acknowledged update is damaged, so updates may be lost. Restore a backup, or \
         start once with HISTORY_ACCEPT_LOSS=1 to go on with what is there"
    )]
    UnknownEnd,
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
    /// A history of the older format, or one whose conversion was interrupted.
    Older,
}

impl RedbHistory {
    /// Opens the history in this file, or creates one if the file is missing or empty. The file
    /// stays locked until the history and its readers are dropped. A file of the older format is
    /// converted.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be used, or acknowledged updates are missing. It was not
    /// changed.
    pub fn open(path: &Path, retention: Retention, sync: HistorySync) -> Result<Self, OpenError> {
        Self::open_file(path, retention, sync, false)
    }

    /// The same, but a history that has lost acknowledged updates is opened too
    /// (`HISTORY_ACCEPT_LOSS`). [`Self::lost`] names them.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be used, and was not changed.
    pub fn open_accepting_loss(
        path: &Path,
        retention: Retention,
        sync: HistorySync,
    ) -> Result<Self, OpenError> {
        Self::open_file(path, retention, sync, true)
    }

    fn open_file(
        path: &Path,
        retention: Retention,
        sync: HistorySync,
        accepts_loss: bool,
    ) -> Result<Self, OpenError> {
        let fail = |cause| OpenError { path: path.to_owned(), cause };
        make_if_missing(path).map_err(fail)?;
        let file = Arc::new(lock(path).map_err(fail)?);
        let storage = SharedFile { file, syncs: sync != HistorySync::Never };
        check_magic(&storage).map_err(fail)?;
        Self::on_backend(move || storage.clone(), retention, sync, accepts_loss).map_err(fail)
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
        let opened = Self::on_backend(storage, retention, sync, false);
        opened.map_err(|cause| OpenError { path: name.into(), cause })
    }

    fn on_backend<S: StorageBackend>(
        storage: impl Fn() -> S + Send + Sync + 'static,
        retention: Retention,
        sync: HistorySync,
        accepts_loss: bool,
    ) -> Result<Self, OpenCause> {
        let unsynced = Unsynced::default();
        let tentative = Tentative::new(unsynced.on(storage()).map_err(OpenCause::of_storage)?);
        let beside = storage();
        let (database, content) = look(&tentative)?;
        let (database, (lost, meta)) = closed_on_error(database, |database| {
            let lost = match content {
                Content::Empty => None,
                Content::Older | Content::Ours => lost_updates(database, &beside, accepts_loss)?,
            };
            Ok((lost, accept(database, &content, &tentative)?))
        })?;
        let note = EndNote::of(Box::new(beside), meta.newest)?;
        let open = move || {
            let storage = unsynced.on(storage()).map_err(StorageError::Io)?;
            builder().create_with_backend(storage)
        };
        let mut history = guarded(|| Self::on(database, Box::new(open), retention, sync, note))?
            .map_err(OpenCause::of_history)?;
        history.lost = lost;
        // All that a start reads is sound.
        tentative.keep()?;
        history.note.begin()?;
        Ok(history)
    }
}

/// A history that is open for use without a hub.
pub(super) struct OpenFile {
    database: Option<Database>,
    pub(super) storage: SharedFile,
    /// Changes are held back until the user of the file wants them.
    pub(super) tentative: Tentative<SharedFile>,
    /// Why a start would refuse it although its content can be read.
    pub(super) end: Option<OpenCause>,
}

impl OpenFile {
    /// The store; it is there until the file is dropped.
    pub(super) fn database(&mut self) -> Result<&mut Database, HistoryError> {
        self.database.as_mut().ok_or(HistoryError::Closed)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            close(database);
        }
    }
}

/// Opens an existing history, for use without a hub. The file is not changed, unless it has the
/// older format.
pub(super) fn open_existing(path: &Path) -> Result<OpenFile, OpenError> {
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
        check_magic(&storage)?;
        let tentative = Tentative::new(storage.clone());
        let (database, content) = look(&tentative)?;
        let (database, end) = closed_on_error(database, |database| {
            if !matches!(content, Content::Ours) {
                accept(database, &content, &tentative)?;
            }
            Ok(lost_updates(database, &storage, false).err())
        })?;
        Ok(OpenFile { database: Some(database), storage, tentative, end })
    };
    open().map_err(fail)
}

/// Opens the store without a change of its storage. After a crash it has to be repaired first,
/// which changes no content; the changes are held back.
fn look<S: StorageBackend>(tentative: &Tentative<S>) -> Result<(Database, Content), OpenCause> {
    let database =
        guarded(|| builder().create_with_backend(tentative.clone()))?.map_err(OpenCause::of_store)?;
    closed_on_error(database, |database| content(database))
}

/// Works on a store. On an error, or a panic of redb, it is closed: that may panic as well.
fn closed_on_error<T>(
    mut database: Database,
    work: impl FnOnce(&mut Database) -> Result<T, OpenCause>,
) -> Result<(Database, T), OpenCause> {
    match guarded(|| work(&mut database)).map_err(OpenCause::from).flatten() {
        Ok(done) => Ok((database, done)),
        Err(cause) => {
            close(database);
            Err(cause)
        }
    }
}

/// Compares the end of the store with the newest position that was acknowledged.
fn lost_updates(
    database: &Database,
    beside: &impl StorageBackend,
    accepts_loss: bool,
) -> Result<Option<LostUpdates>, OpenCause> {
    let newest = convert::newest(database).map_err(OpenCause::of_history)?;
    match acknowledged(beside)? {
        Acknowledged::Position(position) if position <= newest => Ok(None),
        Acknowledged::Altered if accepts_loss => Ok(None),
        Acknowledged::Altered => Err(OpenCause::UnknownEnd),
        Acknowledged::Position(position) => {
            let lost = LostUpdates { first: Position::new(newest + 1), last: Position::new(position) };
            if accepts_loss { Ok(Some(lost)) } else { Err(OpenCause::Lost(lost)) }
        }
    }
}

/// Brings a store to this format and verifies it; returns its numbers. The changes that were held
/// back are made if it is new or older; else they are held back still.
fn accept<S: StorageBackend>(
    database: &mut Database,
    content: &Content,
    tentative: &Tentative<S>,
) -> Result<Meta, OpenCause> {
    match content {
        Content::Empty => {
            tentative.keep()?;
            begin(database).map_err(OpenCause::of_history)?;
        }
        Content::Ours => {}
        Content::Older => {
            // Its records have no checksums: those of redb's pages are verified, all of them.
            let is_sound = database.check_integrity().map_err(OpenCause::of_store)?;
            if !is_sound {
                return Err(OpenCause::Corrupt("the checksum of a page differs".into()));
            }
            tentative.keep()?;
            convert(database).map_err(OpenCause::of_history)?;
        }
    }
    check(database).map_err(OpenCause::of_history)
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
    begin(&database).map_err(OpenCause::of_history)?;
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

/// Checks that a file is one of redb, or empty.
fn check_magic(storage: &SharedFile) -> Result<(), OpenCause> {
    if storage.file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut magic = [0; MAGIC.len()];
    if storage.file.read_exact_at(&mut magic, 0).is_err() || magic != MAGIC {
        return Err(OpenCause::Foreign);
    }
    Ok(())
}

fn content(database: &impl ReadableDatabase) -> Result<Content, OpenCause> {
    let transaction = database.begin_read().map_err(OpenCause::of_store)?;
    let tables: Vec<_> = transaction.list_tables().map_err(OpenCause::of_store)?.collect();
    if tables.is_empty() {
        return Ok(Content::Empty);
    }
    if !tables.iter().any(|table| table.name() == VERSIONS.name()) {
        return Err(OpenCause::Foreign);
    }
    let versions = transaction.open_table(VERSIONS).map_err(|_| OpenCause::Foreign)?;
    match versions.get("format").map_err(OpenCause::of_store)?.map(|value| value.value()) {
        Some(FORMAT) if tables.iter().any(|table| table.name() == convert::UPDATES.name()) => {
            Ok(Content::Older)
        }
        Some(FORMAT) => Ok(Content::Ours),
        Some(OLD_FORMAT) => Ok(Content::Older),
        Some(found) => Err(OpenCause::Format { found }),
        None => Err(OpenCause::Foreign),
    }
}

/// Creates a history in an empty store.
fn begin(database: &Database) -> Result<(), HistoryError> {
    transact(database, Durability::Immediate, |transaction| {
        let mut versions = transaction.open_table(VERSIONS).map_err(failed)?;
        versions.insert("format", FORMAT).map_err(failed)?;
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let mut meta = transaction.open_table(META).map_err(failed)?;
        Meta::new(IdHasher([high, low])).write(&mut meta)?;
        transaction.open_table(RECORDS).map_err(failed)?;
        transaction.open_table(EVENTS).map_err(failed)?;
        transaction.open_table(IDS).map_err(failed)?;
        transaction.open_table(ID_SUMS).map_err(failed)?;
        transaction.open_table(NEW_IDS).map_err(failed)?;
        Ok(())
    })
}
