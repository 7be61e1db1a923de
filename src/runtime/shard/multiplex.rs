//! HTTP/2 connections of a shard: their turns, and what happens on their streams.

use std::rc::Rc;
use std::time::{Duration, Instant};

use tracing::debug;

use super::{Carrier, Connected, ShardLoop, Stage, Stop};
use crate::hub::shard::Closed;
use crate::limits::{
    HTTP2_READ_BYTES_MAX, HTTP2_READ_BYTES_MIN, SERVE_BYTES_MAX, SERVE_STEPS_MAX, SERVE_TURN_US,
};
use crate::runtime::connection::Requesting;
use crate::runtime::http2::{Awake, Member, Multiplexed, Overdue, Polled, SubscriberStream};
use crate::runtime::transport::Transport;

/// What becomes of the connection for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waits,
    /// It could go on, and has to let others go first.
    Yields,
    /// It is over: what it owes is on its way, and is given time to arrive.
    Ends,
    /// It is closed with whatever it owes.
    Closes,
}

impl ShardLoop {
    /// A connection turned out to speak HTTP/2.
    pub(super) fn multiplex(&mut self, number: u32, requesting: Requesting) -> Stage {
        let mut multiplexed = Multiplexed::new(number, requesting, self.now.ms);
        if self.stop != Stop::No {
            multiplexed.leave(self.now.ms);
        }
        self.parts.meters.multiplexes();
        Stage::Multiplexed(Box::new(multiplexed))
    }

    /// Lets an HTTP/2 connection go as far as it may in one turn.
    pub(super) fn drive_multiplexed(&mut self, number: u32) {
        self.with_multiplexed(number, |this, multiplexed| this.turn(number, multiplexed, SERVE_BYTES_MAX));
    }

    /// Polls the connections whose streams were written to; answers whether there were any.
    pub(super) fn drive_touched(&mut self) -> bool {
        let touched = std::mem::take(&mut self.sockets.touched);
        for number in &touched {
            // It may have been polled since, in a turn of its own.
            self.take_turn(|this| {
                this.with_multiplexed(*number, |this, multiplexed| match multiplexed.flow.is_dirty() {
                    // It writes and is told; to read it waits for its turn.
                    true => this.turn(*number, multiplexed, 0),
                    false => Fate::Waits,
                });
            });
        }
        !touched.is_empty()
    }

    /// A deadline of a connection fired.
    pub(super) fn look_at_multiplexed(&mut self, number: u32) {
        self.with_multiplexed(number, |this, multiplexed| {
            if multiplexed.armed_ms > this.now.ms {
                return Fate::Waits;
            }
            multiplexed.armed_ms = u64::MAX;
            loop {
                match multiplexed.overdue(&this.parts.timeouts, this.now.ms) {
                    Overdue::Nothing => break,
                    Overdue::Close => return Fate::Closes,
                    Overdue::Leave => {
                        multiplexed.leave(this.now.ms);
                        break;
                    }
                    // As many as a connection has streams may be overdue at once.
                    Overdue::Exchange(serial) => this.exchange_overdue(multiplexed, serial),
                }
            }
            this.turn(number, multiplexed, SERVE_BYTES_MAX)
        });
    }

    /// The hub stops: HTTP/2 connections take no further request.
    pub(super) fn dismiss_multiplexed(&mut self) {
        let is_multiplexed = |connected: &Connected| matches!(connected.stage, Stage::Multiplexed(_));
        let numbers: Vec<u32> = self
            .connections
            .iter()
            .filter_map(|(number, connected)| is_multiplexed(connected).then_some(number as u32))
            .collect();
        for number in numbers {
            self.with_multiplexed(number, |this, multiplexed| {
                multiplexed.leave(this.now.ms);
                this.turn(number, multiplexed, SERVE_BYTES_MAX)
            });
        }
    }

    /// Works on an exchange of an HTTP/2 connection, which is polled later in this round.
    pub(super) fn with_exchanges(&mut self, number: u32, work: impl FnOnce(&mut Self, &mut Multiplexed)) {
        self.with_multiplexed(number, |this, multiplexed| {
            work(this, multiplexed);
            this.touch(multiplexed);
            Fate::Waits
        });
    }

    /// Works on an HTTP/2 connection, and does with it what comes out.
    fn with_multiplexed(&mut self, number: u32, work: impl FnOnce(&mut Self, &mut Multiplexed) -> Fate) {
        let Some(connected) = self.connections.get_mut(number as usize) else { return };
        let serial = connected.serial;
        let mut multiplexed = match std::mem::replace(&mut connected.stage, Stage::Taken) {
            Stage::Multiplexed(multiplexed) => multiplexed,
            other => {
                connected.stage = other;
                return;
            }
        };
        let mut fate = work(self, &mut multiplexed);
        if multiplexed.is_blocked() && !multiplexed.with_fd(|socket| self.await_writable(number, socket)) {
            fate = Fate::Closes;
        }
        let stage = match fate {
            Fate::Closes | Fate::Ends => {
                self.parts.meters.multiplexed();
                for slot in multiplexed.slots() {
                    self.parts.shard.leave(*slot);
                }
                let peer = multiplexed.peer;
                let is_over = fate == Fate::Ends;
                match multiplexed.part().filter(|_| is_over) {
                    Some(transport) => self.linger(number, serial, transport, peer),
                    None => {
                        self.connections.remove(number as usize);
                        return;
                    }
                }
            }
            Fate::Waits | Fate::Yields => {
                if fate == Fate::Yields {
                    self.queue_turn(number);
                }
                let deadline_ms = multiplexed.deadline_ms(&self.parts.timeouts);
                multiplexed.armed_ms = self.wheel.arm(deadline_ms, multiplexed.armed_ms, (number, serial));
                Stage::Multiplexed(multiplexed)
            }
        };
        self.connections[number as usize].stage = stage;
    }

    /// Closed at once with unread bytes, the kernel would reset the connection, and the last frames could be lost.
    fn linger(
        &mut self,
        number: u32,
        serial: u32,
        transport: Transport,
        peer: Option<std::net::SocketAddr>,
    ) -> Stage {
        let mut requesting = Requesting::new(transport, peer, self.now.ms);
        requesting.end(self.now.ms);
        requesting.armed_ms =
            self.wheel.arm(requesting.deadline_ms(&self.parts.timeouts), u64::MAX, (number, serial));
        self.queue_turn(number);
        Stage::Requesting(Box::new(requesting))
    }

    /// A subscriber is gone, and its stream ends: behind what it was sent, or cut when it was not sent everything.
    pub(super) fn end_shared(&mut self, slot: u32, number: u32, stream: SubscriberStream, reason: Closed) {
        let is_whole = matches!(reason, Closed::Expired | Closed::Drained | Closed::HistoryGap);
        let flow = Rc::clone(&stream.flow);
        stream.end(is_whole);
        let now_ms = self.now.ms;
        // Another connection may have the number by now.
        if let Some(Connected { stage: Stage::Multiplexed(multiplexed), .. }) =
            self.connections.get_mut(number as usize)
            && Rc::ptr_eq(&multiplexed.flow, &flow)
        {
            multiplexed.unsubscribe(slot, now_ms);
            self.sockets.touch(&flow, number);
        }
    }

    /// Goes as far as the bytes allow, and no further than a client may go that never stops sending; so many bytes are read at most.
    /// What a byte costs is the client's choice, since heads are compressed: so it ends with the turn's time, too.
    fn turn(&mut self, number: u32, multiplexed: &mut Multiplexed, bytes_max: usize) -> Fate {
        let until = Instant::now() + Duration::from_micros(SERVE_TURN_US);
        multiplexed.begin_turn(self.now.ms);
        let mut bytes_left = bytes_max;
        let mut slice = HTTP2_READ_BYTES_MIN;
        for _ in 0..SERVE_STEPS_MAX {
            match multiplexed.poll() {
                Polled::Request(request) => {
                    slice = HTTP2_READ_BYTES_MIN;
                    self.begin_exchange(number, multiplexed, *request);
                    if Instant::now() >= until {
                        return Fate::Yields;
                    }
                    continue;
                }
                Polled::Pending => {}
                Polled::Closed => return Fate::Ends,
            }
            for member in multiplexed.take_woken() {
                match member {
                    Member::Subscriber(slot) => self.subscriber_woken(number, slot),
                    Member::Exchange(serial) => self.exchange_woken(number, multiplexed, serial),
                }
            }
            for slot in multiplexed.flow.take_waiting() {
                self.parts.shard.writable(slot);
            }
            if !multiplexed.flow.is_dirty() {
                if self.stop != Stop::No && multiplexed.is_idle() {
                    return Fate::Ends;
                }
                if !multiplexed.has_more() {
                    return Fate::Waits;
                }
                if bytes_left == 0 || Instant::now() >= until {
                    return Fate::Yields;
                }
                let allowed = slice.min(bytes_left);
                multiplexed.allow(allowed);
                bytes_left -= allowed;
                slice = HTTP2_READ_BYTES_MAX;
            }
        }
        Fate::Yields
    }

    /// A stream was changed: the connection is polled in this round.
    pub(super) fn touch(&mut self, multiplexed: &Multiplexed) {
        self.sockets.touch(&multiplexed.flow, multiplexed.number);
    }

    /// Something happened to a subscriber's stream. The slot may be another connection's by now, for which it is no news.
    fn subscriber_woken(&mut self, number: u32, slot: u32) {
        let Some(Some(socket)) = self.sockets.by_slot.get_mut(slot as usize) else { return };
        let Carrier::Shared(stream) = &mut socket.carrier else { return };
        if socket.connection != number {
            return;
        }
        match stream.look() {
            Awake::Writable => self.parts.shard.writable(slot),
            Awake::Unchanged => {}
            Awake::Gone => {
                debug!(slot, "a stream was reset by its client");
                self.parts.shard.leave(slot);
            }
        }
    }
}
