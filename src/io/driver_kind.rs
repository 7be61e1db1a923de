//! Makes the driver of a shard.

use std::io;

use super::driver::Driver;
use super::epoll::Epoll;
use super::uring::Uring;

/// Which driver a hub uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverKind {
    /// An io_uring for each shard.
    Uring,
    /// epoll, and a system call for each send.
    Epoll,
}

impl DriverKind {
    /// Makes the driver of a shard. Call it on the shard's thread.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel refuses a ring.
    pub(crate) fn open(self) -> io::Result<Box<dyn Driver>> {
        let set = Epoll::new()?;
        Ok(match self {
            Self::Uring => Box::new(Uring::new(set)?),
            Self::Epoll => Box::new(set),
        })
    }
}

#[cfg(test)]
mod tests;
