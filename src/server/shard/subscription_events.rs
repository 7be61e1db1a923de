//! The updates that announce active subscriptions, on their way to the sequencer.

use std::sync::Arc;

use tracing::{debug, warn};

use super::budget::Budget;
use super::log::ShardLog;
use crate::hub::presence::Subscriptions;
use crate::hub::presence::pace::EventBudgets;
use crate::hub::sequencer::{Publication, ReplyTo};
use crate::io::random::Random;
use crate::limits::SUBSCRIPTION_EVENTS_PAUSE_MS;
use crate::redact::Redacted;
use crate::server::queue::Queue;

/// When events may be handed over.
pub(super) struct SubscriptionEvents {
    /// Those of the hub.
    budgets: Arc<EventBudgets>,
    /// Set when the sequencer had no room or the history refused an event: no event is handed over
    /// before this moment.
    paused_until_ms: u64,
}

impl SubscriptionEvents {
    /// Events within these budgets.
    pub(super) fn new(budgets: Arc<EventBudgets>) -> Self {
        Self { budgets, paused_until_ms: 0 }
    }

    /// Hands a batch of events to the sequencer, as the budgets allow; returns whether more could
    /// follow now. A batch is encoded before it is handed over, so that one commit stores it.
    pub(super) fn offer(
        &mut self,
        all: &mut Subscriptions,
        queue: &Queue,
        budget: &mut Budget,
        random: &Random,
        log: &mut ShardLog,
        now_ms: u64,
    ) -> bool {
        if !self.is_due(all, now_ms) {
            return false;
        }
        let began = budget.moment();
        let frames = all.next_batch(&self.budgets, now_ms, || random.bytes());
        let reply_to = ReplyTo::Event { shard: log.shard };
        let mut left = frames.len();
        for frame in frames {
            if log.log_updates {
                debug!(event = %Redacted::whole(frame.event()), "subscription");
            }
            if !queue.offer(Publication { frame, reply_to }) {
                break;
            }
            log.recorder.offered_by_hub();
            left -= 1;
        }
        if left > 0 {
            (0..left).for_each(|_| all.put_back());
            self.pause(now_ms);
        }
        budget.charge_since(began);
        self.is_due(all, now_ms)
    }

    fn is_due(&self, all: &Subscriptions, now_ms: u64) -> bool {
        now_ms >= self.paused_until_ms && all.next_batch_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }

    /// Handles an event that came round the ring.
    pub(super) fn settled(&mut self, all: Option<&mut Subscriptions>, is_stored: bool, now_ms: u64) {
        if !is_stored {
            self.pause(now_ms);
        }
        if let Some(all) = all {
            all.settled(is_stored);
        }
    }

    fn pause(&mut self, now_ms: u64) {
        self.paused_until_ms = now_ms + SUBSCRIPTION_EVENTS_PAUSE_MS;
    }

    /// When to hand over events again, if any wait.
    pub(super) fn paused_until_ms(&self, all: Option<&mut Subscriptions>) -> Option<u64> {
        all?.next_batch_ms().map(|at_ms| at_ms.max(self.paused_until_ms))
    }
}

/// Whether all events of a stopping hub are published or, when it is late, abandoned.
pub(super) fn are_settled(all: Option<&mut Subscriptions>, is_late: bool, shard: u16) -> bool {
    let Some(all) = all else { return true };
    if is_late {
        let unpublished = all.abandon();
        if unpublished > 0 {
            warn!(shard, unpublished, "the stop left no time to publish the end of these subscriptions");
        }
    }
    is_late || all.is_quiet()
}
