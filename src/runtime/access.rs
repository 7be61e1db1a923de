//! The access log (`ACCESS_LOG`): a line for each request when it is answered; for each stream one when it begins and one when
//! it ends.
//!
//! Invariant: no token is in a line ([`redact`]), and no line is longer than a few bounded texts.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use tracing::info;

use crate::http::redact;
use crate::http::request::{Request, Scheme, Version};
use crate::http::status::Status;
use crate::hub::shard::Closed;

/// The target of the events of the access log, by which the log tells them from all others.
pub const ACCESS_TARGET: &str = "petasos::access";

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// Who made a request, as far as the log is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// The other end of the connection.
    Peer(SocketAddr),
    /// Whom a proxy in front names (`USE_FORWARDED_HEADERS`).
    Forwarded(IpAddr),
    /// The system did not say.
    Unknown,
}

impl Client {
    /// The other end of a connection.
    pub(super) fn peer(peer: Option<SocketAddr>) -> Self {
        peer.map_or(Self::Unknown, Self::Peer)
    }

    /// Its address, if that is known.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Peer(peer) => Some(peer.ip()),
            Self::Forwarded(address) => Some(address),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An IPv4 client of a listener for both families has an address of IPv6 around its own.
            Self::Peer(peer) => SocketAddr::new(peer.ip().to_canonical(), peer.port()).fmt(f),
            Self::Forwarded(address) => address.to_canonical().fmt(f),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

/// What the settings ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// `ACCESS_LOG`
    pub(super) is_logged: bool,
    /// `USE_FORWARDED_HEADERS`
    pub(super) trusts_proxy: bool,
}

/// Who makes a request, and what the access log says of it.
pub(super) struct Caller {
    pub(super) client: Client,
    /// Nothing when the log is off, or the request could not be read.
    pub(super) access: Option<Box<Access>>,
}

impl Caller {
    /// Nothing is known but the other end of the connection.
    pub(super) fn peer(peer: Option<SocketAddr>) -> Self {
        Self { client: Client::peer(peer), access: None }
    }

    /// Who makes this request, which began to arrive at this moment. The request itself learns what it was made with, and what
    /// a proxy says.
    pub(super) fn read(
        rules: Rules,
        request: &mut Request<'_>,
        peer: Option<SocketAddr>,
        is_tls: bool,
        began_ms: u64,
    ) -> Self {
        if is_tls {
            request.scheme = Scheme::Https;
        }
        let forwarded = rules.trusts_proxy.then(|| request.trust_forwarded()).flatten();
        let client = forwarded.map_or_else(|| Client::peer(peer), Client::Forwarded);
        let access = rules.is_logged.then(|| Box::new(Access::new(request, client, began_ms)));
        Self { client, access }
    }

    /// The request becomes a stream, whose first bytes are so many of a head.
    pub(super) fn streams(&mut self, head_bytes: usize, now_ms: u64) -> Option<Box<Access>> {
        let mut access = self.access.take()?;
        access.streams(head_bytes, now_ms);
        Some(access)
    }
}

/// What the lines of one request have in common.
pub(super) struct Access {
    client: Client,
    method: &'static str,
    scheme: &'static str,
    host: String,
    path: String,
    version: &'static str,
    user_agent: String,
    began_ms: u64,
    /// Bytes of the stream so far, before TLS, and how many of them are no part of its body.
    bytes: u64,
    head_bytes: u64,
}

impl Access {
    /// A request that began to arrive at this moment.
    pub(super) fn new(request: &Request<'_>, client: Client, began_ms: u64) -> Self {
        let or_unknown = |value: Option<&[u8]>| value.map_or_else(|| UNKNOWN.to_owned(), redact::field);
        Self {
            client,
            method: request.method.as_str(),
            scheme: request.scheme.as_str(),
            host: or_unknown(request.host.map(str::as_bytes)),
            path: redact::target(request.path, request.query),
            version: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2",
            },
            user_agent: or_unknown(request.user_agent),
            began_ms,
            bytes: 0,
            head_bytes: 0,
        }
    }

    /// A request whose head could not be read.
    pub(super) fn unreadable(client: Client, began_ms: u64) -> Self {
        let unknown = || UNKNOWN.to_owned();
        let (host, path, user_agent) = (unknown(), unknown(), unknown());
        Self {
            client,
            method: UNKNOWN,
            scheme: UNKNOWN,
            host,
            path,
            version: UNKNOWN,
            user_agent,
            began_ms,
            bytes: 0,
            head_bytes: 0,
        }
    }

    /// It is answered, with a body of so many bytes.
    pub(super) fn answered(&self, status: Status, bytes: usize, now_ms: u64) {
        let Self { client, method, scheme, host, path, version, user_agent, .. } = self;
        let duration_ms = self.duration_ms(now_ms);
        let status = status.code();
        info!(
            target: ACCESS_TARGET,
            %client, method, scheme, host, path, version, user_agent, status, bytes, duration_ms, "answered"
        );
    }

    /// Its stream begins.
    fn streams(&mut self, head_bytes: usize, now_ms: u64) {
        self.head_bytes = head_bytes as u64;
        let duration_ms = self.duration_ms(now_ms);
        let Self { client, method, scheme, host, path, version, user_agent, .. } = self;
        let status = Status::Ok.code();
        info!(
            target: ACCESS_TARGET,
            %client, method, scheme, host, path, version, user_agent, status, duration_ms, "stream began"
        );
    }

    /// Its stream has carried more bytes.
    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Its stream has ended.
    pub(super) fn ended(&self, reason: Closed, now_ms: u64) {
        let Self { client, method, scheme, host, path, version, user_agent, .. } = self;
        let bytes = self.bytes.saturating_sub(self.head_bytes);
        let duration_ms = self.duration_ms(now_ms);
        let status = Status::Ok.code();
        info!(
            target: ACCESS_TARGET,
            %client, method, scheme, host, path, version, user_agent, status, bytes, duration_ms, ?reason, "stream ended"
        );
    }

    fn duration_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.began_ms)
    }
}
