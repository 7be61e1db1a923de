//! The bounds of tokens and of the keys that verify them.

/// A token in its compact form. One of 1,000 selectors has about 34 KB, one of a user of 100
/// presence channels of Laravel 57 to 86 KB.
pub const TOKEN_BYTES_MAX: usize = 96 << 10;
/// Selectors or targets in one claim.
pub const GRANTS_MAX: usize = 10_000;
/// Mercure entries of `authorization_details` in one access token.
pub const DETAILS_MAX: usize = 256;
/// Matchers in one entry of it.
pub const DETAIL_TOPICS_MAX: usize = 2_000;
/// URL Patterns in all entries of one access token. To read one takes some 40 µs, and nothing else
/// of the shard runs meanwhile.
pub const DETAILS_PATTERNS_MAX: usize = 500;
/// The most that the matchers of one access token may cost together, in units of `MATCH_COST_NODE`:
/// each private update is compared with all of them.
pub const DETAILS_MATCH_COST_MAX: u64 = 100_000;
/// The most that it may cost to compare the topics of one publication with its token, in the same
/// units (413 beyond; 400 without draft 08): 9 to 14 ms, in which the shard does nothing else.
pub const PUBLISH_MATCH_COST_MAX: u64 = 300_000;
/// The most that it may cost to compare the topics of one private update with the token of one
/// subscriber. Topics beyond it are not granted.
pub const RECEIVE_MATCH_COST_MAX: u64 = PUBLISH_MATCH_COST_MAX;
/// The most that it may cost to choose the payloads of one subscriber's events: the cost of the
/// token's matchers for each selector. Beyond it the request is a 400, not the token a 401: neither
/// is too costly alone.
pub const PAYLOADS_MATCH_COST_MAX: u64 = PUBLISH_MATCH_COST_MAX;
/// Segments of a topic by which the templates and patterns of a token are found. Those of later
/// segments alone are compared one by one.
pub const GRANT_SEGMENTS_MAX: usize = 64;
/// Subscribers that a shard examines in one round to find those of a withdrawn key.
pub const WITHDRAWN_SLOTS_MAX: usize = 4_096;
/// Subscriptions of a withdrawn key that a shard ends in one round.
pub const WITHDRAWN_ENDS_MAX: usize = 256;
/// Issuers in `ISSUERS_FILE`. Each key set has a thread that fetches it.
pub const ISSUERS_MAX: usize = 32;
/// Keys in one key set (`JWKS_URL`).
pub const JWKS_KEYS_MAX: usize = 64;
/// The document of a key set.
pub const JWKS_BYTES_MAX: u64 = 256 << 10;
/// Time limit of one fetch of a key set, redirects included, in milliseconds.
pub const JWKS_FETCH_MS: u64 = 10_000;
/// Redirects of one fetch.
pub const JWKS_REDIRECTS_MAX: u32 = 3;
/// Interval between fetches of a key set, in milliseconds. A withdrawn key is accepted for at most
/// this time.
pub const JWKS_REFRESH_MS: u64 = 5 * 60_000;
/// Least interval between fetches that tokens with unknown keys cause, in milliseconds.
pub const JWKS_ASK_EVERY_MS: u64 = 60_000;
/// Pause after a failed fetch, in milliseconds. It doubles after each failure, up to
/// [`JWKS_RETRY_MS_MAX`].
pub const JWKS_RETRY_MS_MIN: u64 = 1_000;
/// See [`JWKS_RETRY_MS_MIN`].
pub const JWKS_RETRY_MS_MAX: u64 = 60_000;
/// Verified tokens remembered by one shard for each role.
pub const TOKEN_CACHE_MAX: usize = 1_024;
/// Bytes of these tokens. Their grants take several times as much.
pub const TOKEN_CACHE_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(JWKS_RETRY_MS_MIN <= JWKS_RETRY_MS_MAX && JWKS_RETRY_MS_MAX <= JWKS_REFRESH_MS);
const _: () = assert!(2 * TOKEN_BYTES_MAX < TOKEN_CACHE_BYTES_MAX);
const _: () = assert!(GRANT_SEGMENTS_MAX <= u64::BITS as usize);
const _: () = assert!(GRANTS_MAX <= u16::MAX as usize && DETAILS_PATTERNS_MAX <= GRANTS_MAX);
