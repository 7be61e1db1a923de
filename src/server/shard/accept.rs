//! Accepting connections, and refusing them at a limit.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use tracing::warn;

use super::connections::Connections;
use super::h1;
use super::shared::Shared;
use crate::api::handler::ApiResponse;
use crate::io::driver::Driver;
use crate::io::listener::{Accepted, Listener};
use crate::io::socket::Socket;
use crate::io::tls::Acceptor;
use crate::io::transport::Transport;
use crate::io::waker::ShardWaker;
use crate::limits::{ACCEPT_BATCH_MAX, ACCEPT_PAUSE_MS};
use crate::ops::sampler::Admitted;
use crate::server::http1::{FlushOutcome, Http1Conn};
use crate::server::memory::Pressure;
use crate::server::permits::{ConnectionPermit, LimitReached};

/// The key of the listener in the events of the driver; connections have smaller ones.
pub(super) const LISTENER_KEY: u64 = u64::MAX;
/// The key of the waker.
pub(super) const WAKER_KEY: u64 = u64::MAX - 1;
/// The minimum time between two warnings, in milliseconds.
const WARN_EVERY_MS: u64 = 1_000;

/// Accepts the connections of a shard.
pub(super) struct Accept {
    listener: Listener,
    /// Makes TLS sessions; `None` without TLS.
    tls: Option<Acceptor>,
    waker: Arc<ShardWaker>,
    /// The listener has connections.
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
    /// Begins to listen.
    ///
    /// # Errors
    /// No descriptor is left, or the driver cannot watch the listener.
    pub(super) fn new(
        listener: Listener,
        tls: Option<Acceptor>,
        waker: Arc<ShardWaker>,
        driver: &mut dyn Driver,
    ) -> std::io::Result<Self> {
        driver.add_waker(&waker, WAKER_KEY)?;
        let is_held = listener.is_held();
        listener.sockets.iter().try_for_each(|socket| match is_held {
            true => driver.add_shared(socket, LISTENER_KEY),
            false => driver.add(socket, LISTENER_KEY),
        })?;
        let mut this = Self {
            listener,
            tls,
            waker,
            ready: false,
            paused_until_ms: None,
            reserve: None,
            warned_ms: None,
            pauses: 0,
        };
        this.keep_reserve()?;
        Ok(this)
    }

    /// The listener has connections.
    pub(super) fn is_ready(&mut self) {
        self.ready = true;
    }

    /// Whether connections may wait that no further event announces.
    pub(super) fn has_rest(&self) -> bool {
        self.ready && self.paused_until_ms.is_none()
    }

    pub(super) fn paused_until_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    /// Number of times that accepting was paused.
    pub(super) fn pauses(&self) -> u64 {
        self.pauses
    }

    /// Whether another shard handed connections to this one.
    pub(super) fn has_handed_off(&self) -> bool {
        self.listener.has_handed_off()
    }

    /// Whether a service manager holds the sockets, so that they outlive the hub.
    pub(super) fn is_held(&self) -> bool {
        self.listener.is_held()
    }

    /// Whether its connections use TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Closes the sockets.
    pub(super) fn close(&mut self) {
        self.listener.sockets.clear();
    }

    /// Accepts waiting connections, up to a bound; returns whether there were any.
    pub(super) fn accept_some(&mut self, connections: &mut Connections, shared: &mut Shared) -> bool {
        if self.paused_until_ms.is_some_and(|until| shared.now.ms >= until) {
            self.paused_until_ms = None;
        }
        let before = connections.len();
        for accepted in (0..ACCEPT_BATCH_MAX).map_while(|_| self.listener.handed_off()).collect::<Vec<_>>() {
            self.admit(accepted, connections, shared);
        }
        if !self.ready || self.paused_until_ms.is_some() {
            return connections.len() > before;
        }
        // Take back the spare descriptor before a connection uses it.
        if let Err(error) = self.keep_reserve() {
            self.pause(shared.now.ms, &format!("no descriptor is left: {error}"));
            return connections.len() > before;
        }
        for _ in 0..ACCEPT_BATCH_MAX {
            match self.listener.accept() {
                Ok(accepted) => {
                    accepted.into_iter().for_each(|accepted| self.admit(accepted, connections, shared));
                }
                Err(Errno::AGAIN) => {
                    self.ready = false;
                    return connections.len() > before;
                }
                // The client left before it was accepted, or the call was interrupted.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(error @ (Errno::MFILE | Errno::NFILE)) => {
                    if !self.turn_away(&format!("accept failed: {error}"), shared) {
                        return false;
                    }
                }
                Err(error) => {
                    self.pause(shared.now.ms, &format!("accept failed: {error}"));
                    return false;
                }
            }
        }
        true
    }

    /// Opens a connection, or refuses it.
    fn admit(&mut self, (socket, peer): Accepted, connections: &mut Connections, shared: &mut Shared) {
        shared.log.recorder.accepted();
        let permit = match shared.quotas.connect(peer.map(|peer| peer.ip())) {
            Ok(_) if shared.memory.pressure() == Pressure::Sheds => {
                return self.refuse(socket, peer, LimitReached::Memory, connections, shared);
            }
            Ok(permit) => permit,
            Err(limit) => return self.refuse(socket, peer, limit, connections, shared),
        };
        match self.tls.as_ref().map(Acceptor::session).transpose() {
            Ok(session) => {
                let conn = Http1Conn::new(Transport::new(socket, session), peer, shared.now.ms);
                self.open(conn, permit, connections, shared);
            }
            // The connection is closed; the next one may succeed.
            Err(error) => {
                if let Some(Admitted { left_out }) = shared.log.samplers.sockets.admit(shared.now.ms) {
                    warn!(%error, left_out, "a TLS session cannot be made");
                }
            }
        }
    }

    fn open(
        &mut self,
        mut conn: Http1Conn,
        permit: ConnectionPermit,
        connections: &mut Connections,
        shared: &mut Shared,
    ) -> Option<u32> {
        conn.is_late = !shared.shutdown.is_serving();
        match connections.open(conn, permit, shared) {
            Ok(number) => Some(number),
            Err(error) => {
                self.pause(shared.now.ms, &format!("epoll refuses a socket: {error}"));
                None
            }
        }
    }

    /// Refuses a connection at a limit, before reading from it. With TLS it is only closed: a
    /// handshake costs more than serving the connection.
    fn refuse(
        &mut self,
        socket: Socket,
        peer: Option<SocketAddr>,
        limit: LimitReached,
        connections: &mut Connections,
        shared: &mut Shared,
    ) {
        if matches!(limit, LimitReached::Hub | LimitReached::Memory) {
            self.warn(shared.now.ms, limit.setting(), "new connections are refused");
        }
        let context = shared.handler.context(None);
        let response = match limit {
            LimitReached::Hub => shared.handler.at_connection_limit(limit.setting()),
            LimitReached::Memory => shared.handler.out_of_memory(limit.setting(), context),
            LimitReached::Address | LimitReached::Token => shared.handler.too_many(limit.setting(), context),
        };
        let permit = shared.quotas.refuse();
        if let Some(conn) = self.say(socket, peer, &response, shared)
            && let Some(permit) = permit
            && let Some(number) = self.open(conn, permit, connections, shared)
        {
            connections.drive(number, shared);
        }
    }

    /// Uses the spare descriptor to refuse one connection. False if accepting must pause.
    fn turn_away(&mut self, reason: &str, shared: &mut Shared) -> bool {
        drop(self.reserve.take());
        let goes_on = match self.listener.accept_here() {
            Ok((socket, peer)) => {
                shared.log.recorder.accepted();
                self.warn(shared.now.ms, reason, "new connections are refused");
                let response = shared.handler.at_connection_limit(reason);
                // Close at once: lingering would need the descriptor.
                drop(self.say(socket, peer, &response, shared));
                true
            }
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => true,
            Err(_) => false,
        };
        if self.keep_reserve().is_err() || !goes_on {
            self.pause(shared.now.ms, reason);
            return false;
        }
        true
    }

    /// Writes a response to a connection that was not read, as far as its socket takes it; nothing
    /// with TLS.
    fn say(
        &self,
        socket: Socket,
        peer: Option<SocketAddr>,
        response: &ApiResponse,
        shared: &mut Shared,
    ) -> Option<Http1Conn> {
        if self.tls.is_some() {
            let unavailable = response.refusal.as_ref().and_then(|refusal| refusal.unavailable);
            shared.log.recorder.refused(response.response.status(), unavailable);
            return None;
        }
        let now_ms = shared.now.ms;
        let mut conn = Http1Conn::new(Transport::new(socket, None), peer, now_ms);
        h1::respond(&mut conn, shared, response);
        match conn.flush(now_ms) {
            FlushOutcome::All => conn.written(now_ms),
            FlushOutcome::Blocked | FlushOutcome::Gone => return None,
        }
        // With unread bytes, the kernel would send a reset, which can overtake the response.
        conn.receive(&mut shared.read_buffer, now_ms);
        Some(conn)
    }

    /// Takes a spare descriptor, if there is none.
    fn keep_reserve(&mut self) -> std::io::Result<()> {
        if self.reserve.is_none() {
            self.reserve = Some(self.waker.as_fd().try_clone_to_owned()?);
        }
        Ok(())
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
