//! The values that a shard is given and returns.

use std::rc::Rc;

use crate::history::ResumePoint;
use crate::hub::client::ClientKey;
use crate::hub::tail::TailBounds;
use crate::mercure::grant::Grant;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::{Announcement, SubscriberId};
use crate::mercure::token::KeyNumber;
use crate::sse::framing::Framing;

/// The settings of a shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    /// `HEARTBEAT_INTERVAL`; 0 sends none.
    pub heartbeat_ms: u64,
    /// `DISPATCH_TIMEOUT`: a socket with pending bytes that takes none for this long is closed; 0
    /// waits forever.
    pub dispatch_timeout_ms: u64,
    /// `SUBSCRIBER_BUFFER`: bytes that may be pending for one subscriber before it is served from
    /// the history.
    pub subscriber_buffer_bytes: usize,
    /// The bounds of the updates kept in memory for subscribers that resume.
    pub tail: TailBounds,
    /// `SUBSCRIPTIONS`: whether active subscriptions are tracked.
    pub tracks_subscriptions: bool,
}

/// Why a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client left.
    Gone,
    /// Its token expired, or the time limit of a response (`WRITE_TIMEOUT`) was reached.
    Expired,
    /// It took no byte for `DISPATCH_TIMEOUT`.
    Stalled,
    /// The history no longer holds its next update. When the client reconnects with its last event
    /// id, the response shows the gap.
    HistoryGap,
    /// The history could not be read.
    HistoryUnreadable,
    /// The hub stops.
    Drained,
    /// Its memory was needed (`MEMORY_MAX`).
    Shed,
    /// The key of its token was withdrawn.
    KeyWithdrawn,
}

impl EndReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Gone,
        Self::Expired,
        Self::Stalled,
        Self::HistoryGap,
        Self::HistoryUnreadable,
        Self::Drained,
        Self::Shed,
        Self::KeyWithdrawn,
    ];
}

/// A granted subscription.
pub struct Joining {
    /// The selectors; not empty.
    pub selectors: Vec<Selector>,
    /// How each selector is announced; not used if the shard does not track subscriptions.
    pub announcements: Box<[Announcement]>,
    /// The updates it may receive.
    pub grant: Rc<Grant>,
    /// When its token expires or its time limit is reached, in the milliseconds of [`Now::ms`];
    /// `u64::MAX` for never.
    pub expires_ms: u64,
    /// The key that verified its token; `None` without a token.
    pub key: Option<KeyNumber>,
    /// The framing of its stream.
    pub framing: Framing,
    /// Its id among the active subscriptions.
    pub id: SubscriberId,
    /// The client that its events are counted for.
    pub client: ClientKey,
    /// Where it resumes; `None` starts live.
    pub resume_point: Option<ResumePoint>,
    /// The head of the response and [`Framing::opening`].
    pub opening: Box<[u8]>,
}

/// Counters of one shard, for the log and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Updates queued for a subscriber.
    pub deliveries: u64,
    /// Bytes that sockets took.
    pub bytes: u64,
    /// How often a subscriber exceeded its buffer.
    pub fell_behind: u64,
    /// Subscriptions that began.
    pub joined: u64,
    /// How many of them resumed.
    pub resumed: u64,
    /// Work on subscribers, in the unit of [`MATCHING_WORK_MAX`](crate::limits::MATCHING_WORK_MAX).
    pub work: u64,
}
