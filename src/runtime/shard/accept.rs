//! Accepting connections, and how a shard stops.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use tracing::{info, warn};

use super::{Connected, ShardLoop, Stage, Stop, key_of};
use crate::hub::gate::Answer;
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MS, DRAIN_GRACE_MS, HANDOVER_MS, UNFINISHED_AT_STOP_MS};
use crate::runtime::connection::{Flushed, Requesting, Waiting};
use crate::runtime::listener::Accepted;
use crate::runtime::quota::{Full, Seat};
use crate::runtime::sample::Admitted;
use crate::runtime::tls::Acceptor;
use crate::runtime::transport::Transport;
use crate::runtime::wake::Bell;

/// The key of the listener in the epoll set; connections have smaller ones.
pub(super) const LISTENER_KEY: u64 = u64::MAX;
/// The key of the bell.
pub(super) const BELL_KEY: u64 = u64::MAX - 1;
/// How often the want of descriptors is logged, in milliseconds.
const WARN_EVERY_MS: u64 = 1_000;

/// Whether there are connections to accept.
#[derive(Default)]
pub(super) struct Accept {
    ready: bool,
    /// No descriptor was left: connections wait in the backlog until this moment.
    paused_until_ms: Option<u64>,
    /// A descriptor that stands for none: closed, it makes room to tell one client after the other that there is none.
    reserve: Option<OwnedFd>,
    warned_ms: Option<u64>,
    /// How often connections had to wait.
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

    /// Takes a descriptor in reserve, if there is none.
    ///
    /// # Errors
    /// There is none to take.
    pub(super) fn keep_reserve(&mut self, bell: &Bell) -> std::io::Result<()> {
        if self.reserve.is_none() {
            self.reserve = Some(bell.as_fd().try_clone_to_owned()?);
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
        self.readiness.add(self.parts.bell.as_fd(), BELL_KEY)?;
        let is_held = self.parts.entrance.is_held();
        self.parts.entrance.sockets.iter().try_for_each(|listener| match is_held {
            true => self.readiness.add_shared(listener.as_fd(), LISTENER_KEY),
            false => self.readiness.add(listener.as_fd(), LISTENER_KEY),
        })
    }

    /// Accepts what is waiting, up to a bound; answers whether anything was, whose requests are then looked for.
    pub(super) fn accept_some(&mut self) -> bool {
        if self.accept.paused_until_ms.is_some_and(|until| self.now.ms >= until) {
            self.accept.paused_until_ms = None;
        }
        let before = self.connections.len();
        for accepted in (0..ACCEPT_BATCH_MAX).map_while(|_| self.parts.entrance.dealt()).collect::<Vec<_>>() {
            self.admit(accepted);
        }
        if !self.accept.ready || self.accept.paused_until_ms.is_some() {
            return self.connections.len() > before;
        }
        // What was given away for a moment is taken back before a connection gets it.
        let kept = self.accept.keep_reserve(&self.parts.bell).and_then(|()| self.readiness.keep_spare());
        if let Err(error) = kept {
            self.accept.pause(self.now.ms, &format!("no descriptor is left: {error}"));
            return self.connections.len() > before;
        }
        for _ in 0..ACCEPT_BATCH_MAX {
            match self.parts.entrance.accept() {
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

    /// Takes a connection in, or tells it why not.
    fn admit(&mut self, (socket, peer): Accepted) {
        self.parts.meters.accepted();
        let seat = match self.parts.quotas.connect(peer.map(|peer| peer.ip())) {
            Ok(seat) => seat,
            Err(full) => return self.refuse(socket, peer, full),
        };
        match self.parts.tls.as_ref().map(Acceptor::session).transpose() {
            Ok(session) => {
                self.open(Requesting::new(Transport::new(socket, session), peer, self.now.ms), seat);
            }
            // It is closed; the next one may fare better.
            Err(error) => {
                if let Some(Admitted { left_out }) = self.samplers.sockets.admit(self.now.ms) {
                    warn!(%error, left_out, "a TLS session cannot be made");
                }
            }
        }
    }

    /// Tells a connection that there is no place for it, before it has said anything. With TLS it is closed: a handshake costs
    /// more than a place, and whoever is full has neither.
    fn refuse(&mut self, socket: OwnedFd, peer: Option<SocketAddr>, full: Full) {
        if full == Full::Hub {
            self.accept.warn(self.now.ms, full.setting(), "new connections are refused");
        }
        let passage = self.parts.gate.passage(None);
        let answer = match full {
            Full::Hub => self.parts.gate.full(full.setting()),
            Full::Address | Full::Token => self.parts.gate.too_many(full.setting(), passage),
        };
        let seat = self.parts.quotas.refuse();
        if let Some(requesting) = self.say(socket, peer, &answer)
            && let Some(seat) = seat
            && let Some(number) = self.open(requesting, seat)
        {
            self.drive(number);
        }
    }

    /// No descriptor is left but the one in reserve: with it, a connection is told so. False when accepting has to pause.
    fn turn_away(&mut self, reason: &str) -> bool {
        drop(self.accept.reserve.take());
        let goes_on = match self.parts.entrance.accept_here() {
            Ok((socket, peer)) => {
                self.parts.meters.accepted();
                self.accept.warn(self.now.ms, reason, "new connections are refused");
                let answer = self.parts.gate.full(reason);
                // Closed at once: to be read for a while it would need the descriptor.
                drop(self.say(socket, peer, &answer));
                true
            }
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => true,
            Err(_) => false,
        };
        if self.accept.keep_reserve(&self.parts.bell).is_err() || !goes_on {
            self.accept.pause(self.now.ms, reason);
            return false;
        }
        true
    }

    /// Writes an answer to a connection that has not been read, as far as its socket takes it; nothing with TLS.
    fn say(&mut self, socket: OwnedFd, peer: Option<SocketAddr>, answer: &Answer) -> Option<Requesting> {
        if self.parts.tls.is_some() {
            let lack = answer.reason.as_ref().and_then(|reason| reason.lack);
            self.parts.meters.refused(answer.response.status(), lack);
            return None;
        }
        let mut requesting = Requesting::new(Transport::new(socket, None), peer, self.now.ms);
        self.give(&mut requesting, answer);
        match requesting.flush(self.now.ms) {
            Flushed::All => requesting.written(self.now.ms),
            Flushed::Blocked | Flushed::Gone => return None,
        }
        // With bytes unread, the kernel would answer the end with a reset, which can overtake the answer.
        requesting.receive(&mut self.read_buffer, self.now.ms);
        Some(requesting)
    }

    fn open(&mut self, mut requesting: Requesting, seat: Seat) -> Option<u32> {
        requesting.is_late = self.stop != Stop::No;
        let serial = self.serial();
        let entry = self.connections.vacant_entry();
        let number = entry.key() as u32;
        if let Err(error) = self.readiness.add(requesting.transport.as_fd(), key_of(number, serial)) {
            self.accept.pause(self.now.ms, &format!("epoll refuses a socket: {error}"));
            return None;
        }
        // A request that is here already is an event of the next round, which is cheaper than to look in vain.
        let deadline_ms = requesting.deadline_ms(&self.parts.timeouts);
        requesting.armed_ms = self.wheel.arm(deadline_ms, requesting.armed_ms, (number, serial));
        let stage = Stage::Requesting(Box::new(requesting));
        entry.insert(Connected { stage, serial, awaits_writable: false, has_turn: false, _seat: seat });
        Some(number)
    }

    /// The stop, step by step; true when the shard has nothing left to do.
    pub(super) fn advance_stop(&mut self) -> bool {
        match self.stop {
            Stop::No => {
                if self.parts.stopping.load(std::sync::atomic::Ordering::SeqCst) {
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
                    warn!(shard = self.parts.number, "the stop takes too long; closing what is open");
                    return true;
                }
            }
            Stop::Draining { until_ms } => {
                if self.now.ms >= until_ms {
                    self.parts.shard.close_all();
                    self.close_ended();
                    return true;
                }
                if self.parts.shard.is_empty() {
                    self.parts.entrance.sockets.clear();
                    self.close_idle();
                    return self.connections.is_empty();
                }
            }
        }
        if self.stop.dismisses() && self.commits_under_way == 0 && !self.awaits_bodies() && self.has_told() {
            // The last of these to go ends the sequencer, whose last entry says that no update comes any more.
            self.parts.queue = None;
        }
        false
    }

    /// Whether what is under way, and can be, still has its time: `DRAIN_TIMEOUT`, or a little when that is less.
    fn is_patient(&self) -> bool {
        let Stop::Finishing { until_ms } = self.stop else { return false };
        let since_ms = until_ms - self.parts.drain_ms - DRAIN_GRACE_MS;
        self.now.ms < since_ms + UNFINISHED_AT_STOP_MS.max(self.parts.drain_ms)
    }

    /// Whether publications are coming in that began before the stop.
    fn awaits_bodies(&self) -> bool {
        self.is_patient()
            && self.connections.iter().any(|(_, connected)| match &connected.stage {
                Stage::Requesting(requesting) => matches!(requesting.waiting, Waiting::Body(_)),
                Stage::Multiplexed(multiplexed) => multiplexed.awaits_bodies(),
                Stage::Streaming(_) | Stage::Taken => false,
            })
    }

    /// Whether every subscription that ends with the hub is told of, or there was no time for it.
    fn has_told(&mut self) -> bool {
        let is_late = !self.is_patient();
        self.subscriptions_are_told(is_late)
    }

    /// A socket of our own stays open to the end of the drain, so that whoever comes is told to go elsewhere. One that somebody
    /// else holds is left at once: what comes waits there for the next hub.
    fn begin_stop(&mut self) {
        if !self.parts.entrance.is_held() {
            return self.finish();
        }
        self.parts.entrance.sockets.clear();
        self.parts.gate.begin_leave();
        self.stop = Stop::HandingOver { until_ms: self.now.ms + HANDOVER_MS };
        self.dismiss_multiplexed();
    }

    fn finish(&mut self) {
        self.parts.gate.begin_drain();
        self.end_subscriptions();
        let until_ms = self.now.ms + self.parts.drain_ms + DRAIN_GRACE_MS;
        self.stop = Stop::Finishing { until_ms };
        self.dismiss_idle();
        self.dismiss_multiplexed();
    }

    /// The ring has ended: every acknowledged update is in the outboxes.
    pub(super) fn begin_drain(&mut self) {
        let count = self.parts.shard.len();
        if count > 0 {
            info!(shard = self.parts.number, streams = count, "ending streams");
        }
        self.parts.shard.begin_drain(self.parts.drain_ms, self.now);
        self.stop = Stop::Draining { until_ms: self.now.ms + self.parts.drain_ms + DRAIN_GRACE_MS };
    }

    /// Who is asking nothing is closed; but what was sent, and not looked at yet, is answered first.
    fn dismiss_idle(&mut self) {
        let idle = |(number, connected): (usize, &mut Connected)| match &mut connected.stage {
            Stage::Requesting(requesting) if requesting.is_idle() => {
                requesting.is_drained = false;
                Some(number as u32)
            }
            _ => None,
        };
        let numbers: Vec<u32> = self.connections.iter_mut().filter_map(idle).collect();
        numbers.into_iter().for_each(|number| self.queue_turn(number));
    }

    fn close_idle(&mut self) {
        // At the end nobody is waited for who came late and says nothing.
        let ends = self.parts.entrance.sockets.is_empty() && matches!(self.stop, Stop::Draining { .. });
        self.connections.retain(|_, connected| match &mut connected.stage {
            Stage::Requesting(requesting) if requesting.is_idle() || (ends && requesting.is_silent()) => {
                requesting.transport.part();
                false
            }
            _ => true,
        });
    }
}

impl Stop {
    /// Nothing new begins any more.
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
