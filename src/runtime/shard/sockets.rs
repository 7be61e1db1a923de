//! The sockets of the subscribers, by their slots: where the bytes of a stream go.

use crate::hub::shard::{Sent, Wire};
use crate::runtime::access::Access;
use crate::runtime::http2::{Flow, SubscriberStream};
use crate::runtime::quota::Place;
use crate::runtime::transport::Transport;

/// The sockets of the subscribers.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) by_slot: Vec<Option<Socket>>,
    /// Connections whose sockets were found full.
    pub(super) full: Vec<u32>,
    /// HTTP/2 connections whose streams were given something.
    pub(super) touched: Vec<u32>,
}

pub(super) struct Socket {
    pub(super) carrier: Carrier,
    pub(super) connection: u32,
    /// What the access log says of the stream.
    pub(super) access: Option<Box<Access>>,
    /// Its token, or its address behind a proxy, is counted for as long as it is here.
    pub(super) _place: Option<Box<Place>>,
}

/// What carries the bytes of a subscriber.
pub(super) enum Carrier {
    /// A socket of its own.
    Own(Transport),
    /// A stream of an HTTP/2 connection.
    Shared(Box<SubscriberStream>),
}

impl Wire for Sockets {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        let Some(Some(socket)) = self.by_slot.get_mut(slot as usize) else { return Sent::Gone };
        let sent = match &mut socket.carrier {
            Carrier::Own(transport) => {
                let sent = transport.send(bytes);
                if sent != Sent::Bytes(bytes.len()) && sent != Sent::Gone {
                    self.full.push(socket.connection);
                }
                sent
            }
            Carrier::Shared(stream) => {
                let sent = stream.send(slot, bytes);
                if stream.flow.touch() {
                    self.touched.push(socket.connection);
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
            Some(Some(Socket { carrier: Carrier::Shared(stream), .. })) => stream.has_room(slot),
            _ => true,
        }
    }
}

impl Sockets {
    pub(super) fn attach(&mut self, slot: u32, socket: Socket) {
        let place = slot as usize;
        if self.by_slot.len() <= place {
            self.by_slot.resize_with(place + 1, || None);
        }
        self.by_slot[place] = Some(socket);
    }

    /// A stream of this HTTP/2 connection was changed.
    pub(super) fn touch(&mut self, flow: &Flow, connection: u32) {
        if flow.touch() {
            self.touched.push(connection);
        }
    }

    pub(super) fn transport(&mut self, slot: u32) -> Option<&mut Transport> {
        match &mut self.by_slot.get_mut(slot as usize)?.as_mut()?.carrier {
            Carrier::Own(transport) => Some(transport),
            Carrier::Shared(_) => None,
        }
    }
}
