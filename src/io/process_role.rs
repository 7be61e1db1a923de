//! Whose process it is.

/// Whether the hub owns the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessRole {
    /// The hub owns it: sockets and notifications of a service manager concern the hub.
    Service,
    /// Another program owns it.
    Program,
}
