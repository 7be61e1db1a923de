//! Accepting connections, and how a shard stops.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use tracing::{info, warn};

use super::{Connected, ShardLoop, Stage, Stop, key_of};
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MS, DRAIN_GRACE_MS};
use crate::runtime::connection::Requesting;
use crate::runtime::sample::Admitted;
use crate::runtime::tls::Acceptor;
use crate::runtime::transport::Transport;

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
    warned_ms: Option<u64>,
}

impl Accept {
    /// The listener has connections.
    pub(super) fn is_ready(&mut self) {
        self.ready = true;
    }

    pub(super) fn paused_until_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    fn pause(&mut self, now_ms: u64, reason: &str) {
        self.paused_until_ms = Some(now_ms + ACCEPT_PAUSE_MS);
        if self.warned_ms.is_none_or(|at| now_ms >= at + WARN_EVERY_MS) {
            self.warned_ms = Some(now_ms);
            warn!(reason, "new connections wait");
        }
    }
}

impl ShardLoop {
    pub(super) fn listen(&mut self) -> std::io::Result<()> {
        self.readiness.add(self.parts.bell.as_fd(), BELL_KEY)?;
        match &self.parts.listener {
            Some(listener) => self.readiness.add(listener.as_fd(), LISTENER_KEY),
            None => Ok(()),
        }
    }

    /// Accepts what is waiting, up to a bound; answers whether anything was, whose requests are then looked for.
    pub(super) fn accept_some(&mut self) -> bool {
        if self.accept.paused_until_ms.is_some_and(|until| self.now.ms >= until) {
            self.accept.paused_until_ms = None;
        }
        if !self.accept.ready || self.accept.paused_until_ms.is_some() {
            return false;
        }
        let before = self.connections.len();
        for _ in 0..ACCEPT_BATCH_MAX {
            let Some(listener) = &self.parts.listener else { return false };
            if self.connections.len() >= self.parts.connections_max {
                self.accept.pause(self.now.ms, "MAX_CONNECTIONS is reached");
                return false;
            }
            match acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    match self.parts.tls.as_ref().map(Acceptor::session).transpose() {
                        Ok(session) => {
                            self.open(Requesting::new(Transport::new(socket, session), peer, self.now.ms));
                        }
                        // It is closed; the next one may fare better.
                        Err(error) => {
                            if let Some(Admitted { left_out }) = self.samplers.sockets.admit(self.now.ms) {
                                warn!(%error, left_out, "a TLS session cannot be made");
                            }
                        }
                    }
                }
                Err(Errno::AGAIN) => {
                    self.accept.ready = false;
                    return self.connections.len() > before;
                }
                // The client left before it was accepted, or the call was interrupted.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error) => {
                    let reason = format!("accept failed: {error}");
                    self.accept.pause(self.now.ms, &reason);
                    return false;
                }
            }
        }
        true
    }

    fn open(&mut self, mut requesting: Requesting) {
        let serial = self.serial();
        let entry = self.connections.vacant_entry();
        let number = entry.key() as u32;
        if let Err(error) = self.readiness.add(requesting.transport.as_fd(), key_of(number, serial)) {
            return self.accept.pause(self.now.ms, &format!("epoll refuses a socket: {error}"));
        }
        // A request that is here already is an event of the next round, which is cheaper than to look in vain.
        let deadline_ms = requesting.deadline_ms(&self.parts.timeouts);
        requesting.armed_ms = self.wheel.arm(deadline_ms, requesting.armed_ms, (number, serial));
        let stage = Stage::Requesting(Box::new(requesting));
        entry.insert(Connected { stage, serial, awaits_writable: false, has_turn: false });
    }

    /// The stop, step by step; true when the shard has nothing left to do.
    pub(super) fn advance_stop(&mut self) -> bool {
        match self.stop {
            Stop::No => {
                if self.parts.stopping.load(std::sync::atomic::Ordering::SeqCst) {
                    self.begin_stop();
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
                    self.close_idle();
                    return self.connections.is_empty();
                }
            }
        }
        if self.stop != Stop::No && self.commits_under_way == 0 {
            // The last of these to go ends the sequencer, whose last entry says that no update comes any more.
            self.parts.queue = None;
        }
        false
    }

    fn begin_stop(&mut self) {
        self.parts.listener = None;
        self.parts.gate.begin_drain();
        let until_ms = self.now.ms + self.parts.drain_ms + DRAIN_GRACE_MS;
        self.stop = Stop::Finishing { until_ms };
        self.close_idle();
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

    fn close_idle(&mut self) {
        self.connections.retain(|_, connected| match &mut connected.stage {
            Stage::Requesting(requesting) if requesting.is_idle() => {
                requesting.transport.part();
                false
            }
            _ => true,
        });
    }
}

impl Stop {
    pub(super) fn until_ms(self) -> Option<u64> {
        match self {
            Self::No => None,
            Self::Finishing { until_ms } | Self::Draining { until_ms } => Some(until_ms),
        }
    }
}
