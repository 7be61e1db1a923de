//! Sockets: how a shard waits for them, reads them and writes them; what the host allows.

pub(crate) mod allocator;
pub(crate) mod clock;
pub(crate) mod driver;
pub(crate) mod driver_kind;
mod epoll;
mod event;
#[cfg(feature = "glommio")]
pub(crate) mod executor;
pub(crate) mod key_file;
pub(crate) mod listener;
pub(crate) mod liveness;
mod outcome;
pub(crate) mod probe;
mod process_role;
pub(crate) mod random;
pub(crate) mod room;
#[cfg(feature = "internals")]
pub(crate) mod sim;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod transport;
mod uring;
pub(crate) mod waker;

pub use driver::IoMode;
pub(crate) use process_role::ProcessRole;
