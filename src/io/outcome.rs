//! Results of reads and writes that never wait.

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// This many bytes. 0 if more may be readable at once, as after an interrupted call.
    Bytes(usize),
    /// This many bytes, and the socket has no more: an event will report the next ones.
    Last(usize),
    Nothing,
    /// The client sends nothing more, or the socket is broken.
    End,
    /// The input was not valid TLS. The alert is on its way; nothing else can be sent.
    Broken,
}

/// The result of writing the bytes that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// None waits any more.
    All,
    /// The socket took some, and is full.
    Some,
    /// The socket is full.
    Nothing,
}

/// The peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;
