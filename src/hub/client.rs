//! Whom what is bounded for each client is counted for.

use std::net::IpAddr;

/// One client: the holder of a token, or else a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientKey {
    /// The number of a verified token.
    Token(u64),
    /// A network, for a client without a token.
    Network(Network),
    /// All clients without a token whose address is not known.
    Unknown,
}

impl ClientKey {
    /// The client with this token, if it has one, at this address, if it is known.
    pub fn new(token: Option<u64>, address: Option<IpAddr>) -> Self {
        match (token, address) {
            (Some(token), _) => Self::Token(token),
            (None, Some(address)) => Self::Network(Network::of(address)),
            (None, None) => Self::Unknown,
        }
    }

    /// Whether it has no token.
    pub fn is_anonymous(self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

/// The unit of counting: an IPv4 address, or the 64-bit network prefix of an IPv6 address, since
/// hosts choose the other bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The address.
    V4(u32),
    /// The prefix.
    V6(u64),
}

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_client_wherever_it_is_used() {
        let address = |text: &str| Some(text.parse().expect("an address"));
        assert_eq!(ClientKey::new(Some(1), address("192.0.2.1")), ClientKey::new(Some(1), None));
        assert_eq!(
            ClientKey::new(None, address("2001:db8::1")),
            ClientKey::new(None, address("2001:db8::2"))
        );
        assert_ne!(ClientKey::new(None, address("192.0.2.1")), ClientKey::new(None, None));
    }
}
