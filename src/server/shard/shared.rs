//! What the connections of a shard share: the handler of requests, the streams, and the ways to
//! other threads. Each part has an owner with methods of its own; this holds them together.

use super::budget::Budget;
use super::listings::Listings;
use super::log::ShardLog;
use super::publications::Publications;
use super::shutdown::Shutdown;
use super::streams::Streams;
use super::subscription_events::SubscriptionEvents;
use crate::api::handler::RequestHandler;
use crate::http::headers::date::HttpDate;
use crate::hub::sequencer::RingEntry;
use crate::io::driver::Driver;
use crate::io::random::Random;
use crate::ring::Consumer;
use crate::server::history_worker::HistoryClient;
use crate::server::mailbox::Mailbox;
use crate::server::memory::ShardMemory;
use crate::server::permits::Quotas;
use crate::server::timeouts::Timeouts;
use crate::time::Now;

/// The parts of a shard that its connections share.
pub(super) struct Shared {
    pub(super) number: u16,
    /// The time of this round.
    pub(super) now: Now,
    /// What this round may still do.
    pub(super) budget: Budget,
    pub(super) timeouts: Timeouts,
    pub(super) handler: RequestHandler,
    pub(super) streams: Streams,
    pub(super) publications: Publications,
    pub(super) history: HistoryClient,
    pub(super) ring: Consumer<RingEntry>,
    pub(super) mailbox: Mailbox,
    pub(super) listings: Listings,
    pub(super) events: SubscriptionEvents,
    pub(super) quotas: Quotas,
    pub(super) memory: ShardMemory,
    pub(super) shutdown: Shutdown,
    pub(super) log: ShardLog,
    pub(super) driver: Box<dyn Driver>,
    /// Received bytes, before the connection takes them.
    pub(super) read_buffer: Box<[u8]>,
    pub(super) date: DateCache,
    pub(super) serials: Serials,
    pub(super) random: Random,
}

/// The `Date` field of responses, formatted once a second.
pub(super) struct DateCache {
    unix_s: u64,
    date: HttpDate,
}

impl Default for DateCache {
    fn default() -> Self {
        Self { unix_s: 0, date: HttpDate::from_unix_s(0) }
    }
}

impl DateCache {
    /// The date at this time.
    pub(super) fn at(&mut self, now: Now) -> HttpDate {
        let unix_s = now.unix_s();
        if self.unix_s != unix_s {
            *self = Self { unix_s, date: HttpDate::from_unix_s(unix_s) };
        }
        self.date
    }
}

/// Numbers for connections and requests: each differs from the last 2^32.
#[derive(Default)]
pub(super) struct Serials(u32);

impl Serials {
    /// The next number.
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}
