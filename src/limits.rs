//! Every bound of the system, with the relations between them checked at compile time.
//!
//! Sizes are bytes unless the name says otherwise. A bound that a setting can change is here as its default.

/// Length of one topic selector (PROTOCOL section 2).
pub const SELECTOR_BYTES_MAX: usize = 4_096;
/// Selectors of one subscription, by default (`MAX_SELECTORS`).
pub const SELECTORS_MAX_DEFAULT: usize = 1_000;
/// Compiled size of one URI Template, in states.
pub const TEMPLATE_STATES_MAX: usize = 4_096;
/// Topics of one publication.
pub const TOPICS_MAX: usize = 1_000;
/// Targets of one publication.
pub const TARGETS_MAX: usize = 1_000;
/// Length of an event id or an event type: both travel in lines and headers.
pub const EVENT_ID_BYTES_MAX: usize = 4_096;
/// Fields of one form, query or body.
pub const FORM_FIELDS_MAX: usize = 4_096;
/// Body of one request, by default (`MAX_BODY_SIZE`).
pub const BODY_BYTES_MAX_DEFAULT: usize = 1 << 20;
/// A request head, from the method to the empty line (431 beyond).
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// The request target alone (414 beyond).
pub const TARGET_BYTES_MAX: usize = 48 << 10;
/// Header fields of one request (431 beyond).
pub const HEADERS_MAX: usize = 100;
/// A token in its compact form.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Selectors or targets one claim may list.
pub const GRANTS_MAX: usize = 10_000;
/// Verified tokens remembered by one shard.
pub const TOKEN_CACHE_MAX: usize = 1_024;

const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX < TARGET_BYTES_MAX);
const _: () = assert!(SELECTOR_BYTES_MAX < TARGET_BYTES_MAX);
const _: () = assert!(EVENT_ID_BYTES_MAX < TARGET_BYTES_MAX);
const _: () = assert!(SELECTORS_MAX_DEFAULT <= FORM_FIELDS_MAX);
const _: () = assert!(TOPICS_MAX + TARGETS_MAX < FORM_FIELDS_MAX);
