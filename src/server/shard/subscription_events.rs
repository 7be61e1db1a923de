//! The updates that announce active subscriptions, on their way to the sequencer.

use tracing::{debug, warn};

use super::budget::Budget;
use super::log::ShardLog;
use crate::hub::presence::Subscriptions;
use crate::hub::sequencer::{Publication, ReplyTo};
use crate::limits::SUBSCRIPTION_EVENTS_PAUSE_MS;
use crate::redact::Redacted;
use crate::server::queue::Queue;

/// When events may be handed over.
#[derive(Default)]
pub(super) struct SubscriptionEvents {
    /// Set when the sequencer had no room or the history refused an event: no event is handed over
    /// before this moment.
    paused_until_ms: u64,
}

impl SubscriptionEvents {
    /// Hands events to the sequencer, as many as this round's budget allows, and at least one;
    /// returns whether more could follow.
    pub(super) fn offer(
        &mut self,
        all: &mut Subscriptions,
        queue: &Queue,
        budget: &mut Budget,
        log: &mut ShardLog,
        now_ms: u64,
    ) -> bool {
        if now_ms < self.paused_until_ms {
            return false;
        }
        let reply_to = ReplyTo::Event { shard: log.shard };
        loop {
            let Some(frame) = all.next_event(uuid::Uuid::new_v4().into_bytes()) else { break };
            if log.log_updates {
                debug!(event = %Redacted::whole(frame.event()), "subscription");
            }
            if !queue.offer(Publication { frame, reply_to }) {
                all.put_back();
                self.pause(now_ms);
                break;
            }
            log.recorder.offered_by_hub();
            budget.charge_one();
            if budget.is_spent() {
                break;
            }
        }
        all.has_event() && now_ms >= self.paused_until_ms
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
        all.is_some_and(|all| all.has_event()).then_some(self.paused_until_ms)
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
