//! The epoll set of a shard, and how a glommio task waits for it.
//!
//! glommio has no API to wait for an arbitrary file descriptor. This code relies on internals of
//! version 0.9.0, which is pinned. A `TcpStream` made from any descriptor asks for its readability
//! at once (`POLL_ADD`, in `NonBufferedStream::init`), and the first `poll_read` waits for that.
//! Only then does it read, which fails with `ENOTSOCK`, because an epoll descriptor is not a
//! socket. So "ready, with any result" means that the set has events. A test in this file checks
//! this.

#![expect(unsafe_code, reason = "glommio takes a descriptor only through FromRawFd")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead as _;
use glommio::net::TcpStream;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

const READING: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);

/// Edge-triggered events of every socket of one shard.
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// The wait in progress.
    wait: Option<TcpStream>,
    /// The descriptor for the next wait. It is kept ready, because under a shortage any other code
    /// could take the next free descriptor.
    spare: Option<OwnedFd>,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let spare = Some(epoll.try_clone()?);
        Ok(Self { epoll, wait: None, spare })
    }

    /// Adds a socket for reading and for its end; closing the socket removes it. Data that is
    /// already there counts as an event. Writability does not: a fresh socket is always writable;
    /// see [`Self::await_writable`].
    ///
    /// # Errors
    /// The kernel's error: out of memory, or of `fs.epoll.max_user_watches`.
    pub(crate) fn add(&self, socket: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(key), READING)?;
        Ok(())
    }

    /// Adds a listening socket that other sets contain too: an event wakes only one of the sleeping
    /// sets.
    ///
    /// # Errors
    /// The kernel's error: out of memory, or of `fs.epoll.max_user_watches`.
    pub(crate) fn add_shared(&self, socket: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET | epoll::EventFlags::EXCLUSIVE;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(key), flags)?;
        Ok(())
    }

    /// From now on, reports also when a socket of the set becomes writable, beginning with its
    /// present state.
    ///
    /// # Errors
    /// The kernel's error: out of memory.
    pub(crate) fn await_writable(&self, socket: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let flags = READING | epoll::EventFlags::OUT;
        epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(key), flags)?;
        Ok(())
    }

    /// Takes the descriptor for the next wait, if there is none yet.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn keep_spare(&mut self) -> io::Result<()> {
        if self.spare.is_none() {
            self.spare = Some(self.epoll.try_clone()?);
        }
        Ok(())
    }

    /// Fills `events` with the pending events, blocking the thread for up to `wait_ms`
    /// milliseconds; returns their number.
    pub(crate) fn take(&self, events: &mut Vec<epoll::Event>, wait_ms: u64) -> usize {
        events.clear();
        let wait_ns = (wait_ms % 1_000 * 1_000_000) as i64;
        let wait = Timespec { tv_sec: (wait_ms / 1_000) as i64, tv_nsec: wait_ns };
        // An interrupted or failed call returns no events; the next call returns them.
        epoll::wait(&self.epoll, spare_capacity(events), Some(&wait)).unwrap_or(0)
    }

    /// Ready if [`Poller::take`] would return events.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let wait = match &mut self.wait {
            Some(wait) => wait,
            empty => match self.spare.take().map_or_else(|| self.epoll.try_clone(), Ok) {
                Ok(duplicate) => empty.insert(watch(duplicate)),
                // No descriptor for the wait: poll again at once rather than sleep through events.
                Err(_) => return Poll::Ready(()),
            },
        };
        match Pin::new(wait).poll_read(context, &mut [0]) {
            Poll::Ready(_) => {
                self.wait = None;
                // glommio closes the descriptor of this wait later, so there may be no free one
                // yet.
                let _ = self.keep_spare();
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

fn watch(duplicate: OwnedFd) -> TcpStream {
    debug_assert!(duplicate.as_raw_fd() >= 0);
    // SAFETY: the descriptor is open and has no other owner: it came as owned, and is given away
    // here.
    unsafe { TcpStream::from_raw_fd(duplicate.into_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use glommio::{LocalExecutorBuilder, Placement};
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;
    use crate::io::waker::ShardWaker;

    #[test]
    fn every_wake_of_a_waker_that_is_announced_is_an_event() {
        let set = Poller::new().expect("an epoll set");
        let waker = ShardWaker::new().expect("a waker");
        set.add(waker.as_fd(), 9).expect("added");
        let mut events = Vec::with_capacity(8);
        for _ in 0..3 {
            waker.wake();
            assert_eq!(set.take(&mut events, 1), 0, "nobody sleeps");
            waker.announce();
            waker.wake();
            waker.wake();
            assert_eq!(set.take(&mut events, 1_000), 1);
            assert_eq!({ events[0].data }.u64(), 9);
            waker.awake();
        }
    }

    #[test]
    fn a_task_waits_for_the_set_and_no_longer() {
        let run = LocalExecutorBuilder::new(Placement::Unbound).io_memory(65_536).spawn(|| async {
            let mut set = Poller::new().expect("an epoll set");
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a pair");
            set.add(ours.as_fd(), 7).expect("added");
            let mut events = Vec::with_capacity(8);
            for _ in 0..3 {
                let waits = poll_fn(|context| Poll::Ready(set.poll_ready(context).is_pending())).await;
                assert!(waits, "ready without an event");
                glommio::timer::sleep(Duration::from_millis(5)).await;
                send(&theirs, b"x", SendFlags::empty()).expect("sent");
                poll_fn(|context| set.poll_ready(context)).await;
                assert_eq!(set.take(&mut events, 0), 1, "ready, and no event");
                assert_eq!({ events[0].data }.u64(), 7);
            }
            // The socket is writable all the time; now that is reported.
            set.await_writable(ours.as_fd(), 7).expect("modified");
            poll_fn(|context| set.poll_ready(context)).await;
            assert_eq!(set.take(&mut events, 0), 1);
        });
        run.expect("an executor").join().expect("the task ran to its end");
    }
}
