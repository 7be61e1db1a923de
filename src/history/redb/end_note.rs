//! The newest acknowledged position, in the file but outside of the store.
//!
//! redb goes back to the commit before when the newest one does not verify, and cannot know
//! whether that was acknowledged. So each acknowledged commit is followed by a write of its newest
//! position, and a start compares. The place is the first page, of which redb uses 320 bytes.
//!
//! Invariants: the position was acknowledged before it is written, so it is never too high; it
//! waits for no disk: the next commit takes it there, or [`EndNote::maintain`]. A crash of the hub
//! keeps it; a power cut may keep the one before. There are two slots, in sectors of their own, so
//! a torn write leaves one.

use std::io;

use redb::StorageBackend;

/// The places of the two slots.
const SLOTS: [u64; 2] = [1_024, 2_048];
/// The end of the page that has the slots.
const PAGE_END: u64 = 4_096;
/// A slot: the position, and its checksum.
const SLOT_BYTES: usize = 12;

/// What a file says about its newest acknowledged position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// At least this position.
    Position(u64),
    /// Both slots are unreadable.
    Altered,
}

/// Reads the newest acknowledged position; 0 for a file that has none.
pub(super) fn acknowledged(storage: &(impl StorageBackend + ?Sized)) -> io::Result<Acknowledged> {
    if storage.len()? < PAGE_END {
        return Ok(Acknowledged::Position(0));
    }
    let mut newest = None;
    for place in SLOTS {
        let mut slot = [0; SLOT_BYTES];
        storage.read(place, &mut slot)?;
        newest = newest.max(position_in(slot));
    }
    Ok(newest.map_or(Acknowledged::Altered, Acknowledged::Position))
}

/// The position of a slot that was never written is 0.
fn position_in(slot: [u8; SLOT_BYTES]) -> Option<u64> {
    let mut number = [0; 8];
    number.copy_from_slice(&slot[..8]);
    let position = u64::from_le_bytes(number);
    (slot == [0; SLOT_BYTES] || slot == slot_of(position)).then_some(position)
}

fn slot_of(position: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&position.to_le_bytes());
    slot[8..].copy_from_slice(&crc32fast::hash(&position.to_le_bytes()).to_le_bytes());
    slot
}

/// Writes the newest acknowledged position.
#[derive(Debug)]
pub(super) struct EndNote {
    storage: Box<dyn StorageBackend>,
    /// The newest position that was acknowledged.
    newest: u64,
    /// The file had it when it was opened.
    is_right: bool,
    /// The newest that was written, and the newest that is on the disk.
    written: u64,
    synced: u64,
    /// [`Self::newest`] at the last call of [`Self::maintain`].
    seen: u64,
    /// The slot for the next write.
    slot: usize,
}

impl EndNote {
    /// The note of a file whose newest update is `newest`. Nothing is written yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(storage: Box<dyn StorageBackend>, newest: u64) -> io::Result<Self> {
        let is_right = acknowledged(&*storage)? == Acknowledged::Position(newest);
        Ok(Self { storage, newest, is_right, written: newest, synced: newest, seen: newest, slot: 0 })
    }

    /// Gives both slots this position if they have another, even a later one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if !self.is_right {
            self.write()?;
            self.write()?;
            self.storage.sync_data()?;
        }
        Ok(())
    }

    /// Every update up to this one is acknowledged. A failed write is repeated later, because the
    /// updates are stored.
    pub(super) fn acknowledge(&mut self, newest: u64) {
        if newest > self.newest {
            self.newest = newest;
            let _ = self.write();
        }
    }

    /// Whether [`Self::maintain`] has work.
    pub(super) fn needs_upkeep(&self) -> bool {
        self.synced < self.newest
    }

    /// Takes the position to the disk if no commit has followed since the last call.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn maintain(&mut self) -> io::Result<()> {
        if !self.needs_upkeep() {
            return Ok(());
        }
        if self.written < self.newest {
            self.write()?;
        }
        if self.seen == self.newest {
            self.storage.sync_data()?;
            self.synced = self.written;
        }
        self.seen = self.newest;
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.storage.write(SLOTS[self.slot], &slot_of(self.newest))?;
        self.written = self.newest;
        self.slot = 1 - self.slot;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn storage() -> InMemoryBackend {
        let storage = InMemoryBackend::new();
        storage.set_len(PAGE_END).expect("room");
        storage
    }

    #[test]
    fn a_torn_slot_leaves_the_other_and_two_torn_slots_are_reported() {
        let storage = storage();
        assert_eq!(acknowledged(&storage).expect("readable"), Acknowledged::Position(0));
        storage.write(SLOTS[0], &slot_of(7)).expect("room");
        storage.write(SLOTS[1], &slot_of(8)).expect("room");
        assert_eq!(acknowledged(&storage).expect("readable"), Acknowledged::Position(8));
        storage.write(SLOTS[1] + 3, &[1]).expect("room");
        assert_eq!(acknowledged(&storage).expect("readable"), Acknowledged::Position(7));
        storage.write(SLOTS[0] + 9, &[1]).expect("room");
        assert_eq!(acknowledged(&storage).expect("readable"), Acknowledged::Altered);
    }

    #[test]
    fn the_slots_take_turns_and_a_pause_takes_the_position_to_the_disk() {
        let mut note = EndNote::of(Box::new(storage()), 3).expect("readable");
        note.begin().expect("room");
        assert!(!note.needs_upkeep());
        note.acknowledge(4);
        note.acknowledge(5);
        assert_eq!(acknowledged(&*note.storage).expect("readable"), Acknowledged::Position(5));
        assert_eq!(note.slot, 0, "both were written");
        note.maintain().expect("room");
        assert!(note.needs_upkeep(), "a commit may follow");
        note.maintain().expect("room");
        assert!(!note.needs_upkeep());
    }
}
