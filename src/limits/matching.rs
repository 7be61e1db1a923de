//! The price of matching: what selectors may cost. `docs/limits.md` says what it means.

/// The cost of matching, in units of about 30 ns for a topic of 1 KiB: a node of the trie of
/// templates that a topic visits, with a lookup.
pub const MATCH_COST_NODE: u32 = 3;
/// An expression of a plain template: a scan of the topic (see [`MATCH_COST_NODE`] for the unit).
pub const MATCH_COST_RUN: u32 = 24;
/// Literals and expressions after the head of a plain template that costs nothing if no other has
/// that head.
pub const ALONE_PARTS_MAX: usize = 8;
/// A length of literals at the end of plain templates: a lookup.
pub const MATCH_COST_END: u32 = 4;
/// A comparison of one selector with a topic, besides scans.
pub const MATCH_COST_COMPARISON: u32 = 2;
/// A template that matches.
pub const MATCH_COST_ENTRY: u32 = 1;
/// A template with a choice: its program is made for the topic.
pub const MATCH_COST_SETUP: u32 = 12;
/// Reading a topic for such a template.
pub const MATCH_COST_READ: u32 = 80;
/// 64 positions of such a template, at each unit of the topic.
pub const MATCH_COST_WORD: u32 = 160;
/// A jump or a count of such a template, at each unit of the topic.
pub const MATCH_COST_BRANCH: u32 = 130;
/// A set of bytes of a URL Pattern: its program is made for the topic.
pub const MATCH_COST_CLASS: u32 = 3;
/// Reading a topic as a URL, for URL Patterns.
pub const MATCH_COST_URL: u32 = 60;
/// The most that the selectors of one shard may cost together, for the topic that costs most: about
/// 1.5 ms for a topic of 1 KiB. Beyond it, a subscription with a template that adds to it gets 503.
pub const MATCH_COST_SHARD_MAX: u32 = 48_000;
/// The most that one client may add to the cost of a shard (503 beyond). A client is the holder of
/// a token, or an address; all its connections and streams count.
pub const MATCH_COST_CLIENT_MAX: u32 = MATCH_COST_SHARD_MAX / 6;
/// The most that the selectors of one subscription may cost (400 beyond): each update that it
/// replays is compared with all of them.
pub const MATCH_COST_SUBSCRIPTION_MAX: u32 = MATCH_COST_CLIENT_MAX;
/// Units of cost in one of [`MATCHING_WORK_MAX`](super::MATCHING_WORK_MAX).
pub const MATCH_COST_PER_WORK: u64 = 4;
/// States of the programs of one URL Pattern (MERCURE-1.0, section 8.4).
pub const PATTERN_STATES_MAX: usize = 4_096;
/// States of its program for the protocol: to read a pattern asks whether that takes a scheme of
/// the web.
pub const PATTERN_PROTOCOL_STATES_MAX: usize = 64;
/// States of all URL Patterns in the parameters of one request (400 beyond).
pub const PATTERN_STATES_OF_REQUEST_MAX: usize = 4 * PATTERN_STATES_MAX;
/// Groups, wildcards and names of one URL Pattern.
pub const PATTERN_GROUPS_MAX: usize = 32;
/// Regexps that one URL Pattern writes itself.
pub const PATTERN_REGEXPS_MAX: usize = 4;
/// Bytes of one of them.
pub const PATTERN_REGEXP_BYTES_MAX: usize = 512;
/// Groups within groups in one of them.
pub const PATTERN_REGEXP_DEPTH_MAX: u32 = 32;
/// Bytes `:`, `(`, `{` and `*` of one URL Pattern, escaped ones included: its parser takes a time
/// that grows with their square.
pub const PATTERN_OPENERS_MAX: usize = 512;
/// Such bytes of all URL Patterns in the parameters of one request (400 beyond): a group takes up
/// to 2 µs to read.
pub const PATTERN_OPENERS_OF_REQUEST_MAX: usize = 1_024;
/// URL Patterns in the parameters of one request (400 beyond). To read one takes 7 to 20 µs, and
/// nothing else of the shard runs meanwhile: about 4 ms at most for all, within these bounds.
pub const PATTERNS_OF_REQUEST_MAX: usize = 128;
/// Bytes of them together: 1 KiB takes up to 0.07 ms. Those of 100 presence channels of Laravel
/// have up to 19 KB.
pub const PATTERN_BYTES_OF_REQUEST_MAX: usize = 32 << 10;
const _: () = assert!(super::SELECTOR_BYTES_MAX < PATTERN_BYTES_OF_REQUEST_MAX);
const _: () = assert!(PATTERN_STATES_MAX < i16::MAX as usize);
const _: () = assert!(PATTERN_PROTOCOL_STATES_MAX < PATTERN_STATES_MAX);
const _: () = assert!(PATTERN_GROUPS_MAX < PATTERN_OPENERS_MAX);
const _: () = assert!(PATTERN_OPENERS_MAX < PATTERN_OPENERS_OF_REQUEST_MAX);
const _: () = assert!(MATCH_COST_SUBSCRIPTION_MAX <= MATCH_COST_CLIENT_MAX);
const _: () = assert!(MATCH_COST_CLIENT_MAX < MATCH_COST_SHARD_MAX);
