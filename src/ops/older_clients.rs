//! The clients that still speak draft 04 or 07 to a hub that speaks draft 08, too. The log names
//! each of them once in a while, so that an operator finds the last one (MERCURE-1.0, section
//! 12.6).
//!
//! Invariant: memory and lines are bounded, whatever clients send. Requests that no line tells of
//! are counted in the next line. Clients without a token do not hide one whose token was accepted.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use crate::api::request_counts::SpokenDialects;
use crate::limits::{OLDER_CLIENT_LOGGED_MS, OLDER_CLIENTS_LOGGED_MAX};

/// The older clients that the log of one shard has named.
#[derive(Debug, Default)]
pub(crate) struct OlderClients {
    named: Vec<OlderClient>,
    /// Requests that no line tells of.
    left_out: u64,
}

/// A client, as far as requests tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OlderClientKey {
    address: Option<IpAddr>,
    user_agent: u64,
    method: &'static str,
    spoken: SpokenDialects,
}

#[derive(Debug)]
struct OlderClient {
    key: OlderClientKey,
    logged_ms: u64,
    /// Requests since its last line.
    requests: u64,
}

/// What a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OlderRequests {
    /// Requests of this client since its last line.
    pub(crate) requests: u64,
    /// Requests of older clients of which no line has told; `None` for none.
    pub(crate) left_out: Option<u64>,
}

impl OlderClients {
    /// Counts a request; returns what to log now, if a line is due.
    pub(crate) fn add(
        &mut self,
        address: Option<IpAddr>,
        user_agent: Option<&[u8]>,
        method: &'static str,
        spoken: SpokenDialects,
        now_ms: u64,
    ) -> Option<OlderRequests> {
        let mut hasher = DefaultHasher::new();
        user_agent.hash(&mut hasher);
        let key = OlderClientKey { address, user_agent: hasher.finish(), method, spoken };
        let is_due = |client: &OlderClient| now_ms >= client.logged_ms.saturating_add(OLDER_CLIENT_LOGGED_MS);
        if let Some(client) = self.named.iter_mut().find(|client| client.key == key) {
            client.requests += 1;
            if !is_due(client) {
                return None;
            }
            client.logged_ms = now_ms;
            let requests = std::mem::take(&mut client.requests);
            return Some(self.line(requests));
        }
        let client = OlderClient { key, logged_ms: now_ms, requests: 0 };
        // Anybody can send such requests without a token, under any name.
        let may_replace =
            |other: &OlderClient| is_due(other) || spoken.token.is_some() && other.key.spoken.token.is_none();
        if self.named.len() < OLDER_CLIENTS_LOGGED_MAX {
            self.named.push(client);
            return Some(self.line(1));
        }
        let Some(place) =
            self.named.iter_mut().filter(|other| may_replace(other)).min_by_key(|it| it.logged_ms)
        else {
            self.left_out += 1;
            return None;
        };
        self.left_out += std::mem::replace(place, client).requests;
        Some(self.line(1))
    }

    fn line(&mut self, requests: u64) -> OlderRequests {
        let left_out = std::mem::take(&mut self.left_out);
        OlderRequests { requests, left_out: (left_out > 0).then_some(left_out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mercure::dialect::Dialect;

    const OLD: SpokenDialects = SpokenDialects { request: Some(Dialect::Draft07), token: None };

    fn add(clients: &mut OlderClients, host: u8, now_ms: u64) -> Option<(u64, Option<u64>)> {
        let address = Some(IpAddr::from([192, 0, 2, host]));
        let line = clients.add(address, Some(b"app/1"), "GET", OLD, now_ms);
        line.map(|OlderRequests { requests, left_out }| (requests, left_out))
    }

    #[test]
    fn a_client_is_named_at_once_and_then_once_a_minute_with_its_requests() {
        let mut clients = OlderClients::default();
        let period_ms = OLDER_CLIENT_LOGGED_MS;
        assert_eq!(add(&mut clients, 1, 5), Some((1, None)));
        assert_eq!(add(&mut clients, 1, 6), None);
        assert_eq!(add(&mut clients, 2, 7), Some((1, None)), "another one");
        assert_eq!(add(&mut clients, 1, 4 + period_ms), None);
        assert_eq!(add(&mut clients, 1, 5 + period_ms), Some((3, None)));
    }

    #[test]
    fn what_tells_clients_apart_gives_each_a_line() {
        let mut clients = OlderClients::default();
        let both = SpokenDialects { token: Some(Dialect::Draft07), ..OLD };
        let mut is_named = |user_agent: Option<&[u8]>, method, spoken| {
            clients.add(None, user_agent, method, spoken, 0).is_some()
        };
        assert!(is_named(None, "GET", OLD) && !is_named(None, "GET", OLD));
        assert!(is_named(Some(b""), "GET", OLD), "no user agent is not an empty one");
        assert!(is_named(None, "POST", OLD) && is_named(None, "GET", both));
    }

    #[test]
    fn many_clients_get_a_bounded_number_of_lines_and_the_rest_is_counted() {
        let mut clients = OlderClients::default();
        let all = OLDER_CLIENTS_LOGGED_MAX as u8 + 3;
        let named = |clients: &mut OlderClients, now_ms| {
            (0..all).filter_map(|host| add(clients, host, now_ms)).collect::<Vec<_>>()
        };
        assert_eq!(named(&mut clients, 0), vec![(1, None); OLDER_CLIENTS_LOGGED_MAX]);
        assert_eq!(named(&mut clients, 1), []);
        assert_eq!(clients.named.len(), OLDER_CLIENTS_LOGGED_MAX);
        // A new one takes the place of one that was named a minute ago.
        let left_out = 3 + 3 + 1;
        assert_eq!(add(&mut clients, 200, OLDER_CLIENT_LOGGED_MS), Some((1, Some(left_out))));
        assert_eq!(clients.named.len(), OLDER_CLIENTS_LOGGED_MAX);
    }

    #[test]
    fn strangers_do_not_hide_clients_whose_token_was_accepted() {
        let mut clients = OlderClients::default();
        let max = OLDER_CLIENTS_LOGGED_MAX as u8;
        (0..2 * max).for_each(|host| _ = add(&mut clients, host, 0));
        let spoken = SpokenDialects { token: Some(Dialect::Draft07), ..OLD };
        let mut is_named = |host: u8| {
            let address = Some(IpAddr::from([198, 51, 100, host]));
            clients.add(address, Some(b"app/1"), "GET", spoken, 1).is_some()
        };
        assert!((0..max).all(&mut is_named), "each takes the place of one without");
        assert!(!is_named(max), "the lines of a minute are bounded");
    }
}
