//! Who pays for the price of matching in this shard.
//!
//! A subscription pays what it added to the price, and nothing if others had its templates already.
//! When it ends, the price may stay, because others still have them: then the client goes on paying
//! until the price falls. Invariant: a share is given back only as far as all shares together
//! exceed the price. A template that was alone on its head is free, and its part of the price is in
//! no share.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::hub::client::ClientKey;
use crate::limits::{MATCH_COST_CLIENT_MAX, MATCH_COST_SHARD_MAX};
use crate::mercure::index::Price;
use crate::server::client_totals::{ClientTotals, Share};

/// A subscription whose templates cost too much beside those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooCostly {
    Shard,
    Client,
}

impl TooCostly {
    /// The reason, for the client and for the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Shard => {
                "the URI Templates and URL Patterns of all subscriptions together cost too much to match; \
                 expected simpler ones, or a literal before the first expression or group"
            }
            Self::Client => {
                "the URI Templates and URL Patterns of this client's subscriptions together cost too much \
                 to match; expected simpler ones, or a literal before the first expression or group"
            }
        }
    }
}

/// The shares of all clients.
pub(super) struct MatchCosts {
    totals: Arc<ClientTotals>,
    /// Shares of subscriptions that have ended, the oldest first.
    left: Rc<RefCell<VecDeque<Share>>>,
    /// The sum of all shares.
    paid: u64,
}

/// What a subscription pays while it lasts.
pub(super) struct MatchCostPermit {
    share: Option<Share>,
    left: Rc<RefCell<VecDeque<Share>>>,
}

impl MatchCosts {
    pub(super) fn new() -> Self {
        Self { totals: ClientTotals::new(MATCH_COST_CLIENT_MAX.into()), left: Rc::default(), paid: 0 }
    }

    /// Reserves what a subscription of this client adds to the price; `None` if that is nothing.
    ///
    /// # Errors
    /// The bound that it would exceed.
    pub(super) fn hold(
        &mut self,
        client: ClientKey,
        Price { added, total }: Price,
    ) -> Result<Option<MatchCostPermit>, TooCostly> {
        self.settle(total.saturating_sub(added));
        if added == 0 {
            return Ok(None);
        }
        if total > MATCH_COST_SHARD_MAX {
            return Err(TooCostly::Shard);
        }
        let share = self.totals.hold(client, added.into()).ok_or(TooCostly::Client)?;
        self.paid += u64::from(added);
        Ok(Some(MatchCostPermit { share: Some(share), left: Rc::clone(&self.left) }))
    }

    /// Gives shares of ended subscriptions back, as far as all shares together exceed the price.
    fn settle(&mut self, price: u32) {
        let mut left = self.left.borrow_mut();
        while let Some(share) = left.front_mut() {
            let excess = self.paid.saturating_sub(price.into()).min(share.amount());
            if excess == 0 {
                break;
            }
            self.paid -= excess;
            share.give_back(excess);
            if share.amount() == 0 {
                left.pop_front();
            }
        }
    }
}

impl Drop for MatchCostPermit {
    fn drop(&mut self) {
        self.left.borrow_mut().extend(self.share.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_leaves_its_templates_to_others_goes_on_paying() {
        let mut costs = MatchCosts::new();
        let (one, other) = (ClientKey::Token(1), ClientKey::Token(2));
        let max = MATCH_COST_CLIENT_MAX;
        let first = costs.hold(one, Price { added: max, total: max }).expect("room");
        assert!(costs.hold(one, Price { added: 1, total: max + 1 }).is_err());
        // Another has the same templates: the price stays when the first leaves.
        assert!(matches!(costs.hold(other, Price { added: 0, total: max }), Ok(None)));
        drop(first);
        assert_eq!(costs.hold(one, Price { added: 1, total: max + 1 }).err(), Some(TooCostly::Client));
        assert!(costs.hold(other, Price { added: 1, total: max + 1 }).is_ok());
        // The price falls by a part.
        let second = costs.hold(one, Price { added: 100, total: max - 50 });
        assert!(matches!(second, Ok(Some(_))));
        assert_eq!(costs.hold(one, Price { added: 200, total: max + 200 }).err(), Some(TooCostly::Client));
        drop(second);
        assert!(costs.hold(one, Price { added: max, total: max }).is_ok());
    }
}
