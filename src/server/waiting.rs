//! A request that waits for another thread, whatever carries it.

use std::sync::Arc;

use crate::api::handler::{GrantedSubscription, ResponseContext};
use crate::sse::frame::Frame;

/// What a request waits for.
pub(crate) enum Waiting {
    /// For the publication's entry to come round the ring.
    Commit { frame: Arc<Frame>, context: ResponseContext },
    /// For the history to find where the subscription begins.
    Resolve(Box<GrantedSubscription>),
    /// For the shards to list their subscriptions.
    List(ResponseContext),
}

impl Waiting {
    /// The context of its response.
    pub(crate) fn context(&self) -> ResponseContext {
        match self {
            Self::Commit { context, .. } | Self::List(context) => *context,
            Self::Resolve(subscription) => subscription.context,
        }
    }
}
