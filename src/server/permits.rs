//! Limits per client: connections of the hub and of each address, subscriptions of each token, and
//! the budgets of events about subscriptions.
//!
//! Invariants:
//! - counts are per process, whichever shard serves a client;
//! - each counted connection or subscription holds a permit, and dropping the permit ends the
//!   count, so no way of closing a connection can miss it;
//! - counts change only when a connection or subscription begins or ends, never with an update.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::hub::presence::pace::EventBudgets;
use crate::limits::REFUSALS_MAX;
use crate::server::client_totals::{ClientKey, ClientTotals, Share};
use crate::server::memory::MEMORY_REACHED;

/// The limits; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClient {
    /// `MAX_CONNECTIONS_PER_ADDRESS`.
    pub connections_per_address: u32,
    /// `MAX_SUBSCRIPTIONS_PER_TOKEN`.
    pub subscriptions_per_token: u32,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitReached {
    Hub,
    Address,
    Token,
    Memory,
}

impl LimitReached {
    /// Its name, for the log.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Hub => "the connection limit is reached (MAX_CONNECTIONS, or the limit of open files)",
            Self::Address => "MAX_CONNECTIONS_PER_ADDRESS is reached",
            Self::Token => "MAX_SUBSCRIPTIONS_PER_TOKEN is reached",
            Self::Memory => MEMORY_REACHED,
        }
    }
}

/// The counts of the process; each shard has a handle.
#[derive(Clone)]
pub(crate) struct Quotas {
    connections: Arc<PermitPool>,
    refusals: Arc<PermitPool>,
    addresses: Option<Arc<ClientTotals>>,
    tokens: Option<Arc<ClientTotals>>,
    event_budgets: Arc<EventBudgets>,
    /// A proxy is in front: the address is that of a request, and its streams are counted.
    trusts_proxy: bool,
}

/// Counts a connection while it is open.
pub(crate) struct ConnectionPermit {
    pool: Arc<PermitPool>,
    _address: Option<Box<Share>>,
}

/// Counts a subscription while it lasts.
pub(crate) struct SubscriptionPermit {
    _token: Option<Share>,
    _address: Option<Share>,
}

impl Quotas {
    pub(crate) fn new(connections_max: usize, per_client: PerClient, trusts_proxy: bool) -> Self {
        let PerClient { connections_per_address, subscriptions_per_token } = per_client;
        Self {
            connections: PermitPool::new(connections_max),
            refusals: PermitPool::new(REFUSALS_MAX),
            addresses: counted(connections_per_address),
            tokens: counted(subscriptions_per_token),
            event_budgets: Arc::default(),
            trusts_proxy,
        }
    }

    /// The budgets of events about subscriptions.
    pub(crate) fn event_budgets(&self) -> Arc<EventBudgets> {
        Arc::clone(&self.event_budgets)
    }

    /// Counts a connection from this address. With a trusted proxy, the proxy's address is not
    /// counted.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn connect(&self, address: Option<IpAddr>) -> Result<ConnectionPermit, LimitReached> {
        let pool = self.connections.take().ok_or(LimitReached::Hub)?;
        // Dropped on an early return, which releases it.
        let mut permit = ConnectionPermit { pool, _address: None };
        if let Some(counts) = self.addresses.as_ref().filter(|_| !self.trusts_proxy)
            && let Some(address) = address
        {
            permit._address = Some(Box::new(
                counts.hold(ClientKey::new(None, Some(address)), 1).ok_or(LimitReached::Address)?,
            ));
        }
        Ok(permit)
    }

    /// Whether nothing is counted.
    #[cfg(feature = "internals")]
    pub(crate) fn are_unused(&self) -> bool {
        let pools = [&self.connections, &self.refusals];
        let mut totals = [&self.addresses, &self.tokens].into_iter().flatten();
        pools.iter().all(|pool| pool.taken.load(Ordering::Relaxed) == 0) && totals.all(|it| it.is_empty())
    }

    /// A permit for a refused connection that is kept open a little so that the response can
    /// arrive; `None` when there are too many of them.
    pub(crate) fn refuse(&self) -> Option<ConnectionPermit> {
        Some(ConnectionPermit { pool: self.refusals.take()?, _address: None })
    }

    /// Counts a subscription with this token from this address; `None` if neither is counted.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn subscribe(
        &self,
        token: Option<u64>,
        address: Option<IpAddr>,
    ) -> Result<Option<SubscriptionPermit>, LimitReached> {
        let tokens = self.tokens.as_ref().zip(token);
        let token = tokens
            .map(|(counts, token)| counts.hold(ClientKey::Token(token), 1).ok_or(LimitReached::Token))
            .transpose()?;
        let addresses = self.addresses.as_ref().filter(|_| self.trusts_proxy).zip(address);
        let address = addresses
            .map(|(counts, address)| {
                counts.hold(ClientKey::new(None, Some(address)), 1).ok_or(LimitReached::Address)
            })
            .transpose()?;
        let is_counted = token.is_some() || address.is_some();
        Ok(is_counted.then_some(SubscriptionPermit { _token: token, _address: address }))
    }
}

/// Counts up to a limit; 0 means that nothing is counted.
fn counted(max: u32) -> Option<Arc<ClientTotals>> {
    (max > 0).then(|| ClientTotals::new(max.into()))
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.pool.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number of permits.
struct PermitPool {
    taken: AtomicUsize,
    max: usize,
}

impl PermitPool {
    fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), max })
    }

    /// Takes a permit. The caller must give it back.
    fn take(self: &Arc<Self>) -> Option<Arc<Self>> {
        let more = |taken: usize| (taken < self.max).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Arc::clone(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_permit_is_given_back_by_whoever_drops_it() {
        let quotas = Quotas::new(2, PerClient::default(), false);
        let permits = [quotas.connect(None), quotas.connect(None)];
        assert!(permits.iter().all(Result::is_ok));
        assert_eq!(
            quotas.clone().connect(None).err(),
            Some(LimitReached::Hub),
            "the count is that of all shards"
        );
        drop(permits);
        assert!(quotas.connect(None).is_ok());
    }

    #[test]
    fn an_address_is_counted_as_such_and_one_of_ipv6_by_its_network() {
        let per_client = PerClient { connections_per_address: 2, ..PerClient::default() };
        let quotas = Quotas::new(100, per_client, false);
        for ours in
            [["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], ["2001:db8::1", "2001:db8::2", "2001:db8::3"]]
        {
            let first = quotas.connect(address(ours[0]));
            let second = quotas.connect(address(ours[1]));
            assert!(first.is_ok() && second.is_ok());
            assert_eq!(quotas.connect(address(ours[2])).err(), Some(LimitReached::Address), "{ours:?}");
            drop(first);
            assert!(quotas.connect(address(ours[2])).is_ok());
        }
        let others = ["192.0.2.2", "2001:db8:0:1::1"].map(|text| quotas.connect(address(text)));
        assert!(others.iter().all(Result::is_ok));
        drop(others);
        // A refusal for the address holds no permit of the hub, and no client is left in the maps.
        assert_eq!(quotas.connections.taken.load(Ordering::Relaxed), 0);
        let counts = quotas.addresses.expect("counted");
        assert!(counts.is_empty());
    }

    #[test]
    fn behind_a_proxy_the_streams_of_an_address_are_counted_and_not_the_connections_of_the_proxy() {
        let per_client = PerClient { connections_per_address: 1, ..PerClient::default() };
        let quotas = Quotas::new(100, per_client, true);
        let permits: Vec<_> = (0..5).map(|_| quotas.connect(address("10.0.0.1"))).collect();
        assert!(permits.iter().all(Result::is_ok));
        let permit = quotas.subscribe(Some(7), address("192.0.2.1"));
        assert!(matches!(permit, Ok(Some(_))));
        assert_eq!(quotas.subscribe(None, address("192.0.2.1")).err(), Some(LimitReached::Address));
        drop(permit);
        assert!(matches!(quotas.subscribe(None, address("192.0.2.1")), Ok(Some(_))));
    }

    #[test]
    fn subscriptions_without_a_token_are_nobodys() {
        let per_client = PerClient { subscriptions_per_token: 1, ..PerClient::default() };
        let quotas = Quotas::new(100, per_client, false);
        let permit = quotas.subscribe(Some(7), None);
        assert!(matches!(permit, Ok(Some(_))));
        assert_eq!(quotas.subscribe(Some(7), None).err(), Some(LimitReached::Token));
        assert!(matches!(quotas.subscribe(Some(8), None), Ok(Some(_))));
        assert!((0..3).all(|_| matches!(quotas.subscribe(None, None), Ok(None))));
    }
}
