//! Listening sockets: one for each shard on the same address, made by hand because glommio's listener panics on a bad
//! address, has a fixed backlog, and lets two hubs share a port without a word.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};

use crate::limits::{LISTEN_BACKLOG, SUBSCRIBER_SOCKET_BYTES};

/// Binds `count` sockets to one address, the kernel spreading connections over them (`SO_REUSEPORT`). Answers the address:
/// port 0 has become a real one. Another process on the port is an error, although the option would allow it.
///
/// # Errors
/// What the kernel says, as [`io::ErrorKind::AddrInUse`] and its like.
pub(crate) fn bind_all(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    match try_bind_all(address, count) {
        // A host without IPv6: every address then means every IPv4 address.
        Err(error) if error.raw_os_error() == Some(AFNOSUPPORT) && address.ip() == Ipv6Addr::UNSPECIFIED => {
            try_bind_all(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), count)
        }
        result => result,
    }
}

const AFNOSUPPORT: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();

fn try_bind_all(address: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    // Bound without SO_REUSEPORT first: this fails when anybody else has the port.
    let probe = make(address, false)?;
    let address = SocketAddr::try_from(getsockname(&probe)?)?;
    drop(probe);
    let sockets: io::Result<Vec<_>> = (0..count).map(|_| make(address, true)).collect();
    let sockets = sockets?;
    for socket in &sockets {
        listen(socket, LISTEN_BACKLOG)?;
    }
    Ok((address, sockets))
}

/// A bound socket. What is set here is inherited by the connections, which saves a system call for each.
fn make(address: SocketAddr, reuse_port: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, reuse_port)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    // With the default a client that stopped reading swallows megabytes before anyone is told.
    sockopt::set_socket_send_buffer_size(&socket, SUBSCRIBER_SOCKET_BYTES)?;
    bind(&socket, &address)?;
    Ok(socket)
}
