//! The driver of one shard of a simulation.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use super::network::{SimNetwork, SimSocket};
use crate::io::driver::{Driver, Event, RingCounts, Send};
use crate::io::socket::Socket;
use crate::io::waker::ShardWaker;
use crate::sse::wire::Sent;

/// A driver that never blocks: whether a shard sleeps is the matter of who steps it.
pub(crate) struct SimDriver {
    network: Arc<SimNetwork>,
    shard: usize,
    /// The counter of the waker, and its key.
    waker: Option<(OwnedFd, u64)>,
    sends_at_once: usize,
}

impl SimDriver {
    /// The driver of this shard; see [`Driver::sends_at_once`].
    pub(crate) fn new(network: Arc<SimNetwork>, shard: usize, sends_at_once: usize) -> Self {
        Self { network, shard, waker: None, sends_at_once }
    }
}

impl Driver for SimDriver {
    fn add_waker(&mut self, waker: &ShardWaker, key: u64) -> io::Result<()> {
        self.waker = Some((waker.as_fd().try_clone_to_owned()?, key));
        Ok(())
    }

    fn add(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        self.network.watch(simulated(socket)?, self.shard, key);
        Ok(())
    }

    fn add_shared(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        self.add(socket, key)
    }

    fn await_writable(&mut self, socket: &Socket, key: u64) -> io::Result<()> {
        self.network.await_writable(simulated(socket)?, self.shard, key);
        Ok(())
    }

    fn wait(&mut self, events: &mut Vec<Event>, _: Option<u64>) {
        self.network.between();
        events.clear();
        if let Some((counter, key)) = &self.waker
            && rustix::io::read(counter, &mut [0; 8]).is_ok()
        {
            events.push(Event { key: *key, is_readable: true, is_writable: false, has_ended: false });
        }
        self.network.take_events(self.shard, events);
    }

    fn sends_at_once(&self) -> usize {
        self.sends_at_once
    }

    fn send_all(&mut self, sends: &[Send<'_>], results: &mut Vec<Sent>) {
        results.extend(sends.iter().map(|send| send.socket.send(send.bytes)));
    }

    fn ring_counts(&self) -> RingCounts {
        RingCounts::default()
    }
}

fn simulated(socket: &Socket) -> io::Result<&SimSocket> {
    match socket {
        Socket::Simulated(socket) => Ok(socket),
        Socket::Kernel(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
