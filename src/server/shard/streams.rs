//! The subscribers of a shard and their sockets, which take the bytes of the streams.

use std::rc::Rc;

use tracing::debug;

use super::match_costs::{MatchCostPermit, MatchCosts, TooCostly};
use crate::api::handler::GrantedSubscription;
use crate::history::ResumePoint;
use crate::hub::client::ClientKey;
use crate::hub::shard::{EndReason, Joining, Shard};
use crate::io::driver::{Driver, Event, Send};
use crate::io::socket::Socket;
use crate::io::transport::{Flushed, Gone, Prepared, Transport};
use crate::limits::{
    CONNECTION_BYTES, FLUSH_BATCH_MAX, GATHERED_KEPT_BYTES_MAX, SOCKET_FULL_BYTES, SOCKET_KERNEL_BYTES,
};
use crate::mercure::dialect::Dialect;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::SubscriberId;
use crate::ops::access_log::Access;
use crate::ops::metrics::MemoryKind;
use crate::server::history_worker::{HistoryClient, HistoryRequest};
use crate::server::http2::{Awake, SendBudget, SubscriberStream};
use crate::server::memory::{MemoryPermit, ShardMemory};
use crate::server::permits::SubscriptionPermit;
use crate::server::timeouts::Timeouts;
use crate::sse::wire::{Offer, Sent, Wire};
use crate::time::Now;

/// The subscribers, and their sockets by slot.
pub(super) struct Streams {
    pub(super) shard: Shard,
    sockets: Sockets,
    /// Who pays for the price of matching in this shard.
    match_costs: MatchCosts,
    memory: ShardMemory,
}

/// The sockets of the subscribers.
#[derive(Default)]
struct Sockets {
    by_slot: Vec<Option<StreamSocket>>,
    /// Connections whose sockets were found full.
    full: Vec<u32>,
    /// How many of them are full now.
    full_count: usize,
    /// HTTP/2 connections whose streams were written to.
    needs_poll: Vec<u32>,
    /// A subscriber's own socket has TLS.
    is_tls: bool,
    /// Where bytes are encrypted that are sent together.
    sealed: Vec<u8>,
    /// The subscribers of each dialect, in the order of [`Dialect::ALL`].
    by_dialect: [u64; Dialect::ALL.len()],
}

/// What carries the bytes of one subscriber.
pub(super) struct StreamSocket {
    pub(super) transport: StreamTransport,
    pub(super) connection: u32,
    /// The stream's access log entry.
    pub(super) access: Option<Box<Access>>,
    /// The counted memory of its selectors.
    selector_bytes: u32,
    /// That of its request or, if it is older, of its token.
    dialect: Dialect,
    /// Its own socket is full.
    is_full: bool,
    _permits: Option<Box<RarePermits>>,
}

/// What is counted while a stream lasts.
pub(super) struct StreamPermits {
    rare: Option<Box<RarePermits>>,
    /// The memory of its selectors.
    selectors: MemoryPermit,
    dialect: Dialect,
}

/// What few streams have.
struct RarePermits {
    /// Its token, or its address behind a proxy.
    _subscription: Option<SubscriptionPermit>,
    /// What its templates add to the price of matching.
    _match_cost: Option<MatchCostPermit>,
}

impl StreamPermits {
    pub(super) fn new(
        subscription: Option<SubscriptionPermit>,
        selectors: MemoryPermit,
        match_cost: Option<MatchCostPermit>,
        dialect: Dialect,
    ) -> Self {
        let is_rare = subscription.is_some() || match_cost.is_some();
        let rare = RarePermits { _subscription: subscription, _match_cost: match_cost };
        Self { rare: is_rare.then(|| Box::new(rare)), selectors, dialect }
    }
}

impl StreamSocket {
    pub(super) fn new(
        transport: StreamTransport,
        connection: u32,
        access: Option<Box<Access>>,
        permits: StreamPermits,
    ) -> Self {
        let StreamPermits { rare, selectors, dialect } = permits;
        let selector_bytes = selectors.leave();
        Self { transport, connection, access, selector_bytes, dialect, is_full: false, _permits: rare }
    }
}

/// Carries the bytes of a subscriber.
pub(super) enum StreamTransport {
    /// Its own socket.
    Own(Transport),
    /// A stream of an HTTP/2 connection.
    Shared(Box<SubscriberStream>),
}

/// A stream that has ended.
pub(super) struct EndedStream {
    pub(super) slot: u32,
    pub(super) reason: EndReason,
    pub(super) socket: StreamSocket,
}

/// The sockets, and what writes to many of them at once.
struct StreamWire<'s> {
    sockets: &'s mut Sockets,
    driver: &'s mut dyn Driver,
    /// The driver makes more than one send at a time.
    collects: bool,
}

impl<'s> StreamWire<'s> {
    fn new(sockets: &'s mut Sockets, driver: &'s mut dyn Driver) -> Self {
        let collects = driver.sends_at_once() > 0;
        Self { sockets, driver, collects }
    }
}

impl Wire for StreamWire<'_> {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        let Some(socket) = self.sockets.get_mut(slot) else { return Sent::Gone };
        let sent = match &mut socket.transport {
            StreamTransport::Own(transport) => transport.send(bytes),
            StreamTransport::Shared(stream) => {
                let sent = stream.send(slot, bytes);
                if stream.send_budget.mark_dirty() {
                    let connection = socket.connection;
                    self.sockets.needs_poll.push(connection);
                }
                sent
            }
        };
        self.sockets.took(slot, bytes.len(), sent);
        sent
    }

    fn has_room(&mut self, slot: u32) -> bool {
        match self.sockets.get_mut(slot) {
            Some(StreamSocket { transport: StreamTransport::Shared(stream), .. }) => stream.has_room(slot),
            _ => true,
        }
    }

    fn collects(&mut self, slot: u32) -> bool {
        self.collects && self.sockets.transport(slot).is_some_and(|transport| transport.may_prepare())
    }

    fn send_all(&mut self, offers: &[Offer<'_>], results: &mut Vec<Sent>) {
        let first = results.len();
        let Self { sockets, driver, .. } = self;
        match sockets.is_tls {
            true => sockets.send_sealed(&mut **driver, offers, results),
            false => {
                let sends = offers.iter().filter_map(|offer| {
                    sockets.own(offer.slot).map(|socket| Send { socket, bytes: offer.bytes })
                });
                let sends: Vec<_> = sends.collect();
                debug_assert_eq!(sends.len(), offers.len());
                driver.send_all(&sends, results);
            }
        }
        for (offer, sent) in offers.iter().zip(&results[first..]) {
            sockets.took(offer.slot, offer.bytes.len(), *sent);
        }
    }
}

impl Sockets {
    fn get_mut(&mut self, slot: u32) -> Option<&mut StreamSocket> {
        self.by_slot.get_mut(slot as usize)?.as_mut()
    }

    /// The own socket of a subscriber.
    fn own(&self, slot: u32) -> Option<&Socket> {
        match &self.by_slot.get(slot as usize)?.as_ref()?.transport {
            StreamTransport::Own(transport) => Some(transport.socket()),
            StreamTransport::Shared(_) => None,
        }
    }

    /// Makes the sends of these offers, each encrypted for its connection; see [`Wire::send_all`].
    fn send_sealed(&mut self, driver: &mut dyn Driver, offers: &[Offer<'_>], results: &mut Vec<Sent>) {
        let mut sealed = std::mem::take(&mut self.sealed);
        let mut prepared = Vec::with_capacity(offers.len());
        prepared.extend(offers.iter().map(|offer| match self.transport(offer.slot) {
            Some(transport) => transport.prepare(offer.bytes, &mut sealed),
            None => Prepared::Sent(Sent::Gone),
        }));
        let sends = offers.iter().zip(&prepared).filter_map(|(offer, prepared)| match prepared {
            Prepared::Sealed(part) => {
                self.own(offer.slot).map(|socket| Send { socket, bytes: &sealed[part.clone()] })
            }
            Prepared::Sent(_) => None,
        });
        let sends: Vec<_> = sends.collect();
        let mut sent = Vec::with_capacity(sends.len());
        driver.send_all(&sends, &mut sent);
        let mut sent = sent.into_iter();
        for (offer, prepared) in offers.iter().zip(prepared) {
            results.push(match (prepared, self.transport(offer.slot)) {
                (Prepared::Sealed(part), Some(transport)) => {
                    let sent = sent.next().unwrap_or(Sent::Gone);
                    transport.sent_sealed(offer.bytes.len(), &sealed[part], sent)
                }
                (Prepared::Sent(sent), _) => sent,
                (Prepared::Sealed(_), None) => Sent::Gone,
            });
        }
        sealed.clear();
        if sealed.capacity() <= GATHERED_KEPT_BYTES_MAX {
            self.sealed = sealed;
        }
    }

    /// Handles the result of a send.
    fn took(&mut self, slot: u32, offered: usize, sent: Sent) {
        let Some(Some(socket)) = self.by_slot.get_mut(slot as usize) else { return };
        let is_own = matches!(socket.transport, StreamTransport::Own(_));
        if is_own && sent != Sent::Bytes(offered) && sent != Sent::Gone {
            self.full.push(socket.connection);
            self.full_count += usize::from(!std::mem::replace(&mut socket.is_full, true));
        }
        if let (Some(access), Sent::Bytes(count) | Sent::Held(count)) = (&mut socket.access, sent) {
            access.add(count);
        }
    }

    /// The socket of this subscriber is not full any more.
    fn has_room_again(&mut self, slot: u32) {
        if let Some(Some(socket)) = self.by_slot.get_mut(slot as usize) {
            self.full_count -= usize::from(std::mem::take(&mut socket.is_full));
        }
    }

    fn transport(&mut self, slot: u32) -> Option<&mut Transport> {
        match &mut self.by_slot.get_mut(slot as usize)?.as_mut()?.transport {
            StreamTransport::Own(transport) => Some(transport),
            StreamTransport::Shared(_) => None,
        }
    }
}

impl Streams {
    pub(super) fn new(shard: Shard, memory: ShardMemory) -> Self {
        Self { shard, sockets: Sockets::default(), match_costs: MatchCosts::new(), memory }
    }

    /// Reserves what a subscription adds to the price of matching; `None` if that is nothing. The
    /// subscription must join at once.
    ///
    /// # Errors
    /// The bound that it would exceed.
    pub(super) fn hold_match_cost(
        &mut self,
        selectors: &[Selector],
        client: ClientKey,
    ) -> Result<Option<MatchCostPermit>, TooCostly> {
        let price = self.shard.price_of(selectors);
        self.match_costs.hold(client, price)
    }

    /// Adds a subscriber, whose socket follows ([`Self::attach`]); returns its slot.
    pub(super) fn join(
        &mut self,
        subscription: GrantedSubscription,
        client: ClientKey,
        resume_point: Option<ResumePoint>,
        opening: Box<[u8]>,
        timeouts: &Timeouts,
        (now, random): (Now, [u8; 16]),
    ) -> u32 {
        let GrantedSubscription { selectors, announcements, grant, expires_ms, key, framing, .. } =
            subscription;
        let expires_ms = expires_ms.min(timeouts.stream_ends_ms(now.ms, u128::from_be_bytes(random)));
        let id = SubscriberId::from_random_bytes(random);
        let joining = Joining {
            selectors,
            announcements,
            grant,
            expires_ms,
            key,
            framing,
            id,
            client,
            resume_point,
            opening,
        };
        self.shard.join(joining, now)
    }

    /// Attaches the socket of a subscriber.
    pub(super) fn attach(&mut self, slot: u32, socket: StreamSocket) {
        let index = slot as usize;
        if self.sockets.by_slot.len() <= index {
            self.sockets.by_slot.resize_with(index + 1, || None);
        }
        self.sockets.is_tls |= matches!(&socket.transport, StreamTransport::Own(own) if own.is_tls());
        if matches!(socket.transport, StreamTransport::Shared(_)) {
            self.shard.share_socket(slot, socket.connection);
        }
        self.sockets.by_dialect[socket.dialect as usize] += 1;
        self.sockets.by_slot[index] = Some(socket);
    }

    /// Handles an event of a subscriber's own socket.
    pub(super) fn on_event(&mut self, slot: u32, event: Event, now: Now, buffer: &mut [u8]) {
        if event.is_readable {
            self.read_input(slot, buffer);
        }
        if event.is_writable {
            match self.sockets.transport(slot).map(Transport::flush) {
                Some(Ok(Flushed::All)) => {
                    self.sockets.has_room_again(slot);
                    self.shard.writable(slot);
                }
                Some(Ok(Flushed::Some)) => self.shard.progressed(slot, now),
                Some(Err(Gone)) => self.shard.leave(slot),
                Some(Ok(Flushed::Nothing)) | None => {}
            }
        }
    }

    /// Reads input that a client sends on its stream.
    pub(super) fn read_input(&mut self, slot: u32, buffer: &mut [u8]) {
        if self.sockets.transport(slot).is_some_and(|transport| !transport.read_stream_input(buffer)) {
            self.shard.leave(slot);
        }
    }

    /// Handles a wake-up of a subscriber's HTTP/2 stream. The slot may have been reused; ignore a
    /// stale wake-up.
    pub(super) fn on_wake(&mut self, connection: u32, slot: u32) {
        let Some(Some(socket)) = self.sockets.by_slot.get_mut(slot as usize) else { return };
        let StreamTransport::Shared(stream) = &mut socket.transport else { return };
        if socket.connection != connection {
            return;
        }
        match stream.look() {
            Awake::Writable => self.shard.writable(slot),
            Awake::Unchanged => {}
            Awake::Gone => {
                debug!(slot, "a stream was reset by its client");
                self.shard.leave(slot);
            }
        }
    }

    /// Continues subscribers that catch up, and writes to those with pending bytes.
    pub(super) fn write(&mut self, driver: &mut dyn Driver, history: &HistoryClient, now: Now) {
        let sends = driver.sends_at_once().max(FLUSH_BATCH_MAX);
        self.shard.catch_up(FLUSH_BATCH_MAX);
        self.shard.flush(sends, now, &mut StreamWire::new(&mut self.sockets, driver));
        while let Some(read) = self.shard.next_read() {
            if let Err(error) = history.ask(HistoryRequest::Read(read)) {
                self.shard.history_read(read, Err(error));
            }
        }
    }

    /// Handles due timers.
    pub(super) fn advance(&mut self, driver: &mut dyn Driver, now: Now) {
        self.shard.advance(now, &mut StreamWire::new(&mut self.sockets, driver));
    }

    /// Ends up to `count_max` subscriptions until `bytes_wanted` are free: those with full sockets,
    /// then, if they may end, too, those with the most selectors, then the newest.
    pub(super) fn shed(&mut self, bytes_wanted: usize, count_max: usize, only_full: bool) {
        let Self { shard, sockets, memory, .. } = self;
        let candidate = |(slot, socket): (usize, &Option<StreamSocket>)| {
            let StreamSocket { is_full, selector_bytes, .. } =
                socket.as_ref().filter(|it| it.is_full || !only_full)?;
            let full_bytes = if *is_full { SOCKET_FULL_BYTES } else { 0 };
            let bytes = CONNECTION_BYTES + SOCKET_KERNEL_BYTES + full_bytes + *selector_bytes as usize;
            // Among those of about the same size, the newest.
            Some((bytes.ilog2(), shard.age_of(slot as u32), bytes, slot as u32))
        };
        let mut candidates: Vec<_> = sockets.by_slot.iter().enumerate().filter_map(candidate).collect();
        if candidates.len() > count_max {
            candidates.select_nth_unstable_by(count_max, |one, other| other.cmp(one));
            candidates.truncate(count_max);
        }
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        let mut freed = 0;
        for (_, _, bytes, slot) in candidates {
            if freed >= bytes_wanted {
                break;
            }
            freed += bytes;
            memory.count_shed(MemoryKind::Subscriptions);
            shard.shed(slot);
        }
    }

    /// Gives back what subscribers that are gone have needed.
    pub(super) fn shrink(&mut self) {
        self.shard.shrink();
        let Sockets { by_slot, full, needs_poll, .. } = &mut self.sockets;
        let used = by_slot.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if by_slot.capacity() > 64 + 2 * used {
            by_slot.truncate(used);
            by_slot.shrink_to_fit();
        }
        full.shrink_to_fit();
        needs_poll.shrink_to_fit();
    }

    /// The subscribers of each dialect, in the order of [`Dialect::ALL`].
    pub(super) fn by_dialect(&self) -> [u64; Dialect::ALL.len()] {
        self.sockets.by_dialect
    }

    /// How many sockets of subscribers are full.
    pub(super) fn full_sockets(&self) -> usize {
        self.sockets.full_count
    }

    /// The next connection whose socket was found full.
    pub(super) fn next_full(&mut self) -> Option<u32> {
        self.sockets.full.pop()
    }

    /// The own socket of this subscriber.
    pub(super) fn transport(&mut self, slot: u32) -> Option<&mut Transport> {
        self.sockets.transport(slot)
    }

    /// Takes the HTTP/2 connections whose streams were written to; each once.
    pub(super) fn take_needs_poll(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.sockets.needs_poll)
    }

    /// Notes that a stream of this HTTP/2 connection was changed.
    pub(super) fn mark_for_poll(&mut self, send_budget: &Rc<SendBudget>, connection: u32) {
        if send_budget.mark_dirty() {
            self.sockets.needs_poll.push(connection);
        }
    }

    /// The next stream that has ended; this frees its slot.
    pub(super) fn next_ended(&mut self) -> Option<EndedStream> {
        while let Some((slot, reason)) = self.shard.next_closed() {
            self.sockets.has_room_again(slot);
            if let Some(socket) = self.sockets.by_slot.get_mut(slot as usize).and_then(Option::take) {
                self.memory.release(MemoryKind::Subscriptions, socket.selector_bytes);
                self.sockets.by_dialect[socket.dialect as usize] -= 1;
                return Some(EndedStream { slot, reason, socket });
            }
        }
        None
    }
}
