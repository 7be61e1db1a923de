//! The network: listeners, connections with a queue of bytes in each direction, and the edges that
//! the driver reports.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::choices::{SimBetween, SimChoices};
use crate::io::event::Event;
use crate::io::outcome::ReadOutcome;
use crate::limits::EVENTS_MAX;
use crate::sse::wire::Sent;

/// A network, and what happens elsewhere while a shard works.
pub(crate) struct SimNetwork {
    state: Mutex<NetworkState>,
    choices: SimChoices,
    between: SimBetween,
}

#[derive(Default)]
struct NetworkState {
    /// By shard.
    listeners: Vec<SimListener>,
    /// By number; a number is never used again.
    connections: Vec<SimConnection>,
}

#[derive(Default)]
struct SimListener {
    backlog: VecDeque<usize>,
    key: Option<u64>,
    has_edge: bool,
    is_closed: bool,
}

/// A connection, as the kernel of the hub has it.
struct SimConnection {
    peer: SocketAddr,
    /// Came from the client, and was not read.
    arrived: VecDeque<u8>,
    /// Bytes of `arrived` for which there is room.
    window: usize,
    /// Sent by the hub, and not taken by the client.
    sent: VecDeque<u8>,
    /// Bytes of `sent` for which there is room.
    capacity: usize,
    /// A send has found no room for everything.
    was_full: bool,
    client: Side,
    hub: Side,
    watch: Option<WatchedSocket>,
    has_edge: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Open,
    /// It sends nothing more.
    Ended,
    /// It has closed the socket, or was reset.
    Gone,
}

struct WatchedSocket {
    shard: usize,
    key: u64,
    awaits_writable: bool,
}

/// What a client sees of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimClientState {
    /// It can be used.
    Open,
    /// The hub sends nothing more, and everything was taken.
    Ended,
    /// The hub has closed the connection without having read everything.
    Reset,
}

/// The hub's end of a connection, or a listener; dropping it closes it.
pub(crate) struct SimSocket {
    network: Arc<SimNetwork>,
    which: Which,
}

#[derive(Clone, Copy, Debug)]
enum Which {
    /// The listener of this shard.
    Listener(usize),
    Connection(usize),
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.which)
    }
}

impl SimConnection {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.sent.len())
    }

    /// As Linux has it: a third is free.
    fn is_writable(&self) -> bool {
        self.client == Side::Gone || self.room() > 0 && 3 * self.room() >= self.capacity
    }

    /// An event reports room once after a send that found none.
    fn has_room_again(&mut self) {
        if self.was_full && self.is_writable() {
            self.was_full = false;
            self.has_edge |= self.watch.as_ref().is_some_and(|watch| watch.awaits_writable);
        }
    }

    /// Its state as an event, which reports all edges.
    fn take_event(&mut self) -> Option<Event> {
        let WatchedSocket { key, awaits_writable, .. } = *self.watch.as_ref()?;
        self.has_edge = false;
        // As Linux has it: who asks and finds no room is told of the next.
        self.was_full |= !self.is_writable();
        let has_ended = self.client != Side::Open;
        let is_readable = has_ended || !self.arrived.is_empty();
        Some(Event { key, is_readable, is_writable: awaits_writable && self.is_writable(), has_ended })
    }

    /// The hub closes its socket. If bytes were not read, the kernel resets the connection.
    fn close(&mut self, choices: &SimChoices) {
        (self.watch, self.has_edge) = (None, false);
        match self.arrived.is_empty() {
            true => self.hub = Side::Gone,
            false => self.reset_client(choices),
        }
    }

    /// A reset destroys what the client has not taken.
    fn reset_client(&mut self, choices: &SimChoices) {
        self.hub = Side::Gone;
        self.sent.truncate(choices.below(self.sent.len() + 1));
        self.client = Side::Gone;
    }
}

impl SimNetwork {
    /// A network for this many shards.
    pub(crate) fn new(shards: usize, choices: SimChoices, between: SimBetween) -> Arc<Self> {
        let state = NetworkState {
            listeners: (0..shards).map(|_| SimListener::default()).collect(),
            connections: Vec::new(),
        };
        Arc::new(Self { state: Mutex::new(state), choices, between })
    }

    pub(super) fn between(&self) {
        self.between.happen();
    }

    fn state(&self) -> MutexGuard<'_, NetworkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The listening socket of a shard.
    pub(crate) fn listener(self: &Arc<Self>, shard: usize) -> SimSocket {
        SimSocket { network: Arc::clone(self), which: Which::Listener(shard) }
    }

    /// A client connects to a shard; its number, or `None` if the shard does not listen.
    pub(crate) fn connect(&self, shard: usize, peer: SocketAddr, capacity: usize) -> Option<usize> {
        let NetworkState { listeners, connections } = &mut *self.state();
        let listener = listeners.get_mut(shard).filter(|listener| !listener.is_closed)?;
        let number = connections.len();
        connections.push(SimConnection {
            peer,
            arrived: VecDeque::new(),
            window: 64 << 10,
            sent: VecDeque::new(),
            capacity,
            was_full: false,
            client: Side::Open,
            hub: Side::Open,
            watch: None,
            has_edge: false,
        });
        listener.backlog.push_back(number);
        listener.has_edge = true;
        Some(number)
    }

    /// Bytes of a client arrive; returns how many there was room for.
    pub(crate) fn arrive(&self, number: usize, bytes: &[u8]) -> usize {
        let connection = &mut self.state().connections[number];
        if connection.hub == Side::Gone {
            connection.reset_client(&self.choices);
        }
        if connection.client != Side::Open {
            return 0;
        }
        let count = bytes.len().min(connection.window.saturating_sub(connection.arrived.len()));
        connection.arrived.extend(&bytes[..count]);
        connection.has_edge = count > 0 || connection.has_edge;
        count
    }

    /// A client sends nothing more.
    pub(crate) fn end(&self, number: usize) {
        let connection = &mut self.state().connections[number];
        if connection.client == Side::Open {
            connection.client = Side::Ended;
            connection.has_edge = true;
        }
    }

    /// A client resets its connection. Bytes that have arrived may still be read, or not.
    pub(crate) fn reset(&self, number: usize) {
        let connection = &mut self.state().connections[number];
        connection.client = Side::Gone;
        connection.sent.clear();
        if self.choices.one_in(2) {
            connection.arrived.clear();
        }
        connection.has_edge = true;
    }

    /// A client takes up to this many bytes.
    pub(crate) fn take(&self, number: usize, bytes_max: usize) -> Vec<u8> {
        let connection = &mut self.state().connections[number];
        let count = connection.sent.len().min(bytes_max);
        let taken = connection.sent.drain(..count).collect();
        connection.has_room_again();
        taken
    }

    /// The kernel gives the hub's side this much room.
    pub(crate) fn set_capacity(&self, number: usize, capacity: usize) {
        let connection = &mut self.state().connections[number];
        connection.capacity = capacity;
        connection.has_room_again();
    }

    /// What a client sees.
    pub(crate) fn client_state(&self, number: usize) -> SimClientState {
        let connection = &self.state().connections[number];
        match (connection.client, connection.hub) {
            (Side::Gone, _) => SimClientState::Reset,
            (_, Side::Open) => SimClientState::Open,
            (..) if !connection.sent.is_empty() => SimClientState::Open,
            (..) => SimClientState::Ended,
        }
    }

    /// Whether the hub has closed this connection.
    pub(crate) fn is_closed(&self, number: usize) -> bool {
        self.state().connections[number].hub == Side::Gone
    }

    /// Whether an event waits for a shard.
    pub(crate) fn has_event(&self, shard: usize) -> bool {
        let NetworkState { listeners, connections } = &*self.state();
        let is_of = |it: &&SimConnection| it.watch.as_ref().is_some_and(|watch| watch.shard == shard);
        listeners[shard].has_edge || connections.iter().filter(is_of).any(|it| it.has_edge)
    }

    pub(super) fn watch(&self, socket: &SimSocket, shard: usize, key: u64) {
        let state = &mut *self.state();
        match socket.which {
            Which::Listener(number) => state.listeners[number].key = Some(key),
            Which::Connection(number) => {
                let connection = &mut state.connections[number];
                connection.watch = Some(WatchedSocket { shard, key, awaits_writable: false });
                connection.has_edge |= !connection.arrived.is_empty() || connection.client != Side::Open;
            }
        }
    }

    pub(super) fn await_writable(&self, socket: &SimSocket, shard: usize, key: u64) {
        let Which::Connection(number) = socket.which else { return };
        let connection = &mut self.state().connections[number];
        connection.watch = Some(WatchedSocket { shard, key, awaits_writable: true });
        // A changed entry of an epoll set is checked anew.
        connection.was_full |= !connection.is_writable();
        connection.has_edge |= connection.is_writable() || !connection.arrived.is_empty();
    }

    /// Appends events of a shard: some of those that wait, in any order, and perhaps one for no
    /// reason.
    pub(super) fn take_events(&self, shard: usize, events: &mut Vec<Event>) {
        let (choices, state) = (&self.choices, &mut *self.state());
        let listener = &mut state.listeners[shard];
        if listener.has_edge
            && let Some(key) = listener.key
        {
            listener.has_edge = false;
            events.push(Event { key, is_readable: true, is_writable: false, has_ended: false });
        }
        for connection in &mut state.connections {
            if connection.watch.as_ref().is_none_or(|watch| watch.shard != shard) {
                continue;
            }
            let is_late = choices.one_in(4);
            let is_reported = connection.has_edge && !is_late || choices.one_in(64);
            if is_reported && events.len() < EVENTS_MAX {
                events.extend(connection.take_event());
            }
        }
        for at in (1..events.len()).rev() {
            events.swap(at, choices.below(at + 1));
        }
    }
}

impl SimSocket {
    fn connection<T>(&self, use_it: impl FnOnce(&mut SimConnection, &SimChoices) -> T) -> Option<T> {
        self.network.between();
        let Which::Connection(number) = self.which else { return None };
        Some(use_it(&mut self.network.state().connections[number], &self.network.choices))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Sent {
        let sent = self.connection(|connection, _| {
            if connection.client == Side::Gone || connection.hub != Side::Open {
                return Sent::Gone;
            }
            let taken = connection.room().min(bytes.len());
            connection.was_full |= taken < bytes.len();
            connection.sent.extend(&bytes[..taken]);
            if taken == 0 { Sent::Full } else { Sent::Bytes(taken) }
        });
        sent.unwrap_or(Sent::Gone)
    }

    pub(crate) fn receive(&self, into: &mut [u8]) -> ReadOutcome {
        let read = self.connection(|connection, choices| {
            let count = connection.arrived.len().min(into.len());
            if count == 0 {
                return match connection.client {
                    Side::Open => ReadOutcome::Nothing,
                    Side::Ended | Side::Gone => ReadOutcome::End,
                };
            }
            if choices.one_in(64) {
                // The call was interrupted.
                return ReadOutcome::Bytes(0);
            }
            let bytes = connection.arrived.drain(..count);
            into.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
            ReadOutcome::Bytes(count)
        });
        read.unwrap_or(ReadOutcome::End)
    }

    pub(crate) fn end(&self) {
        self.connection(|connection, _| {
            if connection.hub == Side::Open {
                connection.hub = Side::Ended;
            }
        });
    }

    pub(crate) fn accept(&self) -> Result<(Self, SocketAddr), Errno> {
        let Which::Listener(shard) = self.which else { return Err(Errno::INVAL) };
        let NetworkState { listeners, connections } = &mut *self.network.state();
        let number = listeners[shard].backlog.pop_front().ok_or(Errno::AGAIN)?;
        if connections[number].client == Side::Gone && self.network.choices.one_in(2) {
            connections[number].hub = Side::Gone;
            return Err(Errno::CONNABORTED);
        }
        let socket = Self { network: Arc::clone(&self.network), which: Which::Connection(number) };
        Ok((socket, connections[number].peer))
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let NetworkState { listeners, connections } = &mut *self.network.state();
        match self.which {
            Which::Connection(number) => connections[number].close(&self.network.choices),
            Which::Listener(shard) => {
                let listener = &mut listeners[shard];
                (listener.is_closed, listener.has_edge) = (true, false);
                for number in std::mem::take(&mut listener.backlog) {
                    connections[number].reset_client(&self.network.choices);
                }
            }
        }
    }
}
