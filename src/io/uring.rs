//! The ring of a shard: many sends in one system call. Sockets are watched by an epoll set.
//!
//! A send asks the kernel not to wait (`MSG_DONTWAIT`), so everything is done when the call that
//! submits it returns: the kernel has copied what it takes. `MSG_WAITALL` makes a short send a
//! failure, and `IOSQE_CQE_SKIP_SUCCESS` leaves no completion of one that succeeds; so there are
//! completions only for sockets that are full or gone. Two sends to one socket in one batch would
//! not be safe: the second can succeed after the first was short.

#![expect(unsafe_code, reason = "the kernel reads the bytes of a send through a pointer")]

use std::io;
use std::os::fd::AsRawFd as _;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::driver::{Driver, Event, RingCounts, Send};
use super::epoll::Epoll;
use super::socket::Socket;
use super::waker::ShardWaker;
use crate::limits::FLUSH_BATCH_RING_MAX;
use crate::sse::wire::Sent;

/// `MSG_WAITALL`, which rustix has for receiving alone.
const WAITALL: u32 = 0x100;
const FLAGS: u32 = SendFlags::DONTWAIT.bits() | SendFlags::NOSIGNAL.bits() | WAITALL;
/// How often a call that the kernel could not finish is repeated before the ring is given up.
const SUBMITS_MAX: usize = 1_000;

/// An io_uring for sends, beside an epoll set.
pub(crate) struct Uring {
    set: Epoll,
    /// `None` once the kernel has failed a call for good.
    ring: Option<IoUring>,
    counts: RingCounts,
}

impl Uring {
    /// A ring for the sockets that this set watches.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn new(set: Epoll) -> io::Result<Self> {
        // DEFER_TASKRUN came with Linux 6.1; without it there would be interrupts of the shard.
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .build(FLUSH_BATCH_RING_MAX as u32)?;
        Ok(Self { set, ring: Some(ring), counts: RingCounts::default() })
    }
}

impl Driver for Uring {
    fn add_waker(&mut self, waker: &ShardWaker, key: u64) -> io::Result<()> {
        self.set.add_waker(waker, key)
    }

    fn add(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        self.set.add(socket, key)
    }

    fn add_shared(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        self.set.add_shared(socket, key)
    }

    fn await_writable(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        self.set.await_writable(socket, key)
    }

    fn wait(&mut self, events: &mut Vec<Event>, wait_ms: Option<u64>) {
        self.set.wait(events, wait_ms);
    }

    fn sends_at_once(&self) -> usize {
        self.ring.as_ref().map_or(0, |_| FLUSH_BATCH_RING_MAX)
    }

    fn send_all(&mut self, sends: &[Send<'_>], results: &mut Vec<Sent>) {
        for batch in sends.chunks(FLUSH_BATCH_RING_MAX) {
            let begin = results.len();
            let made = match &mut self.ring {
                Some(ring) => submit(ring, batch, results, &mut self.counts),
                None => 0,
            };
            if made < batch.len() {
                // What the kernel has not taken is in the ring still, and points to bytes that are
                // borrowed for this call alone: the ring has to go.
                self.ring = None;
            }
            results.truncate(begin + made);
            results.extend(batch[made..].iter().map(|send| send.socket.send(send.bytes)));
        }
    }

    fn ring_counts(&self) -> RingCounts {
        self.counts
    }
}

/// Has the kernel make these sends, and appends their results; returns how many it has made.
fn submit(ring: &mut IoUring, sends: &[Send<'_>], results: &mut Vec<Sent>, counts: &mut RingCounts) -> usize {
    let begin = results.len();
    let mut queue = ring.submission();
    for (number, Send { socket, bytes }) in sends.iter().enumerate() {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // Without a descriptor the kernel says that it is bad: a send that has failed.
        let descriptor = socket.descriptor().map_or(-1, |descriptor| descriptor.as_raw_fd());
        let entry = opcode::Send::new(types::Fd(descriptor), bytes.as_ptr(), length)
            .flags(FLAGS as i32)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(number as u64);
        // SAFETY: the bytes and the socket are borrowed until this function returns. By then the
        // kernel is done with every entry it has taken, since none may wait, and the caller drops a
        // ring with entries that it has not taken.
        if unsafe { queue.push(&entry) }.is_err() {
            // Not reached: there are as many entries as in the largest batch.
            break;
        }
        results.push(Sent::Bytes(length as usize));
    }
    let pushed = queue.len();
    drop(queue);
    let mut made = 0;
    for _ in 0..SUBMITS_MAX {
        counts.calls += 1;
        match ring.submit() {
            Ok(count) => made += count,
            Err(error) if Errno::from_io_error(&error).is_some_and(is_for_now) => {}
            Err(_) => break,
        }
        for entry in ring.completion() {
            let number = entry.user_data() as usize;
            results[begin + number] = result_of(entry.result(), &sends[number]);
        }
        if made >= pushed {
            break;
        }
    }
    counts.sends += made as u64;
    made
}

/// Whether the same call can succeed.
fn is_for_now(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::INTR | Errno::BUSY)
}

/// What a completion says: there is one only of a send that has not taken everything.
fn result_of(result: i32, send: &Send<'_>) -> Sent {
    match usize::try_from(result) {
        Ok(taken) => Sent::Bytes(taken),
        Err(_) => match Errno::from_raw_os_error(-result) {
            Errno::AGAIN => Sent::Full,
            Errno::INTR | Errno::NOBUFS | Errno::NOMEM => send.socket.send(send.bytes),
            _ => Sent::Gone,
        },
    }
}
