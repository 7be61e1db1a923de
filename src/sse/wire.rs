//! The layer between streams and sockets, which reports the result of each send.

/// Where streams are written: the sockets, or a simulation of them.
pub trait Wire {
    /// Sends bytes to the subscriber's socket, without waiting.
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent;

    /// Whether a send would take any bytes; asked before the bytes are gathered. False is returned
    /// where a send would return [`Sent::Full`], and has the same meaning; true promises nothing.
    fn has_room(&mut self, _slot: u32) -> bool {
        true
    }

    /// Whether a send to this subscriber's socket is collected first, and made by
    /// [`Self::send_all`] together with others.
    fn collects(&mut self, _slot: u32) -> bool {
        false
    }

    /// Makes collected sends, at most one for each subscriber. Appends the result of each to
    /// `results`, in the order of the offers.
    fn send_all(&mut self, offers: &[Offer<'_>], results: &mut Vec<Sent>) {
        results.extend(offers.iter().map(|offer| self.send(offer.slot, offer.bytes)));
    }
}

/// Bytes for the socket of one subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'b> {
    /// The subscriber.
    pub slot: u32,
    /// At least one byte.
    pub bytes: &'b [u8],
}

/// The result of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes were taken. Fewer than offered means that the socket is full now, as with
    /// [`Sent::Full`]: in both cases the sender must be told when it takes bytes again.
    Bytes(usize),
    /// This many bytes were taken, perhaps all that were offered, but some are held before the full
    /// socket: the sender must be told when none are held any more.
    Held(usize),
    /// None was taken.
    Full,
    /// The peer is gone.
    Gone,
}
