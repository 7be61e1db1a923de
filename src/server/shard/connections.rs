//! The connections of a shard: their slices of work, their deadlines, and what they become.

use std::rc::Rc;

use slab::Slab;

use super::action::ConnAction;
use super::connected::{ConnState, Connected, NotNeeded, key_of};
use super::exchange::Reply;
use super::ready_queue::ReadyQueue;
use super::request_id::RequestId;
use super::shared::Shared;
use super::streams::{EndedStream, StreamSocket, StreamTransport};
use super::{h1, h2, h2_writes};
use crate::hub::shard::EndReason;
use crate::io::driver::Event;
use crate::io::listener::leave_to_dispatch_timeout;
use crate::limits::{HTTP2_CONNECTION_BYTES, MEMORY_SHED_EXAMINED_MAX, SERVE_BYTES_MAX, TIMERS_MAX};
use crate::ops::metrics::MemoryKind;
use crate::server::http1::{Http1Conn, Http1Overdue};
use crate::server::http2::{Http2Conn, SubscriberStream};
use crate::server::permits::ConnectionPermit;
use crate::shrink::shrink_slab;

/// The connections, by number.
#[derive(Default)]
pub(super) struct Connections {
    by_number: Slab<Connected>,
    ready_queue: ReadyQueue,
}

impl Connections {
    /// The number of connections.
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Whether a connection has work left.
    pub(super) fn has_work(&self) -> bool {
        !self.ready_queue.is_empty()
    }

    /// Adds a connection; returns its number. Its first bytes are an event of the next round; that
    /// is cheaper than trying to read now.
    ///
    /// # Errors
    /// The driver cannot watch its socket.
    pub(super) fn open(
        &mut self,
        conn: Http1Conn,
        permit: ConnectionPermit,
        shared: &mut Shared,
    ) -> std::io::Result<u32> {
        let serial = shared.serials.next();
        let entry = self.by_number.vacant_entry();
        let number = entry.key() as u32;
        shared.driver.add(conn.transport.socket(), key_of(number, serial))?;
        let connected = entry.insert(Connected {
            state: ConnState::Http1(Box::new(conn)),
            serial,
            awaits_writable: false,
            is_queued: false,
            _permit: permit,
        });
        connected.arm(number, shared);
        Ok(number)
    }

    /// Serves the queued connections at the beginning of a round; returns whether there were any.
    pub(super) fn drive_queued(&mut self, shared: &mut Shared) -> bool {
        self.drive_all(false, shared)
    }

    /// Serves queued connections that are in the middle of a long body, at the end of a round, with
    /// a budget of their own; returns whether there were any.
    pub(super) fn drive_bulk(&mut self, shared: &mut Shared) -> bool {
        shared.budget.renew_for_bulk();
        self.drive_all(true, shared)
    }

    fn drive_all(&mut self, is_bulk: bool, shared: &mut Shared) -> bool {
        let count = self.ready_queue.len(is_bulk);
        for _ in 0..count {
            if shared.budget.is_spent() {
                break;
            }
            let Some((number, serial)) = self.ready_queue.pop(is_bulk) else { break };
            if let Some(connected) = self.by_number.get_mut(number as usize)
                && connected.serial == serial
            {
                connected.is_queued = false;
                self.serve(number, shared);
            }
        }
        count > 0
    }

    /// Handles an event of a connection.
    pub(super) fn on_event(&mut self, event: Event, shared: &mut Shared) {
        let (number, serial) = (event.key as u32, (event.key >> 32) as u32);
        let Some(connected) = self.by_number.get_mut(number as usize).filter(|it| it.serial == serial) else {
            return;
        };
        let has_ended = event.has_ended;
        match &mut connected.state {
            ConnState::Streaming(slot) if has_ended => {
                // One with many selectors takes long to leave.
                let began = shared.budget.moment();
                shared.streams.shard.leave(*slot);
                return shared.budget.charge_since(began);
            }
            ConnState::Streaming(slot) => {
                return shared.streams.on_event(*slot, event, shared.now, &mut shared.read_buffer);
            }
            ConnState::Http1(conn) => {
                conn.has_ended |= has_ended;
                conn.is_drained = false;
            }
            ConnState::Http2(conn) => conn.event(has_ended, shared.now.ms),
            ConnState::Closed => return,
        }
        // A queued connection sees the change in its next slice.
        if !connected.is_queued {
            self.drive(number, shared);
        }
    }

    /// Lets a connection do one slice of work; queues it when this round's budget is spent, or in
    /// the middle of a long body.
    pub(super) fn drive(&mut self, number: u32, shared: &mut Shared) {
        match shared.budget.is_spent() || self.by_number[number as usize].state.is_bulk() {
            true => self.enqueue(number),
            false => self.serve(number, shared),
        }
    }

    fn serve(&mut self, number: u32, shared: &mut Shared) {
        let began = shared.budget.moment();
        let action = match self.state(number) {
            Some(ConnState::Http1(conn)) => h1::serve(number, conn, shared),
            Some(ConnState::Http2(conn)) => h2::serve(conn, shared, SERVE_BYTES_MAX),
            _ => return,
        };
        self.apply(number, action, shared);
        shared.budget.charge_since(began);
    }

    /// Handles the timers of connections that have fired.
    pub(super) fn advance_timers(&mut self, shared: &mut Shared) {
        for _ in 0..TIMERS_MAX {
            let Some((number, serial)) = shared.streams.shard.next_caller_timer() else { return };
            self.on_deadline(number, serial, shared);
        }
    }

    fn on_deadline(&mut self, number: u32, serial: u32, shared: &mut Shared) {
        let Some(connected) = self.by_number.get_mut(number as usize) else { return };
        match connected.state.armed_ms() {
            Some(armed_ms) if connected.serial == serial && *armed_ms <= shared.now.ms => {
                *armed_ms = u64::MAX;
            }
            _ => return,
        }
        let action = match &mut connected.state {
            ConnState::Http1(conn) => match conn.overdue(&shared.timeouts, shared.now.ms) {
                // The deadline has moved: the slice arms it again.
                Http1Overdue::Nothing => return self.drive(number, shared),
                Http1Overdue::Close => ConnAction::Closes,
                Http1Overdue::Timeout => h1::time_out(number, conn, shared),
            },
            ConnState::Http2(conn) => h2::on_deadline(conn, shared),
            ConnState::Streaming(_) | ConnState::Closed => return,
        };
        self.apply(number, action, shared);
    }

    /// Hands the reply of another thread to the request that waits for it.
    pub(super) fn on_reply(&mut self, id: RequestId, reply: Reply, shared: &mut Shared) {
        let action = match self.state(id.connection) {
            Some(ConnState::Http1(conn)) => h1::on_reply(id, conn, shared, reply),
            Some(ConnState::Http2(conn)) => {
                h2::on_reply(id.serial, conn, shared, reply);
                ConnAction::Waits
            }
            _ => return,
        };
        self.apply(id.connection, action, shared);
    }

    /// Polls the HTTP/2 connections whose streams were written to; returns whether there were any.
    /// If the driver makes many sends at once, they are made after all were polled.
    pub(super) fn poll_written(&mut self, shared: &mut Shared) -> bool {
        let needs_poll = shared.streams.take_needs_poll();
        if needs_poll.is_empty() {
            return false;
        }
        let collects = shared.driver.sends_at_once() > 0;
        let mut polled: Vec<(u32, ConnAction)> = Vec::new();
        for number in &needs_poll {
            let began = shared.budget.moment();
            let Some(ConnState::Http2(conn)) = self.state(*number) else { continue };
            // It may have been polled since, in its own slice.
            if conn.send_budget.is_dirty() {
                let is_again = conn.collect(collects);
                // Here it only writes; reading waits for its own slice.
                let action = h2::serve(conn, shared, 0);
                match polled.iter_mut().rfind(|(other, _)| is_again && other == number) {
                    Some((_, former)) => *former = action,
                    None if collects => polled.push((*number, action)),
                    None => self.apply(*number, action, shared),
                }
            }
            shared.budget.charge_since(began);
        }
        let began = shared.budget.moment();
        h2_writes::send_collected(&mut polled, &mut self.by_number, &mut *shared.driver);
        for (number, action) in polled {
            self.apply(number, action, shared);
        }
        shared.budget.charge_since(began);
        true
    }

    /// Asks for writable events of the streams' sockets that were found full. If a socket has room
    /// again by now, the event fires at once.
    pub(super) fn watch_full(&mut self, shared: &mut Shared) {
        while let Some(number) = shared.streams.next_full() {
            let Some(Connected { state: ConnState::Streaming(slot), serial, awaits_writable, .. }) =
                self.by_number.get_mut(number as usize)
            else {
                continue;
            };
            let Some(transport) = shared.streams.transport(*slot) else { continue };
            if std::mem::replace(awaits_writable, true) {
                continue;
            }
            leave_to_dispatch_timeout(transport.socket(), shared.timeouts.write_ms);
            let watched = shared.driver.await_writable(transport.socket(), key_of(number, *serial));
            if let Err(error) = watched {
                shared.streams.shard.leave(*slot);
                shared.log.unwatched(&error, shared.now.ms);
            }
        }
    }

    /// Closes the sockets of the streams that have ended.
    pub(super) fn close_ended(&mut self, shared: &mut Shared) {
        while let Some(EndedStream { slot, reason, socket }) = shared.streams.next_ended() {
            shared.log.end(slot, reason, socket.access.as_deref(), shared.now.ms);
            let connection = socket.connection;
            match socket.transport {
                StreamTransport::Own(mut transport) => {
                    transport.part();
                    self.by_number.try_remove(connection as usize);
                }
                StreamTransport::Shared(stream) => {
                    self.end_shared(slot, connection, *stream, reason, shared);
                }
            }
        }
    }

    /// Ends the stream of a subscriber that is gone: after its queued bytes, or by a reset if it
    /// did not get everything.
    fn end_shared(
        &mut self,
        slot: u32,
        number: u32,
        stream: SubscriberStream,
        reason: EndReason,
        shared: &mut Shared,
    ) {
        let is_whole = matches!(
            reason,
            EndReason::Expired | EndReason::KeyWithdrawn | EndReason::Drained | EndReason::HistoryGap
        );
        let send_budget = Rc::clone(&stream.send_budget);
        stream.end(is_whole);
        // The number may have been reused by another connection.
        if let Some(ConnState::Http2(conn)) = self.state(number)
            && Rc::ptr_eq(&conn.send_budget, &send_budget)
        {
            conn.unsubscribe(slot, shared.now.ms);
            shared.streams.mark_for_poll(&send_budget, number);
        }
    }

    /// The hub stops: HTTP/2 connections accept no further request.
    pub(super) fn dismiss_http2(&mut self, shared: &mut Shared) {
        let is_http2 = |connected: &Connected| matches!(connected.state, ConnState::Http2(_));
        let all = self.by_number.iter();
        let numbers: Vec<u32> = all.filter(|(_, it)| is_http2(it)).map(|(number, _)| number as u32).collect();
        for number in numbers {
            if let Some(ConnState::Http2(conn)) = self.state(number) {
                conn.leave(shared.now.ms);
                let action = h2::serve(conn, shared, SERVE_BYTES_MAX);
                self.apply(number, action, shared);
            }
        }
    }

    /// The hub stops: queues idle connections to be closed; requests that have arrived but were not
    /// read get a response first.
    pub(super) fn dismiss_idle(&mut self) {
        let idle = |(number, connected): (usize, &mut Connected)| match &mut connected.state {
            ConnState::Http1(conn) if conn.is_idle() => {
                conn.is_drained = false;
                Some(number as u32)
            }
            _ => None,
        };
        let numbers: Vec<u32> = self.by_number.iter_mut().filter_map(idle).collect();
        numbers.into_iter().for_each(|number| self.enqueue(number));
    }

    /// The hub ends: closes idle connections, and those that have sent nothing yet.
    pub(super) fn close_idle(&mut self) {
        self.by_number.retain(|_, connected| match &mut connected.state {
            ConnState::Http1(conn) if conn.is_idle() || conn.is_silent() => {
                conn.transport.part();
                false
            }
            _ => true,
        });
    }

    /// Whether bodies of publications are arriving.
    pub(super) fn awaits_bodies(&self) -> bool {
        self.by_number.iter().any(|(_, connected)| match &connected.state {
            ConnState::Http1(conn) => conn.awaits_body(),
            ConnState::Http2(conn) => conn.awaits_bodies(),
            ConnState::Streaming(_) | ConnState::Closed => false,
        })
    }

    /// Connections that are closed soon, requests that are still arriving, and idle connections.
    pub(super) fn not_needed(&self, now_ms: u64) -> Vec<NotNeeded> {
        let candidates = self.by_number.iter().filter_map(|(number, Connected { state, serial, .. })| {
            let (serial, number) = (*serial, number as u32);
            let bytes = state.bytes_not_needed()?;
            Some(NotNeeded { is_ending: state.is_ending(now_ms), bytes, serial, number })
        });
        candidates.take(MEMORY_SHED_EXAMINED_MAX).collect()
    }

    /// Ends one of these.
    pub(super) fn shed(&mut self, number: u32, shared: &mut Shared) {
        let action = match self.state(number) {
            Some(ConnState::Http1(conn)) if conn.arriving_bytes().is_some() => h1::shed(number, conn, shared),
            Some(_) => {
                shared.memory.count_shed(MemoryKind::Connections);
                ConnAction::Closes
            }
            None => return,
        };
        self.apply(number, action, shared);
    }

    /// Gives back what connections that are gone have needed.
    pub(super) fn shrink(&mut self) {
        shrink_slab(&mut self.by_number);
        self.ready_queue.shrink();
    }

    fn state(&mut self, number: u32) -> Option<&mut ConnState> {
        self.by_number.get_mut(number as usize).map(|connected| &mut connected.state)
    }

    /// Queues a connection for a slice of work.
    fn enqueue(&mut self, number: u32) {
        let connected = &mut self.by_number[number as usize];
        if !std::mem::replace(&mut connected.is_queued, true) {
            self.ready_queue.push((number, connected.serial), connected.state.is_bulk());
        }
    }

    /// Does what a slice of work has led to.
    fn apply(&mut self, number: u32, action: ConnAction, shared: &mut Shared) {
        let connected = &mut self.by_number[number as usize];
        let stays = matches!(action, ConnAction::Waits | ConnAction::Yields);
        let action = if stays && !connected.is_watched(number, shared) { ConnAction::Closes } else { action };
        match action {
            ConnAction::Waits => connected.arm(number, shared),
            ConnAction::Yields => {
                connected.arm(number, shared);
                self.enqueue(number);
            }
            ConnAction::Streams(slot, permits) => {
                let before = std::mem::replace(&mut connected.state, ConnState::Streaming(slot));
                let ConnState::Http1(conn) = before else { return };
                let is_tls = conn.transport.is_tls();
                let (transport, access) = (StreamTransport::Own(conn.transport), conn.caller.access);
                shared.streams.attach(slot, StreamSocket::new(transport, number, access, permits));
                if is_tls {
                    // No event will report bytes that came with the request.
                    shared.streams.read_input(slot, &mut shared.read_buffer);
                }
            }
            ConnAction::SpeaksHttp2 => {
                let before = std::mem::replace(&mut connected.state, ConnState::Closed);
                let ConnState::Http1(conn) = before else { return };
                let memory = shared.memory.hold(MemoryKind::Http2, HTTP2_CONNECTION_BYTES);
                let mut conn = Http2Conn::new(number, *conn, memory, shared.now.ms);
                if !shared.shutdown.is_serving() {
                    conn.leave(shared.now.ms);
                }
                shared.log.recorder.http2_opened();
                connected.state = ConnState::Http2(Box::new(conn));
                if let Some(ConnState::Http2(conn)) = self.state(number) {
                    let action = h2::serve(conn, shared, SERVE_BYTES_MAX);
                    self.apply(number, action, shared);
                }
            }
            ConnAction::Ends | ConnAction::Closes => {
                let is_over = matches!(action, ConnAction::Ends);
                self.close(number, is_over, shared);
            }
        }
    }

    /// Ends a connection; one that is over gets time for its last bytes.
    fn close(&mut self, number: u32, is_over: bool, shared: &mut Shared) {
        let connected = &mut self.by_number[number as usize];
        match std::mem::replace(&mut connected.state, ConnState::Closed) {
            ConnState::Http1(mut conn) => conn.transport.part(),
            ConnState::Http2(conn) => {
                shared.log.recorder.http2_closed();
                for slot in conn.slots() {
                    shared.streams.shard.leave(*slot);
                }
                let peer = conn.peer;
                if let Some(transport) = conn.part().filter(|_| is_over) {
                    // If the socket were closed now with unread bytes, the kernel would reset the
                    // connection and the last frames could be lost.
                    let mut lingering = Http1Conn::new(transport, peer, shared.now.ms);
                    lingering.end(shared.now.ms);
                    connected.state = ConnState::Http1(Box::new(lingering));
                    connected.arm(number, shared);
                    return self.enqueue(number);
                }
            }
            ConnState::Streaming(_) | ConnState::Closed => {}
        }
        self.by_number.remove(number as usize);
    }
}
