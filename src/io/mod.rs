//! Sockets: how a shard waits for them, reads them and writes them; what the host allows. The only
//! module with glommio's input and output.

pub(crate) mod allocator;
pub(crate) mod clock;
pub(crate) mod key_file;
pub(crate) mod listener;
pub(crate) mod liveness;
pub(crate) mod poller;
pub(crate) mod probe;
mod process_role;
pub(crate) mod room;
mod socket;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod waker;

pub(crate) use process_role::ProcessRole;
