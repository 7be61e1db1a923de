//! The bounds of what clients can cause, with the relations between them checked at compile time.
//!
//! Sizes are in bytes unless the name says otherwise. Some bounds are defaults of settings. Bounds
//! that only a setting gives (connections, the retention of the history) are in `config::settings`.

mod matching;
mod subscription_events;
mod tokens;

pub use matching::*;
pub use subscription_events::*;
pub use tokens::*;

/// Length of one topic selector (PROTOCOL section 2).
pub const SELECTOR_BYTES_MAX: usize = 4_096;
/// Selectors of one subscription, by default (`MAX_SELECTORS`).
pub const SELECTORS_MAX_DEFAULT: usize = 1_000;
/// Selectors of one subscription without a token, by default (`MAX_SELECTORS_ANONYMOUS`).
pub const SELECTORS_ANONYMOUS_MAX_DEFAULT: usize = 100;
/// Bytes of the selectors of one subscription without a token, by default
/// (`MAX_SELECTOR_BYTES_ANONYMOUS`).
pub const SELECTOR_BYTES_ANONYMOUS_MAX_DEFAULT: usize = 16 << 10;
/// Compiled size of one URI Template, in states.
pub const TEMPLATE_STATES_MAX: usize = 4_096;
/// Length of a topic. The topics of events about subscriptions hold a selector, percent-encoded.
pub const TOPIC_BYTES_MAX: usize = 16 << 10;
/// Topics of one publication.
pub const TOPICS_MAX: usize = 1_000;
/// Targets of one publication.
pub const TARGETS_MAX: usize = 1_000;
/// Length of an event id or an event type. Both are sent in lines and headers.
pub const EVENT_ID_BYTES_MAX: usize = 4_096;
/// Fields of one form, query or body.
pub const FORM_FIELDS_MAX: usize = 4_096;
/// Body of one request, by default (`MAX_BODY_SIZE`).
pub const BODY_BYTES_MAX_DEFAULT: usize = 1 << 20;
/// A request head, from the method to the empty line (431 beyond).
pub const HEAD_BYTES_MAX: usize = 160 << 10;
/// The request target alone (414 beyond).
pub const REQUEST_TARGET_BYTES_MAX: usize = 56 << 10;
/// Header fields of one request (431 beyond).
pub const HEADERS_MAX: usize = 100;

/// Path and query of a resource of demo mode. They are returned in a header, escaped; clients limit
/// headers to 64 KiB or more.
pub const DEMO_TARGET_BYTES_MAX: usize = 16 << 10;
/// The token that the playground stores in a cookie. Browsers keep 4,096 bytes with the name (RFC
/// 6265bis, section 5.6).
pub const DEMO_COOKIE_BYTES_MAX: usize = 4_000;
/// Topics in one request to the matcher over HTTP.
pub const MATCH_TOPICS_MAX: usize = 100;
/// The most that matching these topics may cost (see [`MATCH_COST_NODE`]): a few milliseconds, in
/// which the shard does nothing else.
pub const MATCH_COST_REQUEST_MAX: usize = 100_000;

const _: () = assert!(3 * DEMO_TARGET_BYTES_MAX + DEMO_COOKIE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(SELECTOR_BYTES_MAX + DEMO_COOKIE_BYTES_MAX < DEMO_TARGET_BYTES_MAX);
const _: () = assert!(REQUEST_TARGET_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(TOPIC_BYTES_MAX > 3 * SELECTOR_BYTES_MAX + 128);
// The longest token fits beside the longest target.
const _: () = assert!(REQUEST_LINE_BYTES_MAX + TOKEN_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(SELECTOR_BYTES_MAX < REQUEST_TARGET_BYTES_MAX);
const _: () = assert!(EVENT_ID_BYTES_MAX < REQUEST_TARGET_BYTES_MAX);
const _: () = assert!(SELECTORS_MAX_DEFAULT <= FORM_FIELDS_MAX);
const _: () = assert!(SELECTORS_ANONYMOUS_MAX_DEFAULT <= SELECTORS_MAX_DEFAULT);
const _: () = assert!(SELECTOR_BYTES_MAX <= SELECTOR_BYTES_ANONYMOUS_MAX_DEFAULT);
const _: () = assert!(SELECTOR_BYTES_ANONYMOUS_MAX_DEFAULT < REQUEST_TARGET_BYTES_MAX);
const _: () = assert!(TOPICS_MAX + TARGETS_MAX < FORM_FIELDS_MAX);
/// The request line: the target, the method and the version.
pub const REQUEST_LINE_BYTES_MAX: usize = REQUEST_TARGET_BYTES_MAX + 64;
/// Empty lines tolerated before a request line (RFC 9112, section 2.2).
pub const EMPTY_LINES_MAX: usize = 4;
/// `Host`: a domain name or an address, a colon and a port.
pub const HOST_BYTES_MAX: usize = 255 + 6;
/// A label of a domain name (RFC 1035, section 2.3.4).
pub const HOST_LABEL_BYTES_MAX: usize = 63;
/// Extensions of all chunks of one body together.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 4 << 10;
/// Trailers of one body.
pub const TRAILERS_BYTES_MAX: usize = 8 << 10;
/// Bytes of later requests read from the socket before the current response is sent.
pub const PIPELINED_BYTES_MAX: usize = 16 << 10;
/// Unparsed bytes held by one HTTP/1 connection.
pub const READ_BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX + PIPELINED_BYTES_MAX;

/// Resolution of the timer wheel, in milliseconds: the longest delay of a deadline.
pub const WHEEL_TICK_MS: u64 = 100;
/// Buckets of the timer wheel.
pub const WHEEL_TICKS: u64 = 512;
/// Entries of the cross-core ring; a power of two.
pub const RING_ENTRIES: usize = 4_096;
/// Ring entries that a shard takes before it checks its sockets again.
pub const RING_BATCH_MAX: usize = 256;
/// Publications the sequencer commits together.
pub const COMMIT_BATCH_MAX: usize = 1_024;
/// Publications that wait for the sequencer (503 beyond).
pub const PUBLISH_QUEUE_MAX: usize = 4_096;
/// Bytes of publications between their shard and the last reader of the ring (503 beyond). One is
/// always accepted.
pub const PUBLISH_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of updates that a shard keeps in memory for reconnecting subscribers.
pub const TAIL_BYTES_MAX: usize = 16 << 20;
/// The same, in updates.
pub const TAIL_UPDATES_MAX: usize = 65_536;
/// The shortest event that is compressed. For a shorter one, packet headers are most of what is
/// sent, and compression saves nothing.
pub const COMPRESSED_BYTES_MIN: usize = 128;
/// The longest event that is compressed, about a body of the default size. It takes some
/// milliseconds, in which the shard does nothing else. A longer event is stored.
pub const COMPRESSED_BYTES_MAX: usize = BODY_BYTES_MAX_DEFAULT + (64 << 10);
/// Bytes of an event that are compressed for one unit of [`MATCHING_WORK_MAX`]. So compression in
/// one go is bounded as matching is, even when every subscriber replays from a different position.
pub const COMPRESSED_BYTES_PER_WORK: usize = 4;
/// Copies of an update in memory: the plain one, and one for each coding that a subscriber asked
/// for. An encoded copy is longer than the plain one by a few bytes at most. A tail counts the
/// encoded frames that exist when it takes an update. Encoded frames made later, during replay,
/// come on top of [`TAIL_BYTES_MAX`], and of `HISTORY_MAX_BYTES` for a history in memory; this
/// constant bounds the excess.
pub const COPIES_OF_AN_UPDATE_MAX: usize = 3;
/// Bytes queued for a subscriber before it is served from the history, by default
/// (`SUBSCRIBER_BUFFER`).
pub const SUBSCRIBER_BUFFER_DEFAULT: usize = 256 << 10;
/// Pages of the history file that the store keeps in memory.
pub const STORE_CACHE_BYTES: usize = 16 << 20;
/// Bytes of updates not yet synced to the history file before a commit waits for the disk
/// (`HISTORY_SYNC=interval`).
pub const UNSYNCED_BYTES_MAX: usize = 16 << 20;
/// Discarded updates that one append frees in the history file, on top of twice the number
/// appended. So the file shrinks to a lowered bound, and commits take about the same time.
pub const TRIM_UPDATES_MAX: usize = 256;
/// Discarded updates freed in the history file at once when nothing is published.
pub const TRIM_IDLE_UPDATES_MAX: usize = 4_096;
/// A page of the history file.
pub const STORE_PAGE_BYTES: u64 = 4_096;
/// Approximate overhead of one update in the tables of the history file, in bytes: keys, lengths
/// and half-filled pages.
pub const RECORD_OVERHEAD_BYTES: u64 = 128;
/// Event ids in memory that wait to be written to the index of the history file: about 1 MiB. When
/// a file is opened, the hashes of its last updates, up to four times this number, are read again.
pub const INDEX_WAITING_MAX: usize = 32_768;
/// Buckets for these event ids; a power of two.
pub const INDEX_BUCKETS: usize = 1_024;
/// Event ids moved to the index at once; twice the number that arrives, if that is more.
pub const INDEX_SLICE: usize = 512;
/// Ranges of the index of event ids that have a sum of their own; a power of two. A lookup that the
/// records do not prove reads one of them: about 40 entries in a history of ten million updates.
pub const INDEX_SUMS: u32 = 262_144;
/// Sums of such ranges in one row of the file; a power of two.
pub const INDEX_SUMS_IN_ROW: usize = 16;
/// Updates that one transaction converts when a history file has an older format.
pub const CONVERT_UPDATES: usize = 4_096;
/// Problems of a history file that a check lists. It only counts the others.
pub const PROBLEMS_MAX: usize = 20;
/// Bytes sent at once to a subscriber during replay.
pub const CATCH_UP_BYTES: usize = 64 << 10;
/// Updates examined in one go for a subscriber during replay.
pub const CATCH_UP_UPDATES: usize = 1_024;
/// Work on subscribers in one go, for entries of the ring or for a round of replay. It counts the
/// subscribers that an update was offered to, and the cost of matching ([`MATCH_COST_PER_WORK`]
/// units are one). A unit is about 100 ns. Beyond it, an update pauses before its next topic, or
/// before the next template with a choice.
pub const MATCHING_WORK_MAX: u64 = 64 << 10;
/// The same for one read of the history, and for the subscribers that catch up from the tail: both
/// can be in one round, after another.
pub const REPLAY_WORK_MAX: u64 = 16 << 10;
/// Replies of the history that a shard takes before it checks its other work.
pub const HISTORY_REPLIES_MAX: usize = 64;
/// Timers that a shard handles before it checks its other work.
pub const TIMERS_MAX: usize = 256;
/// Reads of the history that one shard has under way.
pub const HISTORY_READS_MAX: usize = 16;
/// Requests of one shard that wait for the history: reads and lookups of last event ids (503
/// beyond).
pub const HISTORY_REQUESTS_MAX: usize = 16_384;
/// Sockets that a shard writes to before it checks its other work.
pub const FLUSH_BATCH_MAX: usize = 64;
/// The same where one system call makes many sends. Each call costs the kernel as much as a few
/// sends; 1,024 sends of a short frame take 3 ms.
pub const FLUSH_BATCH_RING_MAX: usize = 1_024;
/// Streams of shared sockets (HTTP/2) that a shard writes to before it checks its other work. Those
/// of one socket are written to together, so one socket's may be more.
pub const FLUSH_SHARING_MAX: usize = 1_024;
/// Bytes that are offered to sockets by collected sends, or to streams of shared sockets, before a
/// shard checks its other work.
pub const FLUSH_BYTES_MAX: usize = 8 << 20;
/// Bytes of memory for gathered updates that a shard keeps.
pub const GATHERED_KEPT_BYTES_MAX: usize = 256 << 10;

/// The least time that a stop waits for request bodies and for the events of subscriptions that it
/// ends, in milliseconds. If `DRAIN_TIMEOUT` is longer, it applies.
pub const UNFINISHED_AT_STOP_MS: u64 = 2_000;
/// Lists of active subscriptions that one shard prepares at the same time (503 beyond).
pub const LISTINGS_MAX: usize = 16;
/// Bytes of one list (503 beyond). Some copies of it are made before it is sent.
pub const LISTING_BYTES_MAX: usize = 32 << 20;
/// Bytes of lists that the clients of one shard have not received yet (503 beyond).
pub const LISTINGS_HELD_BYTES_MAX: usize = 64 << 20;
/// Subscriptions that a shard examines for a list before it checks its other work.
pub const LISTING_SLICE: usize = 256;

const _: () = assert!(SUBSCRIPTION_EVENTS_UNDER_WAY_MAX < PUBLISH_QUEUE_MAX);
const _: () = assert!(LOGGED_TEXT_BYTES_MAX < REDACTED_TEXT_BYTES_MAX);
const _: () = assert!(LISTING_BYTES_MAX <= LISTINGS_HELD_BYTES_MAX);
const _: () = assert!(RING_ENTRIES.is_power_of_two());
const _: () = assert!(RING_BATCH_MAX < RING_ENTRIES);
const _: () = assert!(COMMIT_BATCH_MAX <= PUBLISH_QUEUE_MAX);
const _: () = assert!(CATCH_UP_BYTES < SUBSCRIBER_BUFFER_DEFAULT);
const _: () = assert!(COMPRESSED_BYTES_MIN < COMPRESSED_BYTES_MAX);

/// Connections to one side listener: `METRICS_ADDR`, `ACME_HTTP_ADDR`.
pub const SIDE_SERVER_CONNECTIONS_MAX: usize = 16;
/// How often such a listener checks whether the hub stops, in milliseconds.
pub const SIDE_SERVER_POLL_MS: u64 = 500;
/// Time limit of one connection to it, in milliseconds.
pub const SIDE_SERVER_CONNECTION_MS: u64 = 10_000;

/// Connections that wait to be accepted, for each shard. The kernel lowers it to
/// `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4_096;
/// `SO_SNDBUF` of a connection. The kernel doubles it for its own overhead.
pub const SUBSCRIBER_SOCKET_BYTES: usize = 64 << 10;
/// The longest that a round of a shard should take, in microseconds. Longer ones are counted.
pub const ROUND_US_LONG: u64 = 20_000;
/// Socket events that a shard takes at once.
pub const EVENTS_MAX: usize = 512;
/// Connections that a shard accepts before it checks its other work.
pub const ACCEPT_BATCH_MAX: usize = 64;
/// Time that a shard waits in its epoll set before its executor waits instead, in milliseconds. It
/// is longer than a tick of the wheel, so a hub with timers stays in the set.
pub const EPOLL_WAIT_MS_MAX: u64 = 2 * WHEEL_TICK_MS;
/// How long accepting pauses when no descriptor is left, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Connections beyond the limit that are answered and then read for at most [`LINGER_MS`], so that
/// their clients receive the response. Further ones are answered and closed at once.
pub const REFUSALS_MAX: usize = 32;
/// Descriptors reserved for everything but accepted connections: listeners, rings, the history,
/// logs, and refused connections.
pub const RESERVED_FDS: u64 = 64 + REFUSALS_MAX as u64;
/// Descriptors for which the kernel's table is made large enough at the start, at most: 1 MiB.
pub const DESCRIPTORS_RESERVED_MAX: usize = 128 << 10;
/// Connections that wait for a shard that did not accept them itself.
pub const HANDED_OFF_MAX: usize = 1_024;
/// Time after the first stop signal in which another one counts as the same stop, in milliseconds.
/// A signal may be sent both to a process and to its group.
pub const SIGNAL_ECHO_MS: u64 = 200;
/// Time that the hub has to end by itself after a second stop signal, in milliseconds.
pub const SIGNAL_PATIENCE_MS: u64 = 1_000;
/// A file with a key.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;
/// Time that a stopping hub still accepts publications when another process holds its socket, in
/// milliseconds. So each publisher on an open connection gets a response that announces the end of
/// the connection.
pub const HANDOVER_MS: u64 = 1_000;
/// Maps that count connections per address and subscriptions per token. Each has a lock.
pub const QUOTA_MAPS: usize = 16;
/// The shortest time before a peer that acknowledges nothing is disconnected, in milliseconds,
/// whatever `HEARTBEAT_INTERVAL` is. Mobile networks lose contact for seconds.
pub const PEER_TIMEOUT_MS_MIN: u64 = 4_500;
/// The longest such time, in milliseconds. It applies when there are no heartbeats.
pub const PEER_TIMEOUT_MS_MAX: u64 = 120_000;
/// Time that a connection may be idle between two requests, in milliseconds.
pub const KEEP_ALIVE_IDLE_MS: u64 = 60_000;
/// Time that a closing connection is still read, so that its client can read the response, in
/// milliseconds.
pub const LINGER_MS: u64 = 2_000;
/// Bytes read from a closing connection at most. Then it is closed, whatever is left.
pub const LINGER_BYTES_MAX: usize = 8 << 20;
/// Steps of one connection (a read, a request) before the others get their slice.
pub const SERVE_STEPS_MAX: usize = 16;
/// Bytes read from one connection before the others get their slice. Heads with many selectors are
/// few steps and much work.
pub const SERVE_BYTES_MAX: usize = 64 << 10;
/// Slices of work for connections that make requests before a shard checks its other work.
pub const SERVE_SLICES_MAX: usize = 128;
/// Time for these slices together, in microseconds; the last one may exceed it. A slice of HTTP/2
/// ends after [`SERVE_SLICE_US`]; a handshake may sign with an RSA key, which takes a millisecond.
pub const SERVE_US_MAX: u64 = 6_000;
/// The same for connections in the middle of a long body, which are served after all others.
pub const SERVE_BULK_US_MAX: u64 = 2_000;
/// From this length on, a body that arrives is a long one.
pub const BULK_BODY_BYTES: usize = 64 << 10;
/// Length of a slice, in microseconds, where it can end early: a few bytes of HTTP/2 may stand for
/// many fields.
pub const SERVE_SLICE_US: u64 = 150;
/// Bytes of a client's text in one line of the log.
pub const LOGGED_TEXT_BYTES_MAX: usize = 256;
/// Bytes of such a text that are searched for secrets. What is shown begins in them, since a long
/// token is shown as a few characters.
pub const REDACTED_TEXT_BYTES_MAX: usize = 2 << 10;
/// Lines of one kind that each shard logs in a second. It counts the others.
pub const SAMPLED_LINES_PER_S: u32 = 100;
/// How often the log names a client that still speaks draft 04 or 07 where the hub speaks draft 08,
/// too, in milliseconds.
pub const OLDER_CLIENT_LOGGED_MS: u64 = 60_000;
/// How many such clients each shard names in that time.
pub const OLDER_CLIENTS_LOGGED_MAX: usize = 8;
/// Bytes read at once from a socket.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// Time that a stop may take beyond `DRAIN_TIMEOUT`, in milliseconds.
pub const DRAIN_GRACE_MS: u64 = 5_000;
/// How often the shards are checked within one watchdog interval of the service manager
/// (`WatchdogSec=`).
pub const HEARTBEATS_PER_WATCHDOG: u32 = 4;
/// The shortest time between two such checks, in milliseconds. Each one wakes every shard.
pub const WATCHDOG_CHECK_MS_MIN: u64 = 10;
/// How long the end of the process waits for messages to a service manager that does not read, in
/// milliseconds.
pub const NOTIFY_AT_END_MS: u64 = 200;
/// Locked memory that the rings of one executor need.
pub const MEMLOCK_BYTES_PER_SHARD: u64 = 512 << 10;
/// Connections that `petasos check` assumes when no number is given.
pub const CONNECTIONS_CHECKED_DEFAULT: u64 = 10_000;
/// Kernel memory of one small update on its way to one subscriber. TCP accounts by the page.
pub const TCP_BYTES_PER_CONNECTION: u64 = 4 << 10;
/// Plaintext of one TLS record (RFC 8446, section 5.1).
pub const TLS_RECORD_BYTES_MAX: usize = 16 << 10;
/// One such record when encrypted, with anything sent before it: a key update, an alert.
pub const TLS_SEALED_BYTES_MAX: usize = TLS_RECORD_BYTES_MAX + (2 << 10);
/// Bytes received on a TLS connection that are not a whole record or handshake message yet. A
/// record takes 18 KiB at most, and a client's handshake is far smaller than this.
pub const TLS_INCOMING_BYTES_MAX: usize = 32 << 10;
/// Encrypted bytes that wait for the socket of one TLS connection: our side of a handshake with a
/// long certificate chain, or one record. Beyond, the connection is closed.
pub const TLS_OUTGOING_BYTES_MAX: usize = 128 << 10;
/// Steps of rustls between two calls: records, handshake messages, data to encode. More are a
/// defect.
pub const TLS_STEPS_MAX: usize = 1 << 17;
/// Time limit of a TLS handshake, in milliseconds, whatever `HEADER_TIMEOUT` is.
pub const TLS_HANDSHAKE_MS: u64 = 10_000;
/// Bytes that a client may send on a TLS stream, where only key updates and the end are expected.
/// Every byte has to be decrypted; on a plain stream the kernel holds them back.
pub const TLS_STREAM_BYTES_MAX: usize = 64 << 10;
/// Streams that a client may have open on one HTTP/2 connection
/// (`SETTINGS_MAX_CONCURRENT_STREAMS`).
pub const HTTP2_STREAMS_MAX: u32 = 256;
/// Unread bytes that a client may send on one HTTP/2 stream: the body of a publication.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// The same for all streams of a connection together.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// Bodies of the maximum size that one HTTP/2 connection may have under way (503 beyond). Smaller
/// bodies count by their bytes.
pub const HTTP2_BODIES_MAX: u64 = 2;
/// Bytes queued in one stream of an HTTP/2 connection that the connection has not written yet.
pub const HTTP2_STREAM_QUEUE_BYTES_MAX: usize = 64 << 10;
/// The same for all streams of a connection. Beyond, nothing more is queued, except the rest of a
/// stream that was begun.
pub const HTTP2_QUEUE_BYTES_MAX: usize = 256 << 10;
/// Bytes of an HTTP/2 connection that are read at once, after a request and at the beginning of a
/// slice. A byte can stand for a field of 4 KiB, which takes microseconds to decode.
pub const HTTP2_READ_BYTES_MIN: usize = 1 << 10;
/// The same when the last bytes read held no request.
pub const HTTP2_READ_BYTES_MAX: usize = 16 << 10;
/// Bytes that an HTTP/2 connection sends at once.
pub const HTTP2_SEND_BYTES: usize = 64 << 10;
/// Streams that we reset and that may still receive frames; also, streams that the client reset
/// before they were accepted.
pub const HTTP2_RESET_STREAMS_MAX: usize = 32;
/// Streams of one connection that we reset because of the client's errors, before it is closed.
pub const HTTP2_ERRORS_MAX: usize = 256;
/// Frames other than requests and data that a client may send on one HTTP/2 connection at once.
pub const HTTP2_CREDIT_REFILLED_MAX: u64 = 2_000;
/// Rate of such frames that it may sustain, per second.
pub const HTTP2_CREDIT_PER_S: u64 = 200;
/// Additional window updates for each frame that was sent to it. A client may update two windows
/// for each frame.
pub const HTTP2_CREDIT_PER_FRAME_SENT: u64 = 4;
/// The largest number of such window updates that can accumulate.
pub const HTTP2_CREDIT_MAX: u64 = 1 << 16;
/// Size of each of the files `CERT_FILE` and `KEY_FILE`.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 1 << 20;
/// How often these files are checked, in milliseconds. A change is read when two checks in a row
/// find the same state, since two files are not replaced at the same moment.
pub const CERTIFICATE_LOOK_MS: u64 = 2_000;
/// How far in the future a certificate's validity may begin, in milliseconds. Clocks differ.
pub const CERTIFICATE_CLOCK_MS: u64 = 5 * 60 * 1_000;
/// Time before expiry at which warnings about a certificate begin, in milliseconds.
pub const CERTIFICATE_WARNING_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// Interval between these warnings, in milliseconds.
pub const CERTIFICATE_WARNING_EVERY_MS: u64 = 24 * 3_600 * 1_000;
/// Bytes that `petasos health` reads of a response that is not a 200.
pub const HEALTH_BODY_BYTES_MAX: u64 = 4 << 10;
/// Names in `ACME_HOSTS`. An authority accepts no more in one certificate.
pub const ACME_HOSTS_MAX: usize = 100;
/// Size of an authority's response to one request.
pub const ACME_RESPONSE_BYTES_MAX: u64 = 1 << 20;
/// Characters of an authority's text about one host in a line of the log.
pub const ACME_TEXT_CHARS_MAX: usize = 600;
/// Time limit of one request to an authority, in milliseconds.
pub const ACME_REQUEST_MS: u64 = 30_000;
/// Time limit of an authority's check of the hosts, or of its issue of a certificate, in
/// milliseconds.
pub const ACME_ORDER_MS: u64 = 120_000;
/// Time limit of one whole attempt to get a certificate, in milliseconds.
pub const ACME_TRY_MS: u64 = 600_000;
/// The pause after a first failed attempt, in milliseconds. Each further failure doubles it.
pub const ACME_PAUSE_MS: u64 = 60_000;
/// The same after the authority checked a host and refused it. The authority limits these failures
/// (Let's Encrypt: five for each name and hour, and an attempt may take two).
pub const ACME_PAUSE_REFUSED_MS: u64 = 15 * 60_000;
/// The same after the authority reported too many requests.
pub const ACME_PAUSE_LIMITED_MS: u64 = 3_600_000;
/// The longest pause, in milliseconds.
pub const ACME_PAUSE_MS_MAX: u64 = 6 * 3_600_000;
/// How often the time is checked while a certificate is valid, in milliseconds. A clock may jump.
pub const ACME_LOOK_MS: u64 = 60_000;
const _: () = assert!(ACME_REQUEST_MS < ACME_TRY_MS && 4 * ACME_ORDER_MS < ACME_TRY_MS);
const _: () = assert!(ACME_PAUSE_MS < ACME_PAUSE_REFUSED_MS && ACME_PAUSE_LIMITED_MS < ACME_PAUSE_MS_MAX);
const _: () = assert!(2 * SIDE_SERVER_CONNECTIONS_MAX as u64 <= RESERVED_FDS);
const _: () = assert!(HISTORY_READS_MAX < HISTORY_REQUESTS_MAX);
const _: () = assert!(TLS_SEALED_BYTES_MAX < TLS_INCOMING_BYTES_MAX);
const _: () = assert!(TLS_SEALED_BYTES_MAX < TLS_OUTGOING_BYTES_MAX);
const _: () = assert!(HTTP2_STREAM_WINDOW_BYTES <= HTTP2_CONNECTION_WINDOW_BYTES);
const _: () = assert!(HTTP2_STREAM_QUEUE_BYTES_MAX <= HTTP2_QUEUE_BYTES_MAX);
const _: () =
    assert!(HTTP2_CREDIT_PER_S < HTTP2_CREDIT_REFILLED_MAX && HTTP2_CREDIT_REFILLED_MAX < HTTP2_CREDIT_MAX);
const _: () = assert!(INDEX_BUCKETS.is_power_of_two() && INDEX_WAITING_MAX / INDEX_BUCKETS < INDEX_SLICE);
const _: () = assert!(INDEX_SUMS.is_power_of_two() && INDEX_SUMS_IN_ROW.is_power_of_two());
const _: () = assert!(INDEX_SUMS as usize > INDEX_SUMS_IN_ROW);
const _: () = assert!(INDEX_SLICE + 2 * COMMIT_BATCH_MAX < INDEX_WAITING_MAX);
const _: () = assert!(BODY_BYTES_MAX_DEFAULT < LINGER_BYTES_MAX);

/// The least `MEMORY_MAX`: twice what a hub takes that serves nothing.
pub const MEMORY_MAX_MIN: u64 = 32 << 20;
/// The share of the limit of the cgroup or the host that is left to what the hub does not count,
/// and the largest share of `MEMORY_MAX` for one body: one of this number of parts.
pub const MEMORY_PARTS: u64 = 8;
/// The least such share: the code of the hub and the cache of its files.
pub const MEMORY_SHARE_MIN: u64 = 24 << 20;
/// The first mark, in such parts of `MEMORY_MAX`: from here on, new subscriptions and lists are
/// refused.
pub const MEMORY_REFUSE_PARTS: u64 = 6;
/// The second mark: from here on, all new work is refused, and some of the old is ended. What is
/// left beyond is for what a round can add before it looks.
pub const MEMORY_SHED_PARTS: u64 = 7;
/// For all requests together that have not arrived completely, in such parts.
pub const MEMORY_REQUESTS_PARTS: u64 = 2;
/// Bytes that a shard counts for itself before it adds them to the account of the process.
pub const MEMORY_CHUNK_BYTES: usize = 64 << 10;
/// A shard gives freed memory back when it has freed one of this number of parts of `MEMORY_MAX`,
/// even while it works.
pub const MEMORY_FREED_PARTS: u64 = 16;
/// An idle shard does so, too, when it has freed this much: to look for what can be given back
/// takes some milliseconds where there are very many subscribers.
pub const MEMORY_FREED_IDLE_BYTES: u64 = 256 << 10;
/// A shard looks at the resident memory when it has counted one of this number of parts of
/// `MEMORY_MAX` anew: what the allocator keeps of freed memory is not counted.
pub const MEMORY_GROWN_PARTS: u64 = 64;
/// How often the account is compared with the resident memory while a shard works, in milliseconds.
/// After this time without work, a shard gives freed memory back to the host, and once more after
/// [`MEMORY_UPKEEP_AGAIN_MS`]: two shards that do so at the same moment can hinder each other.
pub const MEMORY_UPKEEP_MS: u64 = 500;
/// See [`MEMORY_UPKEEP_MS`].
pub const MEMORY_UPKEEP_AGAIN_MS: u64 = 1_500;
/// How often a shard ends something while the second mark is exceeded, in milliseconds.
pub const MEMORY_SHED_MS: u64 = 100;
/// How long a connection must have been idle before it is ended then, in milliseconds: a request
/// may be on its way.
pub const MEMORY_QUIET_MS: u64 = 1_000;
/// Connections and subscribers that are examined each time.
pub const MEMORY_SHED_EXAMINED_MAX: usize = 4_096;
/// Subscriptions that are ended each time.
pub const MEMORY_SHED_SUBSCRIPTIONS_MAX: usize = 64;
/// The kernel's memory of a connection without data: half of what `Slab` in `/proc/meminfo` grows
/// by for each of 15,000 connections over loopback, whose other ends are here, too.
pub const SOCKET_KERNEL_BYTES: usize = 5 << 10;
/// What the kernel holds for a socket that is full: `SO_SNDBUF`, doubled.
pub const SOCKET_FULL_BYTES: usize = 2 * SUBSCRIBER_SOCKET_BYTES;
/// A connection in the hub, with its subscriber if it has one, without selectors: 472 bytes with
/// one short selector, over 15,000 of them.
pub const CONNECTION_BYTES: usize = 400;
/// A TLS session: 4.3 KB with the connection, as tests/idle measures it.
pub const TLS_SESSION_BYTES: usize = 4 << 10;
/// An HTTP/2 connection with its buffers and tables: 19 KB without a stream, 26 KB with the first,
/// over 1,000 of them.
pub const HTTP2_CONNECTION_BYTES: usize = 24 << 10;
/// What a body adds to the buffers of its connection: 20 KB, over 1,500 of them.
pub const HTTP2_BODY_BUFFER_BYTES: usize = 24 << 10;
/// A stream of it with its subscriber: 1,147 bytes, over 10,000 of them.
pub const HTTP2_STREAM_BYTES: usize = 1_200;
/// A selector in an index beside its text: 75 to 120 bytes, over 25,000 of them.
pub const SELECTOR_HELD_BYTES: usize = 100;
/// A head or a tail of its own, beside texts and programs: 220 to 330 bytes.
pub const SELECTOR_PARTS_BYTES: usize = 280;
/// The text of a selector that is announced, beside itself.
pub const SELECTOR_ANNOUNCED_BYTES: usize = 64;
/// Time before the rate of a request body counts, in milliseconds.
pub const BODY_GRACE_MS: u64 = 10_000;
/// The least rate at which a request body must arrive after that, on average, in bytes per second.
/// The slowest modem of a phone line has more.
pub const BODY_BYTES_PER_S_MIN: u64 = 1 << 10;

const _: () = assert!(MEMORY_REFUSE_PARTS < MEMORY_SHED_PARTS && MEMORY_SHED_PARTS < MEMORY_PARTS);
