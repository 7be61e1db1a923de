//! Accepting connections, and how a shard stops.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use tracing::{info, warn};

use super::{ConnState, Connected, ShardLoop, Stop, key_of};
use crate::api::handler::GateResponse;
use crate::io::listener::Accepted;
use crate::io::tls::Acceptor;
use crate::io::transport::Transport;
use crate::io::waker::ShardWaker;
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MS, DRAIN_GRACE_MS, HANDOVER_MS, UNFINISHED_AT_STOP_MS};
use crate::ops::sampler::Admitted;
use crate::server::http1::{FlushOutcome, Http1Conn, Waiting};
use crate::server::permits::{ConnectionPermit, LimitReached};

/// The key of the listener in the epoll set; connections have smaller ones.
pub(super) const LISTENER_KEY: u64 = u64::MAX;
/// The key of the waker.
pub(super) const WAKER_KEY: u64 = u64::MAX - 1;
/// The minimum time between two warnings, in milliseconds.
const WARN_EVERY_MS: u64 = 1_000;

/// Whether there are connections to accept.
#[derive(Default)]
pub(super) struct Accept {
    ready: bool,
    /// No descriptor was left: connections wait in the backlog until this moment.
    paused_until_ms: Option<u64>,
    /// A spare descriptor. Under a shortage it is closed to make room for one connection at a time,
    /// which gets a refusal.
    reserve: Option<OwnedFd>,
    warned_ms: Option<u64>,
    /// Number of times that accepting was paused.
    pauses: u64,
}

impl Accept {
    /// The listener has connections.
    pub(super) fn is_ready(&mut self) {
        self.ready = true;
    }

    pub(super) fn paused_until_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    /// Takes a spare descriptor, if there is none.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn keep_reserve(&mut self, waker: &ShardWaker) -> std::io::Result<()> {
        if self.reserve.is_none() {
            self.reserve = Some(waker.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    pub(super) fn pauses(&self) -> u64 {
        self.pauses
    }

    fn pause(&mut self, now_ms: u64, reason: &str) {
        self.pauses += 1;
        self.paused_until_ms = Some(now_ms + ACCEPT_PAUSE_MS);
        self.warn(now_ms, reason, "new connections wait");
    }

    fn warn(&mut self, now_ms: u64, reason: &str, what: &'static str) {
        if self.warned_ms.is_none_or(|at| now_ms >= at + WARN_EVERY_MS) {
            self.warned_ms = Some(now_ms);
            warn!(reason, "{what}");
        }
    }
}

impl ShardLoop {
    pub(super) fn listen(&mut self) -> std::io::Result<()> {
        self.poller.add(self.deps.waker.as_fd(), WAKER_KEY)?;
        let is_held = self.deps.listener.is_held();
        self.deps.listener.sockets.iter().try_for_each(|listener| match is_held {
            true => self.poller.add_shared(listener.as_fd(), LISTENER_KEY),
            false => self.poller.add(listener.as_fd(), LISTENER_KEY),
        })
    }

    /// Accepts waiting connections, up to a bound; returns whether there were any.
    pub(super) fn accept_some(&mut self) -> bool {
        if self.accept.paused_until_ms.is_some_and(|until| self.now.ms >= until) {
            self.accept.paused_until_ms = None;
        }
        let before = self.connections.len();
        for accepted in
            (0..ACCEPT_BATCH_MAX).map_while(|_| self.deps.listener.handed_off()).collect::<Vec<_>>()
        {
            self.admit(accepted);
        }
        if !self.accept.ready || self.accept.paused_until_ms.is_some() {
            return self.connections.len() > before;
        }
        // Take back the spare descriptors before a connection uses them.
        let kept = self.accept.keep_reserve(&self.deps.waker).and_then(|()| self.poller.keep_spare());
        if let Err(error) = kept {
            self.accept.pause(self.now.ms, &format!("no descriptor is left: {error}"));
            return self.connections.len() > before;
        }
        for _ in 0..ACCEPT_BATCH_MAX {
            match self.deps.listener.accept() {
                Ok(accepted) => accepted.into_iter().for_each(|accepted| self.admit(accepted)),
                Err(Errno::AGAIN) => {
                    self.accept.ready = false;
                    return self.connections.len() > before;
                }
                // The client left before it was accepted, or the call was interrupted.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error @ (Errno::MFILE | Errno::NFILE)) => {
                    if !self.turn_away(&format!("accept failed: {error}")) {
                        return false;
                    }
                }
                Err(error) => {
                    let reason = format!("accept failed: {error}");
                    self.accept.pause(self.now.ms, &reason);
                    return false;
                }
            }
        }
        true
    }

    /// Opens a connection, or refuses it.
    fn admit(&mut self, (socket, peer): Accepted) {
        self.deps.recorder.accepted();
        let permit = match self.deps.quotas.connect(peer.map(|peer| peer.ip())) {
            Ok(permit) => permit,
            Err(limit) => return self.refuse(socket, peer, limit),
        };
        match self.deps.tls.as_ref().map(Acceptor::session).transpose() {
            Ok(session) => {
                self.open(Http1Conn::new(Transport::new(socket, session), peer, self.now.ms), permit);
            }
            // The connection is closed; the next one may succeed.
            Err(error) => {
                if let Some(Admitted { left_out }) = self.samplers.sockets.admit(self.now.ms) {
                    warn!(%error, left_out, "a TLS session cannot be made");
                }
            }
        }
    }

    /// Refuses a connection at a limit, before reading from it. With TLS it is only closed: a
    /// handshake costs more than serving the connection.
    fn refuse(&mut self, socket: OwnedFd, peer: Option<SocketAddr>, limit: LimitReached) {
        if limit == LimitReached::Hub {
            self.accept.warn(self.now.ms, limit.setting(), "new connections are refused");
        }
        let context = self.deps.gate.context(None);
        let answer = match limit {
            LimitReached::Hub => self.deps.gate.full(limit.setting()),
            LimitReached::Address | LimitReached::Token => self.deps.gate.too_many(limit.setting(), context),
        };
        let permit = self.deps.quotas.refuse();
        if let Some(conn) = self.say(socket, peer, &answer)
            && let Some(permit) = permit
            && let Some(number) = self.open(conn, permit)
        {
            self.drive(number);
        }
    }

    /// Uses the spare descriptor to refuse one connection. False if accepting must pause.
    fn turn_away(&mut self, reason: &str) -> bool {
        drop(self.accept.reserve.take());
        let goes_on = match self.deps.listener.accept_here() {
            Ok((socket, peer)) => {
                self.deps.recorder.accepted();
                self.accept.warn(self.now.ms, reason, "new connections are refused");
                let answer = self.deps.gate.full(reason);
                // Close at once: lingering would need the descriptor.
                drop(self.say(socket, peer, &answer));
                true
            }
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => true,
            Err(_) => false,
        };
        if self.accept.keep_reserve(&self.deps.waker).is_err() || !goes_on {
            self.accept.pause(self.now.ms, reason);
            return false;
        }
        true
    }

    /// Writes a response to a connection that was not read, as far as its socket takes it; nothing
    /// with TLS.
    fn say(&mut self, socket: OwnedFd, peer: Option<SocketAddr>, answer: &GateResponse) -> Option<Http1Conn> {
        if self.deps.tls.is_some() {
            let unavailable = answer.refusal.as_ref().and_then(|refusal| refusal.unavailable);
            self.deps.recorder.refused(answer.response.status(), unavailable);
            return None;
        }
        let mut conn = Http1Conn::new(Transport::new(socket, None), peer, self.now.ms);
        self.give(&mut conn, answer);
        match conn.flush(self.now.ms) {
            FlushOutcome::All => conn.written(self.now.ms),
            FlushOutcome::Blocked | FlushOutcome::Gone => return None,
        }
        // With unread bytes, the kernel would send a reset, which can overtake the response.
        conn.receive(&mut self.read_buffer, self.now.ms);
        Some(conn)
    }

    fn open(&mut self, mut conn: Http1Conn, permit: ConnectionPermit) -> Option<u32> {
        conn.is_late = self.stop != Stop::No;
        let serial = self.serial();
        let entry = self.connections.vacant_entry();
        let number = entry.key() as u32;
        if let Err(error) = self.poller.add(conn.transport.as_fd(), key_of(number, serial)) {
            self.accept.pause(self.now.ms, &format!("epoll refuses a socket: {error}"));
            return None;
        }
        // A request that has already arrived is an event of the next round; that is cheaper than
        // trying to read now.
        let deadline_ms = conn.deadline_ms(&self.deps.timeouts);
        conn.armed_ms = self.wheel.arm(deadline_ms, conn.armed_ms, (number, serial));
        let state = ConnState::Http1(Box::new(conn));
        entry.insert(Connected { state, serial, awaits_writable: false, is_queued: false, _permit: permit });
        Some(number)
    }

    /// Advances the stop; true when the shard has nothing left to do.
    pub(super) fn advance_stop(&mut self) -> bool {
        match self.stop {
            Stop::No => {
                if self.deps.stopping.load(std::sync::atomic::Ordering::SeqCst) {
                    self.begin_stop();
                }
            }
            Stop::HandingOver { until_ms } => {
                if self.now.ms >= until_ms {
                    self.finish();
                }
            }
            Stop::Finishing { until_ms } => {
                if self.now.ms >= until_ms {
                    warn!(shard = self.deps.number, "the stop takes too long; closing what is open");
                    return true;
                }
            }
            Stop::Draining { until_ms } => {
                if self.now.ms >= until_ms {
                    self.deps.shard.close_all();
                    self.close_ended();
                    return true;
                }
                if self.deps.shard.is_empty() {
                    self.deps.listener.sockets.clear();
                    self.close_idle();
                    return self.connections.is_empty();
                }
            }
        }
        if self.stop.dismisses()
            && self.commits_under_way == 0
            && !self.awaits_bodies()
            && self.has_settled_ends()
        {
            // When the last shard drops its queue, the sequencer ends; its last entry says that no
            // further update comes.
            self.deps.queue = None;
        }
        false
    }

    /// Whether work in progress still has time to finish: `DRAIN_TIMEOUT`, but at least
    /// `UNFINISHED_AT_STOP_MS`.
    fn is_patient(&self) -> bool {
        let Stop::Finishing { until_ms } = self.stop else { return false };
        let since_ms = until_ms - self.deps.drain_ms - DRAIN_GRACE_MS;
        self.now.ms < since_ms + UNFINISHED_AT_STOP_MS.max(self.deps.drain_ms)
    }

    /// Whether publications that began before the stop are still arriving.
    fn awaits_bodies(&self) -> bool {
        self.is_patient()
            && self.connections.iter().any(|(_, connected)| match &connected.state {
                ConnState::Http1(conn) => matches!(conn.waiting, Waiting::Body(_)),
                ConnState::Http2(conn) => conn.awaits_bodies(),
                ConnState::Streaming(_) | ConnState::Taken => false,
            })
    }

    /// Whether the end events of all subscriptions are published, or their time is over.
    fn has_settled_ends(&mut self) -> bool {
        let is_late = !self.is_patient();
        self.subscriptions_are_settled(is_late)
    }

    /// Begins to stop. Our own socket stays open to the end of the drain, so that new clients get a
    /// refusal and can go elsewhere. A held socket is left at once: new connections wait there for
    /// the next hub.
    fn begin_stop(&mut self) {
        if !self.deps.listener.is_held() {
            return self.finish();
        }
        self.deps.listener.sockets.clear();
        self.deps.gate.begin_leave();
        self.stop = Stop::HandingOver { until_ms: self.now.ms + HANDOVER_MS };
        self.dismiss_http2();
    }

    fn finish(&mut self) {
        self.deps.gate.begin_drain();
        self.end_subscriptions();
        let until_ms = self.now.ms + self.deps.drain_ms + DRAIN_GRACE_MS;
        self.stop = Stop::Finishing { until_ms };
        self.dismiss_idle();
        self.dismiss_http2();
    }

    /// The ring has ended: every acknowledged update is in the outboxes.
    pub(super) fn begin_drain(&mut self) {
        let count = self.deps.shard.len();
        if count > 0 {
            info!(shard = self.deps.number, streams = count, "ending streams");
        }
        self.deps.shard.begin_drain(self.deps.drain_ms, self.now);
        self.stop = Stop::Draining { until_ms: self.now.ms + self.deps.drain_ms + DRAIN_GRACE_MS };
    }

    /// Queues idle connections to be closed; requests that have arrived but were not read get a
    /// response first.
    fn dismiss_idle(&mut self) {
        let idle = |(number, connected): (usize, &mut Connected)| match &mut connected.state {
            ConnState::Http1(conn) if conn.is_idle() => {
                conn.is_drained = false;
                Some(number as u32)
            }
            _ => None,
        };
        let numbers: Vec<u32> = self.connections.iter_mut().filter_map(idle).collect();
        numbers.into_iter().for_each(|number| self.enqueue(number));
    }

    fn close_idle(&mut self) {
        // At the end, do not wait for late connections that have sent nothing.
        let ends = self.deps.listener.sockets.is_empty() && matches!(self.stop, Stop::Draining { .. });
        self.connections.retain(|_, connected| match &mut connected.state {
            ConnState::Http1(conn) if conn.is_idle() || (ends && conn.is_silent()) => {
                conn.transport.part();
                false
            }
            _ => true,
        });
    }
}

impl Stop {
    /// Whether nothing new may begin.
    pub(super) fn dismisses(self) -> bool {
        matches!(self, Self::Finishing { .. } | Self::Draining { .. })
    }

    pub(super) fn until_ms(self) -> Option<u64> {
        match self {
            Self::No => None,
            Self::HandingOver { until_ms } | Self::Finishing { until_ms } | Self::Draining { until_ms } => {
                Some(until_ms)
            }
        }
    }
}
