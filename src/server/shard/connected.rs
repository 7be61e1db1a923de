//! One connection of a shard: its state, its timer, and how its socket is watched.

use super::shared::Shared;
use crate::io::listener::leave_to_dispatch_timeout;
use crate::io::socket::Socket;
use crate::limits::{CONNECTION_BYTES, SOCKET_KERNEL_BYTES};
use crate::server::http1::Http1Conn;
use crate::server::http2::Http2Conn;
use crate::server::permits::ConnectionPermit;

/// One connection, and its key of the driver.
pub(super) struct Connected {
    pub(super) state: ConnState,
    /// Distinguishes connections that had the same number.
    pub(super) serial: u32,
    /// The socket was full once: the driver now also reports when it is writable.
    pub(super) awaits_writable: bool,
    /// It has work left and is in `ready_queue`.
    pub(super) is_queued: bool,
    /// Counts the connection while it is open.
    pub(super) _permit: ConnectionPermit,
}

/// What a connection is.
pub(super) enum ConnState {
    Http1(Box<Http1Conn>),
    /// It speaks HTTP/2: its requests and subscribers are HTTP/2 streams.
    Http2(Box<Http2Conn>),
    /// It is an event stream: the subscriber of this slot.
    Streaming(u32),
    /// It has ended, and is removed next.
    Closed,
}

/// A connection that can be ended when memory is needed.
pub(super) struct NotNeeded {
    /// See [`ConnState::is_ending`].
    pub(super) is_ending: bool,
    /// See [`ConnState::bytes_not_needed`].
    pub(super) bytes: usize,
    pub(super) serial: u32,
    pub(super) number: u32,
}

/// The key of a connection in the events of the driver.
pub(super) fn key_of(number: u32, serial: u32) -> u64 {
    u64::from(number) | u64::from(serial) << 32
}

impl ConnState {
    /// Whether it is in the middle of a long body.
    pub(super) fn is_bulk(&self) -> bool {
        match self {
            Self::Http1(conn) => conn.is_bulk(),
            Self::Http2(conn) => conn.is_bulk(),
            Self::Streaming(_) | Self::Closed => false,
        }
    }

    /// Whether it is closed soon: its last response was sent, or it is idle, but not for long, so
    /// that a request may be on its way.
    pub(super) fn is_ending(&self, now_ms: u64) -> bool {
        let Self::Http1(conn) = self else { return false };
        conn.is_lingering() || conn.is_idle() && !conn.is_quiet(now_ms)
    }

    /// The memory that would be free if it ended; `None` if it is in use.
    pub(super) fn bytes_not_needed(&self) -> Option<usize> {
        let idle_bytes = CONNECTION_BYTES + SOCKET_KERNEL_BYTES;
        match self {
            Self::Http1(conn) if conn.is_idle() || conn.is_lingering() => Some(idle_bytes),
            Self::Http1(conn) => conn.arriving_bytes().map(|bytes| idle_bytes + bytes),
            Self::Http2(conn) => conn.bytes_not_needed().map(|bytes| idle_bytes + bytes),
            Self::Streaming(_) | Self::Closed => None,
        }
    }

    /// When the timer wheel fires for it. A stream has its timer in the shard.
    pub(super) fn armed_ms(&mut self) -> Option<&mut u64> {
        match self {
            Self::Http1(conn) => Some(&mut conn.armed_ms),
            Self::Http2(conn) => Some(&mut conn.armed_ms),
            Self::Streaming(_) | Self::Closed => None,
        }
    }
}

impl Connected {
    /// Sets its timer to its next deadline.
    pub(super) fn arm(&mut self, number: u32, shared: &mut Shared) {
        let deadline_ms = match &self.state {
            ConnState::Http1(conn) => conn.deadline_ms(&shared.timeouts),
            ConnState::Http2(conn) => conn.deadline_ms(&shared.timeouts),
            ConnState::Streaming(_) | ConnState::Closed => return,
        };
        if let Some(armed_ms) = self.state.armed_ms() {
            let key = (number, self.serial);
            *armed_ms = shared.streams.shard.arm_caller_timer(deadline_ms, *armed_ms, key);
        }
    }

    /// Asks for an event when a full socket has room again; false if that is not possible.
    pub(super) fn is_watched(&mut self, number: u32, shared: &mut Shared) -> bool {
        let key = key_of(number, self.serial);
        let awaits_writable = &mut self.awaits_writable;
        let mut watch = |socket: &Socket| {
            if std::mem::replace(awaits_writable, true) {
                return true;
            }
            leave_to_dispatch_timeout(socket, shared.timeouts.write_ms);
            shared.driver.await_writable(socket, key).is_ok()
        };
        match &self.state {
            ConnState::Http1(conn) if conn.is_blocked() => watch(conn.transport.socket()),
            ConnState::Http2(conn) if conn.is_blocked() => conn.with_socket(watch),
            _ => true,
        }
    }
}
