//! The epoll set of a shard, and plain sends.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::driver::{Driver, Event, RingCounts, Send};
use super::socket::Socket;
use super::waker::ShardWaker;
use crate::limits::EVENTS_MAX;
use crate::sse::wire::Sent;

const READING: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);
const ENDED: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);

/// Edge-triggered events of every socket of one shard.
pub(crate) struct Epoll {
    set: OwnedFd,
    taken: Vec<epoll::Event>,
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { set, taken: Vec::with_capacity(EVENTS_MAX) })
    }
}

impl Driver for Epoll {
    fn add_waker(&mut self, waker: &ShardWaker, key: u64) -> io::Result<()> {
        epoll::add(&self.set, waker.as_fd(), epoll::EventData::new_u64(key), READING)?;
        Ok(())
    }

    fn add(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        epoll::add(&self.set, socket.descriptor()?, epoll::EventData::new_u64(key), READING)?;
        Ok(())
    }

    fn add_shared(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET | epoll::EventFlags::EXCLUSIVE;
        epoll::add(&self.set, socket.descriptor()?, epoll::EventData::new_u64(key), flags)?;
        Ok(())
    }

    fn await_writable(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        let flags = READING | epoll::EventFlags::OUT;
        epoll::modify(&self.set, socket.descriptor()?, epoll::EventData::new_u64(key), flags)?;
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, wait_ms: Option<u64>) {
        let Self { set, taken } = self;
        taken.clear();
        let wait = wait_ms.map(|wait_ms| Timespec {
            tv_sec: i64::try_from(wait_ms / 1_000).unwrap_or(i64::MAX),
            tv_nsec: (wait_ms % 1_000 * 1_000_000) as i64,
        });
        // The buffer stays empty when the call is interrupted or fails.
        let _ = epoll::wait(&*set, spare_capacity(taken), wait.as_ref());
        events.clear();
        events.extend(taken.iter().map(event_of));
    }

    fn sends_at_once(&self) -> usize {
        0
    }

    fn send_all(&mut self, sends: &[Send<'_>], results: &mut Vec<Sent>) {
        results.extend(sends.iter().map(|send| send.socket.send(send.bytes)));
    }

    fn ring_counts(&self) -> RingCounts {
        RingCounts::default()
    }
}

fn event_of(event: &epoll::Event) -> Event {
    // The struct is packed: copy its fields, since they cannot be borrowed.
    let (data, flags) = (event.data, event.flags);
    Event {
        key: data.u64(),
        is_readable: flags.contains(epoll::EventFlags::IN),
        is_writable: flags.contains(epoll::EventFlags::OUT),
        has_ended: flags.intersects(ENDED),
    }
}
