//! Every bound of the system, with the relations between them checked at compile time.
//!
//! Sizes are bytes unless the name says otherwise. A bound that a setting can change is here as its default.

/// Length of one topic selector (PROTOCOL section 2).
pub const SELECTOR_BYTES_MAX: usize = 4_096;
/// Selectors of one subscription, by default (`MAX_SELECTORS`).
pub const SELECTORS_MAX_DEFAULT: usize = 1_000;
/// Compiled size of one URI Template, in states.
pub const TEMPLATE_STATES_MAX: usize = 4_096;
/// The same for all selectors of one subscription, each counting as one at least: what an update may cost per byte of its
/// topic, and what a subscriber may cost in memory.
pub const SUBSCRIPTION_STATES_MAX: u32 = 16_384;
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
/// Keys that one key set may list (`JWKS_URL`).
pub const JWKS_KEYS_MAX: usize = 64;
/// The document of a key set.
pub const JWKS_BYTES_MAX: u64 = 256 << 10;
/// How long a fetch of a key set may take, with its redirects, in milliseconds.
pub const JWKS_FETCH_MS: u64 = 10_000;
/// Redirects of one fetch.
pub const JWKS_REDIRECTS_MAX: u32 = 3;
/// How often a key set is fetched anew, in milliseconds: so long at most, a key that was withdrawn is believed.
pub const JWKS_REFRESH_MS: u64 = 5 * 60_000;
/// How often tokens that name unknown keys may have it fetched before that, in milliseconds.
pub const JWKS_ASK_EVERY_MS: u64 = 60_000;
/// How long after a fetch that failed the next one begins, in milliseconds; twice as long after each, up to
/// [`JWKS_RETRY_MS_MAX`].
pub const JWKS_RETRY_MS_MIN: u64 = 1_000;
/// See [`JWKS_RETRY_MS_MIN`].
pub const JWKS_RETRY_MS_MAX: u64 = 60_000;
/// Verified tokens remembered by one shard.
pub const TOKEN_CACHE_MAX: usize = 1_024;

/// Path and query of a resource of demo mode. They come back in a header, escaped, and clients bound those by 64 KiB or more.
pub const DEMO_TARGET_BYTES_MAX: usize = 16 << 10;
/// The token that the playground makes a cookie of: browsers keep 4,096 bytes with the name (RFC 6265bis, section 5.6).
pub const DEMO_COOKIE_BYTES_MAX: usize = 4_000;
/// Topics that the matcher over HTTP takes at once.
pub const MATCH_TOPICS_MAX: usize = 100;
/// What they may cost it, in states that each byte of a topic may pass: some milliseconds, in which its shard does nothing else.
pub const MATCH_STEPS_MAX: usize = 1 << 20;

const _: () = assert!(3 * DEMO_TARGET_BYTES_MAX + DEMO_COOKIE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(SELECTOR_BYTES_MAX + DEMO_COOKIE_BYTES_MAX < DEMO_TARGET_BYTES_MAX);
const _: () = assert!(JWKS_RETRY_MS_MIN <= JWKS_RETRY_MS_MAX && JWKS_RETRY_MS_MAX <= JWKS_REFRESH_MS);
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(TEMPLATE_STATES_MAX < SUBSCRIPTION_STATES_MAX as usize);
const _: () = assert!(TOKEN_BYTES_MAX < TARGET_BYTES_MAX);
const _: () = assert!(SELECTOR_BYTES_MAX < TARGET_BYTES_MAX);
const _: () = assert!(EVENT_ID_BYTES_MAX < TARGET_BYTES_MAX);
const _: () = assert!(SELECTORS_MAX_DEFAULT <= FORM_FIELDS_MAX);
const _: () = assert!(TOPICS_MAX + TARGETS_MAX < FORM_FIELDS_MAX);
/// The request line: the target, the method and the version.
pub const REQUEST_LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 64;
/// Empty lines tolerated before a request line (RFC 9112, section 2.2).
pub const EMPTY_LINES_MAX: usize = 4;
/// `Host`: a domain name or an address, a colon and a port.
pub const HOST_BYTES_MAX: usize = 255 + 6;
/// Extensions of all chunks of one body together.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 4 << 10;
/// Trailers of one body.
pub const TRAILERS_BYTES_MAX: usize = 8 << 10;
/// Bytes of later requests taken from the socket while a request is being answered.
pub const PIPELINED_BYTES_MAX: usize = 16 << 10;
/// What one HTTP/1 connection holds unparsed.
pub const READ_BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX + PIPELINED_BYTES_MAX;

const _: () = assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX);

/// Resolution of the timer wheel, in milliseconds: how late a deadline may fire.
pub const WHEEL_TICK_MS: u64 = 100;
/// Buckets of the timer wheel.
pub const WHEEL_TICKS: u64 = 512;
/// Entries of the cross-core ring; a power of two.
pub const RING_ENTRIES: usize = 4_096;
/// Ring entries a shard takes before it looks at its sockets again.
pub const RING_BATCH_MAX: usize = 256;
/// Publications the sequencer commits together.
pub const COMMIT_BATCH_MAX: usize = 1_024;
/// Publications that wait for the sequencer (503 beyond).
pub const PUBLISH_QUEUE_MAX: usize = 4_096;
/// Bytes of publications between their shard and the last reader of the ring (503 beyond), but one is always taken.
pub const PUBLISH_QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes of updates a shard keeps in memory for those who reconnect.
pub const TAIL_BYTES_MAX: usize = 16 << 20;
/// The same, in updates.
pub const TAIL_UPDATES_MAX: usize = 65_536;
/// The shortest event that is compressed. Below, the headers of a packet are most of what is sent, and nothing is saved.
pub const COMPRESSED_BYTES_MIN: usize = 128;
/// The longest event that is compressed, about that of a body of the default size: it takes some milliseconds, in which its
/// shard does nothing else. A longer one is stored.
pub const COMPRESSED_BYTES_MAX: usize = BODY_BYTES_MAX_DEFAULT + (64 << 10);
/// Bytes of an event that are compressed for one unit of [`MATCHING_WORK_MAX`]: what is compressed in one go is bounded as
/// matching is, also when everybody catches up at another place.
pub const COMPRESSED_BYTES_PER_WORK: usize = 4;
/// How often an update can be in memory: plain, and encoded for each coding that a subscriber asked for, none of them
/// longer than the plain one by more than a few bytes. Tails count the encoded frames that are there when they take an update.
/// Encoded frames made later, for those who catch up, are beyond [`TAIL_BYTES_MAX`] and beyond `HISTORY_MAX_BYTES` of a history in
/// memory, and this is by how much at most.
pub const COPIES_OF_AN_UPDATE_MAX: usize = 3;
/// Bytes a subscriber may owe before it is served from the history, by default (`SUBSCRIBER_BUFFER`).
pub const SUBSCRIBER_BUFFER_DEFAULT: usize = 256 << 10;
/// Pages of the history file that the store keeps in memory.
pub const STORE_CACHE_BYTES: usize = 16 << 20;
/// Bytes of updates that the history file may lack before a commit waits for the disk (`HISTORY_SYNC=interval`).
pub const UNSYNCED_BYTES_MAX: usize = 16 << 20;
/// Discarded updates that the history file frees with an append, beyond twice as many as are appended: a bound that was
/// lowered is caught up with, and no commit takes much longer than another.
pub const TRIM_UPDATES_MAX: usize = 256;
/// Discarded updates that the history file frees at once when nothing is published.
pub const TRIM_IDLE_UPDATES_MAX: usize = 4_096;
/// A page of the history file.
pub const STORE_PAGE_BYTES: u64 = 4_096;
/// What the tables of the history file add to an update, in bytes, about: keys, lengths and half-filled pages.
pub const RECORD_OVERHEAD_BYTES: u64 = 128;
/// Event ids that wait in memory for their place in the index of the history file: about 1 MiB. When a file is opened, the hashes
/// of its last updates, up to four times as many, are read again.
pub const INDEX_WAITING_MAX: usize = 32_768;
/// Buckets that they wait in; a power of two.
pub const INDEX_BUCKETS: usize = 1_024;
/// How many of them are moved at once, or twice as many as come.
pub const INDEX_SLICE: usize = 512;
/// Problems of a history file that a check lists; it counts the others.
pub const PROBLEMS_MAX: usize = 20;
/// Bytes given at once to a subscriber that catches up.
pub const CATCH_UP_BYTES: usize = 64 << 10;
/// Updates looked at in one go for a subscriber that catches up.
pub const CATCH_UP_UPDATES: usize = 1_024;
/// Work on subscribers in one go, be it entries of the ring or a round of catching up: subscribers that an update was
/// offered to, and states of selectors that one was compared with. What is begun, one update, is finished.
pub const MATCHING_WORK_MAX: u64 = 64 << 10;
/// Replies of the history that a shard takes before it looks at its other work.
pub const HISTORY_REPLIES_MAX: usize = 64;
/// Timers that a shard handles before it looks at its other work.
pub const TIMERS_MAX: usize = 256;
/// Reads of the history one shard has under way.
pub const HISTORY_READS_MAX: usize = 16;
/// Requests that wait for the history, for each shard: reads and lookups of last event ids (503 beyond).
pub const HISTORY_REQUESTS_MAX: usize = 16_384;
/// Sockets a shard writes to before it looks at its other work.
pub const FLUSH_BATCH_MAX: usize = 64;

/// Bytes of subscribers that have ended and whose events wait in one shard, since the history takes none; beyond, no subscription
/// begins (503). Those that end are told all the same.
pub const SUBSCRIPTIONS_ENDED_BYTES_MAX: usize = 32 << 20;
/// Events of subscriptions that one shard has handed to the sequencer: publishers share its queue.
pub const SUBSCRIPTION_EVENTS_UNDER_WAY_MAX: usize = 256;
/// Bytes of the events by which one client that comes makes itself known: its payload is in the event of each of its selectors.
pub const SUBSCRIPTION_EVENTS_BYTES_MAX: usize = 4 << 20;
/// How long a shard leaves the sequencer alone that had no room for an event, or whose history refused it, in milliseconds.
pub const SUBSCRIPTION_EVENTS_PAUSE_MS: u64 = 250;
/// How long a stop waits at least for bodies that are coming in and for the events of subscriptions that end with it, in
/// milliseconds; else `DRAIN_TIMEOUT`.
pub const UNFINISHED_AT_STOP_MS: u64 = 2_000;
/// Lists of active subscriptions that one shard is asked for at once (503 beyond).
pub const LISTINGS_MAX: usize = 16;
/// Bytes of one list (503 beyond). Some copies of it are made on its way.
pub const LISTING_BYTES_MAX: usize = 32 << 20;
/// Bytes of the lists that the clients of one shard have not taken (503 beyond).
pub const LISTINGS_HELD_BYTES_MAX: usize = 64 << 20;
/// Subscriptions that a shard looks at for a list before it looks at its other work.
pub const LISTING_SLICE: usize = 256;

const _: () = assert!(SUBSCRIPTION_EVENTS_UNDER_WAY_MAX < PUBLISH_QUEUE_MAX);
const _: () = assert!(LISTING_BYTES_MAX <= LISTINGS_HELD_BYTES_MAX);
const _: () = assert!(RING_ENTRIES.is_power_of_two());
const _: () = assert!(RING_BATCH_MAX < RING_ENTRIES);
const _: () = assert!(COMMIT_BATCH_MAX <= PUBLISH_QUEUE_MAX);
const _: () = assert!(CATCH_UP_BYTES < SUBSCRIBER_BUFFER_DEFAULT);
const _: () = assert!(COMPRESSED_BYTES_MIN < COMPRESSED_BYTES_MAX);
const _: () = assert!(COPIES_OF_AN_UPDATE_MAX == 1 + crate::protocol::coding::Coding::ALL.len());

/// Connections to a listener beside the hub's own: `METRICS_ADDR`, `ACME_HTTP_ADDR`.
pub const SIDE_SERVER_CONNECTIONS_MAX: usize = 16;
/// How often such a listener looks whether the hub stops, in milliseconds.
pub const SIDE_SERVER_POLL_MS: u64 = 500;
/// How long one of them may take, from its beginning to its end, in milliseconds.
pub const SIDE_SERVER_CONNECTION_MS: u64 = 10_000;

/// Connections that wait to be accepted, for each shard; the kernel lowers it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4_096;
/// `SO_SNDBUF` of a connection; the kernel doubles it for its own overhead.
pub const SUBSCRIBER_SOCKET_BYTES: usize = 64 << 10;
/// Socket events a shard takes at once.
pub const EVENTS_MAX: usize = 512;
/// Connections a shard accepts before it looks at its other work.
pub const ACCEPT_BATCH_MAX: usize = 64;
/// How long a shard waits in its epoll set before it leaves waiting to its executor, in milliseconds: longer than a tick of
/// the wheel, so that a hub with timers stays in the set.
pub const EPOLL_WAIT_MS_MAX: u64 = 2 * WHEEL_TICK_MS;
/// How long accepting pauses when no descriptor is left, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Connections beyond the limit that are told so, and read for [`LINGER_MS`] at most so that their clients can hear it. Others
/// are told and closed at once.
pub const REFUSALS_MAX: usize = 32;
/// Descriptors kept for everything that is not a connection: listeners, rings, the history, logs, and connections that are
/// refused.
pub const RESERVED_FDS: u64 = 64 + REFUSALS_MAX as u64;
/// Connections that wait for a shard which did not accept them itself.
pub const HANDED_OFF_MAX: usize = 1_024;
/// How long after the first signal that ends the hub another one is the same stop, told twice (to a process and to its group), in
/// milliseconds.
pub const SIGNAL_ECHO_MS: u64 = 200;
/// How long the hub is given to end by itself when a second signal asks for it, in milliseconds.
pub const SIGNAL_PATIENCE_MS: u64 = 1_000;
/// A file with a key.
pub const KEY_FILE_BYTES_MAX: u64 = 1 << 20;
/// How long a hub that stops still takes publications, when somebody else holds its socket, in milliseconds: each publisher on an
/// open connection learns with an answer that the connection ends.
pub const HANDOVER_MS: u64 = 1_000;
/// Maps that connections of an address, and subscriptions of a token, are counted in; each has a lock.
pub const QUOTA_MAPS: usize = 16;
/// The shortest time after which a peer that acknowledges nothing is given up, in milliseconds, whatever `HEARTBEAT_INTERVAL`
/// is: mobile networks lose contact for seconds.
pub const PEER_TIMEOUT_MS_MIN: u64 = 4_500;
/// The longest such time, in milliseconds; without heartbeats it is this.
pub const PEER_TIMEOUT_MS_MAX: u64 = 120_000;
/// How long a connection may idle between two requests, in milliseconds.
pub const KEEP_ALIVE_IDLE_MS: u64 = 60_000;
/// How long a closing connection is read and not answered, so that its client can read the answer, in milliseconds.
pub const LINGER_MS: u64 = 2_000;
/// Bytes that a closing connection is read for at most; then it is closed with what is left.
pub const LINGER_BYTES_MAX: usize = 8 << 20;
/// Steps of one connection (a read, a request) before the others get their slice.
pub const SERVE_STEPS_MAX: usize = 16;
/// Bytes read from one connection before the others get their slice: heads of many selectors are few steps and much work.
pub const SERVE_BYTES_MAX: usize = 64 << 10;
/// Slices of work for connections that make requests before a shard looks at its other work.
pub const SERVE_SLICES_MAX: usize = 128;
/// How long a slice is, in microseconds. One that takes longer counts as several: a handshake may sign with an RSA key, which takes
/// a millisecond, and a few bytes of HTTP/2 may stand for many fields.
pub const SERVE_SLICE_US: u64 = 150;
/// Bytes of a client's text that go into one line of the log.
pub const LOGGED_TEXT_BYTES_MAX: usize = 256;
/// Lines of one kind that each shard writes to the log in a second; it counts the others.
pub const SAMPLED_LINES_PER_S: u32 = 100;
/// Bytes read at once from a socket.
pub const READ_BYTES_MAX: usize = 64 << 10;
/// How long a stop may take beyond `DRAIN_TIMEOUT`, in milliseconds.
pub const DRAIN_GRACE_MS: u64 = 5_000;
/// How often the shards are looked at while the service manager waits for one heartbeat (`WatchdogSec=`).
pub const HEARTBEATS_PER_WATCHDOG: u32 = 4;
/// The shortest time between two such looks, in milliseconds: each wakes every shard.
pub const WATCHDOG_CHECK_MS_MIN: u64 = 10;
/// Locked memory that the rings of one executor need.
pub const MEMLOCK_BYTES_PER_SHARD: u64 = 512 << 10;
/// Connections that `petasos check` takes for granted when nobody says how many.
pub const CONNECTIONS_CHECKED_DEFAULT: u64 = 10_000;
/// Kernel memory of one small update on its way to one subscriber: TCP accounts by the page.
pub const TCP_BYTES_PER_CONNECTION: u64 = 4 << 10;
/// Plaintext of one TLS record (RFC 8446, section 5.1).
pub const TLS_RECORD_BYTES_MAX: usize = 16 << 10;
/// What may be made of one such record, with whatever goes before it: a key update, an alert.
pub const TLS_SEALED_BYTES_MAX: usize = TLS_RECORD_BYTES_MAX + (2 << 10);
/// Bytes received on a TLS connection that are not a whole record, or not a whole handshake message: a record takes 18 KiB
/// at most, and no handshake of a client comes near this.
pub const TLS_INCOMING_BYTES_MAX: usize = 32 << 10;
/// Encrypted bytes that wait for the socket of one TLS connection: our side of a handshake with a long chain of
/// certificates, or one record. Beyond, the connection is closed.
pub const TLS_OUTGOING_BYTES_MAX: usize = 128 << 10;
/// Steps of rustls from one call to the next: records, handshake messages, what is to be encoded. More are a defect.
pub const TLS_STEPS_MAX: usize = 1 << 17;
/// How long a TLS handshake may take, in milliseconds, whatever `HEADER_TIMEOUT` says.
pub const TLS_HANDSHAKE_MS: u64 = 10_000;
/// Bytes that a client may send on a TLS stream, where nothing is expected but key updates and the end: every one of them has to
/// be decrypted, while the kernel holds back what is sent on a plain stream.
pub const TLS_STREAM_BYTES_MAX: usize = 64 << 10;
/// Streams that a client may have open on one HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
pub const HTTP2_STREAMS_MAX: u32 = 256;
/// What a client may send on one HTTP/2 stream before it is read, and on all of them together: bodies of publications.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// See [`HTTP2_STREAM_WINDOW_BYTES`].
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// Bodies of largest size that one HTTP/2 connection may have under way (503 beyond); smaller ones count by their bytes.
pub const HTTP2_BODIES_MAX: u64 = 2;
/// Bytes queued in one stream of an HTTP/2 connection, which the connection has not written.
pub const HTTP2_STREAM_QUEUE_BYTES_MAX: usize = 64 << 10;
/// The same on all streams of a connection, beyond which nothing is queued; what is begun, one stream's, is finished.
pub const HTTP2_QUEUE_BYTES_MAX: usize = 256 << 10;
/// Bytes of an HTTP/2 connection that are read at once, behind a request and at the beginning of a slice: a byte can stand for a
/// field of 4 KiB, which takes microseconds to decode.
pub const HTTP2_READ_BYTES_MIN: usize = 1 << 10;
/// The same, when the last that were read held no request.
pub const HTTP2_READ_BYTES_MAX: usize = 16 << 10;
/// Bytes that an HTTP/2 connection sends at once.
pub const HTTP2_SEND_BYTES: usize = 64 << 10;
/// Streams that we reset, for which frames may still come; and streams that the client reset before we had a look at them.
pub const HTTP2_RESET_STREAMS_MAX: usize = 32;
/// Streams that we reset on one connection, because of what the client did, before it is closed.
pub const HTTP2_ERRORS_MAX: usize = 256;
/// Frames beside requests and data that a client may send on one HTTP/2 connection at once.
pub const HTTP2_CREDIT_REFILLED_MAX: u64 = 2_000;
/// How many of these it may send per second, for ever.
pub const HTTP2_CREDIT_PER_S: u64 = 200;
/// How many more window updates for each frame that it was sent: a client may update two windows for each.
pub const HTTP2_CREDIT_PER_FRAME_SENT: u64 = 4;
/// How many all that may come to.
pub const HTTP2_CREDIT_MAX: u64 = 1 << 16;
/// `CERT_FILE` and `KEY_FILE`.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 1 << 20;
/// How often these files are looked at, in milliseconds. What has changed is read when it is the same in two looks: two files
/// are not replaced at once.
pub const CERTIFICATE_LOOK_MS: u64 = 2_000;
/// How much later than now a certificate may begin, in milliseconds: clocks differ.
pub const CERTIFICATE_CLOCK_MS: u64 = 5 * 60 * 1_000;
/// How long before it expires a certificate is warned of, in milliseconds.
pub const CERTIFICATE_WARNING_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// How often it is warned of, in milliseconds.
pub const CERTIFICATE_WARNING_EVERY_MS: u64 = 24 * 3_600 * 1_000;
/// What `petasos health` reads of an answer that is not a 200.
pub const HEALTH_BODY_BYTES_MAX: u64 = 4 << 10;
/// Names in `ACME_HOSTS`: an authority takes no more in one certificate.
pub const ACME_HOSTS_MAX: usize = 100;
/// What an authority answers to one request.
pub const ACME_ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Letters of an authority's text on one host that go into a line of the log.
pub const ACME_TEXT_CHARS_MAX: usize = 600;
/// How long one request to an authority may take, in milliseconds.
pub const ACME_REQUEST_MS: u64 = 30_000;
/// How long an authority may take to check the hosts, or to make a certificate, in milliseconds.
pub const ACME_ORDER_MS: u64 = 120_000;
/// How long one try for a certificate may take as a whole, in milliseconds.
pub const ACME_TRY_MS: u64 = 600_000;
/// The pause behind a first try that failed, in milliseconds; each further failure doubles it.
pub const ACME_PAUSE_MS: u64 = 60_000;
/// The same when the authority has looked at the host and refused it: of those it counts the failures (Let's Encrypt: five for
/// each name and hour, and a try may take two).
pub const ACME_PAUSE_REFUSED_MS: u64 = 15 * 60_000;
/// The same when it says that it was asked too often.
pub const ACME_PAUSE_LIMITED_MS: u64 = 3_600_000;
/// The longest pause, in milliseconds.
pub const ACME_PAUSE_MS_MAX: u64 = 6 * 3_600_000;
/// How often the time is looked at while a certificate is good, in milliseconds: a clock may jump.
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
const _: () = assert!(INDEX_SLICE + 2 * COMMIT_BATCH_MAX < INDEX_WAITING_MAX);
const _: () = assert!(BODY_BYTES_MAX_DEFAULT < LINGER_BYTES_MAX);
