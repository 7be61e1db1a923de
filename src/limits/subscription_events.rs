//! The bounds of events of active subscriptions. `docs/subscriptions.md` says what they mean.

/// Bytes that one shard keeps for ended subscribers whose events are not published yet: those of
/// one client (429 beyond), and those of all with a token, and of all without one (503 beyond).
/// Beyond, no subscription begins; subscriptions that end still get their event.
pub const SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX: usize = 16 << 20;
/// See [`SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX`].
pub const SUBSCRIPTIONS_ENDED_BYTES_MAX: usize = 32 << 20;
/// Events of subscriptions that one shard has handed to the sequencer. Publishers share its queue.
pub const SUBSCRIPTION_EVENTS_UNDER_WAY_MAX: usize = 256;
/// Bytes of these events that a shard hands over at once, for clients with a token and for others.
pub const SUBSCRIPTION_EVENTS_BATCH_BYTES: u64 = 256 << 10;
/// What one commit of the history writes to the disk besides its events, in bytes (48 KiB measured,
/// 57 KiB in a history that discards updates).
pub const SUBSCRIPTION_EVENTS_COMMIT_BYTES: u64 = 64 << 10;
/// What an event is assumed to write before it is encoded, in bytes.
pub const SUBSCRIPTION_EVENT_BYTES_ASSUMED: u64 = 1 << 10;
/// Bytes that the events of all clients without a token may write to the disk each second, and at
/// once when nothing was written for a while.
pub const SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S: u64 = 640 << 10;
/// See [`SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S`].
pub const SUBSCRIPTION_EVENTS_ANONYMOUS_BURST_BYTES: u64 = 4 << 20;
/// The same for one network: three quarters, so that something is left for others at any time.
pub const SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S: u64 = 480 << 10;
/// See [`SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S`].
pub const SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES: u64 = 3 << 20;
/// The same for one token. Many users may share one, for instance those of a backend that
/// subscribes for them, and the operator can withdraw it.
pub const SUBSCRIPTION_EVENTS_TOKEN_BYTES_PER_S: u64 = 2 << 20;
/// See [`SUBSCRIPTION_EVENTS_TOKEN_BYTES_PER_S`].
pub const SUBSCRIPTION_EVENTS_TOKEN_BURST_BYTES: u64 = 16 << 20;
/// Bytes of the events that announce one subscriber. Its payload is in the event of each of its
/// selectors.
pub const SUBSCRIPTION_EVENTS_BYTES_MAX: usize = 4 << 20;
/// Events of subscriptions that the history keeps, beside updates and whatever bounds those.
pub const SUBSCRIPTION_EVENTS_HELD_MAX: u64 = 10_000;
/// Their bytes, as the history counts them.
pub const SUBSCRIPTION_EVENTS_HELD_BYTES_MAX: u64 = 16 << 20;
/// Pause of a shard after the sequencer had no room for an event, or the history refused it, in
/// milliseconds.
pub const SUBSCRIPTION_EVENTS_PAUSE_MS: u64 = 250;
const _: () = assert!(SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX < SUBSCRIPTIONS_ENDED_BYTES_MAX);
const _: () = assert!(SUBSCRIPTION_EVENTS_NETWORK_BYTES_PER_S < SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S);
const _: () = assert!(SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES < SUBSCRIPTION_EVENTS_ANONYMOUS_BURST_BYTES);
const _: () = assert!(SUBSCRIPTION_EVENTS_ANONYMOUS_BYTES_PER_S < SUBSCRIPTION_EVENTS_TOKEN_BYTES_PER_S);
const _: () = assert!(
    SUBSCRIPTION_EVENTS_BATCH_BYTES + SUBSCRIPTION_EVENTS_COMMIT_BYTES
        < SUBSCRIPTION_EVENTS_NETWORK_BURST_BYTES
);
