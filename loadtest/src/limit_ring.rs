//! The sends of the limit server in batches on an io_uring: the least that a server spends which
//! makes one send for each subscriber.
//!
//! Sockets are registered, a batch is one system call, and a complete send leaves no completion.
//! With `MSG_DONTWAIT` everything is done when the call returns; `MSG_WAITALL` makes a short send a
//! failure, which leaves one.

#![expect(unsafe_code, reason = "the kernel reads the bytes of a send through a pointer")]

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use io_uring::{IoUring, opcode, squeue, types};
use rustix::net::SendFlags;

const BATCH: usize = 512;
/// `MSG_WAITALL`, which rustix has for receiving alone.
const WAITALL: u32 = 0x100;
const FLAGS: u32 = SendFlags::DONTWAIT.bits() | SendFlags::NOSIGNAL.bits() | WAITALL;

/// The ring.
pub(crate) struct Ring(IoUring);

impl Ring {
    /// A ring with room for this many registered sockets.
    pub(crate) fn new(sockets: u64) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .build(BATCH as u32)?;
        ring.submitter().register_files_sparse(u32::try_from(sockets).unwrap_or(u32::MAX))?;
        Ok(Self(ring))
    }

    /// Registers the socket of a slot.
    pub(crate) fn register(&self, slot: usize, socket: &OwnedFd) {
        let registered = self.0.submitter().register_files_update(slot as u32, &[socket.as_raw_fd()]);
        assert!(registered.is_ok(), "a slot for each descriptor: {registered:?}");
    }

    /// Forgets the socket of a slot, if there is one: it closes only then.
    pub(crate) fn forget(&self, slot: usize) {
        // An empty slot can be emptied, too.
        let _ = self.0.submitter().register_files_update(slot as u32, &[-1]);
    }

    /// Sends a frame to each subscriber, given by slot and socket. Returns those that have not got
    /// all of it, in order, and how much they have got.
    pub(crate) fn send_all(&mut self, subscribers: &[(usize, OwnedFd)], frame: &[u8]) -> Vec<(usize, usize)> {
        let mut rest = Vec::new();
        for (batch, first) in subscribers.chunks(BATCH).zip((0..).step_by(BATCH)) {
            for (number, (slot, _)) in batch.iter().enumerate() {
                let entry = opcode::Send::new(types::Fixed(*slot as u32), frame.as_ptr(), frame.len() as u32)
                    .flags(FLAGS as i32)
                    .build()
                    .flags(squeue::Flags::SKIP_SUCCESS)
                    .user_data((first + number) as u64);
                // SAFETY: the frame is borrowed until this function returns, and all entries are
                // submitted, and thus done, before it does.
                let pushed = unsafe { self.0.submission().push(&entry) };
                assert!(pushed.is_ok(), "as many entries as a batch has sends");
            }
            while !self.0.submission().is_empty() {
                let submitted = self.0.submit();
                assert!(submitted.is_ok(), "a ring whose entries need not wait: {submitted:?}");
            }
            rest.extend(self.0.completion().map(|entry| {
                let sent = usize::try_from(entry.result()).unwrap_or(0);
                (entry.user_data() as usize, sent)
            }));
        }
        rest.sort_unstable();
        rest
    }
}
