//! The sockets of the subscribers, by slot: they take the bytes of the streams.

use crate::io::transport::Transport;
use crate::ops::access_log::Access;
use crate::server::http2::{SendBudget, SubscriberStream};
use crate::server::permits::SubscriptionPermit;
use crate::sse::wire::{Sent, Wire};

/// The sockets of the subscribers.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) by_slot: Vec<Option<Socket>>,
    /// Connections whose sockets were found full.
    pub(super) full: Vec<u32>,
    /// HTTP/2 connections whose streams were written to.
    pub(super) needs_poll: Vec<u32>,
}

pub(super) struct Socket {
    pub(super) transport: StreamTransport,
    pub(super) connection: u32,
    /// The stream's access log entry.
    pub(super) access: Option<Box<Access>>,
    /// Counts its token, or its address behind a proxy, while the stream lasts.
    pub(super) _permit: Option<Box<SubscriptionPermit>>,
}

/// Carries the bytes of a subscriber.
pub(super) enum StreamTransport {
    /// Its own socket.
    Own(Transport),
    /// A stream of an HTTP/2 connection.
    Shared(Box<SubscriberStream>),
}

impl Wire for Sockets {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        let Some(Some(socket)) = self.by_slot.get_mut(slot as usize) else { return Sent::Gone };
        let sent = match &mut socket.transport {
            StreamTransport::Own(transport) => {
                let sent = transport.send(bytes);
                if sent != Sent::Bytes(bytes.len()) && sent != Sent::Gone {
                    self.full.push(socket.connection);
                }
                sent
            }
            StreamTransport::Shared(stream) => {
                let sent = stream.send(slot, bytes);
                if stream.send_budget.mark_dirty() {
                    self.needs_poll.push(socket.connection);
                }
                sent
            }
        };
        if let (Some(access), Sent::Bytes(count) | Sent::Held(count)) = (&mut socket.access, sent) {
            access.add(count);
        }
        sent
    }

    fn has_room(&mut self, slot: u32) -> bool {
        match self.by_slot.get_mut(slot as usize) {
            Some(Some(Socket { transport: StreamTransport::Shared(stream), .. })) => stream.has_room(slot),
            _ => true,
        }
    }
}

impl Sockets {
    pub(super) fn attach(&mut self, slot: u32, socket: Socket) {
        let index = slot as usize;
        if self.by_slot.len() <= index {
            self.by_slot.resize_with(index + 1, || None);
        }
        self.by_slot[index] = Some(socket);
    }

    /// Notes that a stream of this HTTP/2 connection was changed.
    pub(super) fn mark_for_poll(&mut self, send_budget: &SendBudget, connection: u32) {
        if send_budget.mark_dirty() {
            self.needs_poll.push(connection);
        }
    }

    pub(super) fn transport(&mut self, slot: u32) -> Option<&mut Transport> {
        match &mut self.by_slot.get_mut(slot as usize)?.as_mut()?.transport {
            StreamTransport::Own(transport) => Some(transport),
            StreamTransport::Shared(_) => None,
        }
    }
}
