//! The settings under "Limits and timeouts".

use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::values;
use crate::config::written;
use crate::limits::{FORM_FIELDS_MAX, MEMORY_MAX_MIN, REQUEST_TARGET_BYTES_MAX};

/// The largest `MAX_BODY_SIZE`; the counters of frame bytes rely on it.
const BODY_BYTES_LIMIT: u64 = 256 << 20;
const BUFFER_BYTES_MIN: u64 = 4 << 10;
const BUFFER_BYTES_MAX: u64 = 1 << 30;

/// The settings under this heading.
pub(crate) static GROUP: Group = Group {
    heading: "Limits and timeouts",
    settings: &[
        &HEARTBEAT_INTERVAL,
        &HEADER_TIMEOUT,
        &READ_TIMEOUT,
        &WRITE_TIMEOUT,
        &DISPATCH_TIMEOUT,
        &DRAIN_TIMEOUT,
        &MAX_BODY_SIZE,
        &MAX_SELECTORS,
        &MAX_SELECTORS_ANONYMOUS,
        &MAX_SELECTOR_BYTES_ANONYMOUS,
        &MAX_CONNECTIONS,
        &MAX_CONNECTIONS_PER_ADDRESS,
        &MAX_SUBSCRIPTIONS_PER_TOKEN,
        &SUBSCRIBER_BUFFER,
        &MEMORY_MAX,
    ],
};

pub(crate) static HEARTBEAT_INTERVAL: Setting<u64> = Setting {
    name: "HEARTBEAT_INTERVAL",
    kind: ValueKind::Public("DURATION"),
    help: "A stream on which nothing was sent for this long gets a comment, so that proxies do not close \
           it as idle; 0s: never. A client that acknowledges nothing for about as long (at least 5s, at \
           most 2m) is disconnected",
    default: DefaultText::Value("15s"),
    parse: |text, _| values::duration_ms(text),
    in_force: |config, _| Some(written::duration(config.settings.shard.heartbeat_ms)),
};

pub(crate) static HEADER_TIMEOUT: Setting<u64> = Setting {
    name: "HEADER_TIMEOUT",
    kind: ValueKind::Public("DURATION"),
    help: "Time limit for the head of a request; 0s: no limit",
    default: DefaultText::Value("10s"),
    parse: |text, _| values::duration_ms(text),
    in_force: |config, _| Some(written::duration(config.settings.timeouts.header_ms)),
};

pub(crate) static READ_TIMEOUT: Setting<u64> = Setting {
    name: "READ_TIMEOUT",
    kind: ValueKind::Public("DURATION"),
    help: "Time limit for a whole request; 0s: no limit",
    default: DefaultText::Value("0s"),
    parse: |text, _| values::duration_ms(text),
    in_force: |config, _| Some(written::duration(config.settings.timeouts.read_ms)),
};

pub(crate) static WRITE_TIMEOUT: Setting<u64> = Setting {
    name: "WRITE_TIMEOUT",
    kind: ValueKind::Public("DURATION"),
    help: "Time limit for a whole response. A stream ends after 80 to 100 % of it, and its client \
           reconnects; 0s: no limit",
    default: DefaultText::Value("0s"),
    parse: |text, _| values::duration_ms(text),
    in_force: |config, _| Some(written::duration(config.settings.timeouts.response_ms)),
};

pub(crate) static DISPATCH_TIMEOUT: Setting<u64> = Setting {
    name: "DISPATCH_TIMEOUT",
    kind: ValueKind::Public("DURATION"),
    help: "A connection is closed when data waits for it and its socket accepts no byte for this long; \
           0s: never",
    default: DefaultText::Value("30s"),
    parse: |text, _| values::duration_ms(text),
    in_force: |config, _| Some(written::duration(config.settings.timeouts.write_ms)),
};

pub(crate) static DRAIN_TIMEOUT: Setting<u64> = Setting {
    name: "DRAIN_TIMEOUT",
    kind: ValueKind::Public("DURATION"),
    help: "Graceful shutdown: streams end one after the other, spread over this time, so that clients do \
           not all reconnect at once; 0s: all end at once",
    default: DefaultText::Value("10s"),
    parse: |text, _| values::duration_ms(text),
    in_force: |config, _| Some(written::duration(config.settings.drain_ms)),
};

pub(crate) static MAX_BODY_SIZE: Setting<u64> = Setting {
    name: "MAX_BODY_SIZE",
    kind: ValueKind::Public("SIZE"),
    help: "Largest body of a publication. A larger one gets 413",
    default: DefaultText::Value("1MiB"),
    parse: |text, _| values::bytes(text, 1, BODY_BYTES_LIMIT),
    in_force: |config, _| Some(written::size(config.settings.api.body_bytes_max)),
};

pub(crate) static MAX_SELECTORS: Setting<usize> = Setting {
    name: "MAX_SELECTORS",
    kind: ValueKind::Public("COUNT"),
    help: "Most selectors in one subscription. More get 400",
    default: DefaultText::Value("1000"),
    parse: |text, _| values::count(text, 1, FORM_FIELDS_MAX),
    in_force: |config, _| Some(config.settings.api.selectors.count_max.to_string()),
};

pub(crate) static MAX_SELECTORS_ANONYMOUS: Setting<usize> = Setting {
    name: "MAX_SELECTORS_ANONYMOUS",
    kind: ValueKind::Public("COUNT"),
    help: "Most selectors in one subscription without a token, and at most MAX_SELECTORS. More get 400",
    default: DefaultText::Value("100"),
    parse: |text, _| values::count(text, 1, FORM_FIELDS_MAX),
    in_force: |config, _| Some(config.settings.api.selectors_anonymous.count_max.to_string()),
};

pub(crate) static MAX_SELECTOR_BYTES_ANONYMOUS: Setting<usize> = Setting {
    name: "MAX_SELECTOR_BYTES_ANONYMOUS",
    kind: ValueKind::Public("SIZE"),
    help: "Most bytes of the selectors in one subscription without a token, together. More get 400",
    default: DefaultText::Value("16KiB"),
    parse: |text, _| values::bytes(text, 1, REQUEST_TARGET_BYTES_MAX as u64).map(|bytes| bytes as usize),
    in_force: |config, _| Some(written::size(config.settings.api.selectors_anonymous.bytes_max as u64)),
};

pub(crate) static MAX_CONNECTIONS: Setting<usize> = Setting {
    name: "MAX_CONNECTIONS",
    kind: ValueKind::Public("COUNT"),
    help: "Connection limit. At the limit, new connections get 503 (with TLS they are closed); existing \
           connections are not affected",
    default: DefaultText::Description("what the limit of open files allows"),
    parse: |text, _| values::count(text, 1, usize::MAX),
    in_force: |config, _| config.settings.connections_max.map(|count| count.to_string()),
};

pub(crate) static MAX_CONNECTIONS_PER_ADDRESS: Setting<u32> = Setting {
    name: "MAX_CONNECTIONS_PER_ADDRESS",
    kind: ValueKind::Public("COUNT"),
    help: "Connection limit per IPv4 address, or per IPv6 network (/64). At the limit, new connections \
           get 429 (with TLS they are closed). With USE_FORWARDED_HEADERS, the limit counts the streams \
           of the address that the proxy reports; 0: no limit",
    default: DefaultText::Value("0"),
    parse: |text, _| values::count_u32(text),
    in_force: |config, _| Some(config.settings.per_client.connections_per_address.to_string()),
};

pub(crate) static MAX_SUBSCRIPTIONS_PER_TOKEN: Setting<u32> = Setting {
    name: "MAX_SUBSCRIPTIONS_PER_TOKEN",
    kind: ValueKind::Public("COUNT"),
    help: "Most subscriptions that one token can have at a time. More get 429; 0: no limit",
    default: DefaultText::Value("0"),
    parse: |text, _| values::count_u32(text),
    in_force: |config, _| Some(config.settings.per_client.subscriptions_per_token.to_string()),
};

pub(crate) static SUBSCRIBER_BUFFER: Setting<usize> = Setting {
    name: "SUBSCRIBER_BUFFER",
    kind: ValueKind::Public("SIZE"),
    help: "Bytes that may wait for a slow subscriber. Beyond that, the subscriber is served from the \
           history",
    default: DefaultText::Value("256KiB"),
    parse: |text, _| values::bytes(text, BUFFER_BYTES_MIN, BUFFER_BYTES_MAX).map(|bytes| bytes as usize),
    in_force: |config, _| Some(written::size(config.settings.shard.subscriber_buffer_bytes as u64)),
};

pub(crate) static MEMORY_MAX: Setting<u64> = Setting {
    name: "MEMORY_MAX",
    kind: ValueKind::Public("SIZE"),
    help: "Memory that the hub may use, with that of the kernel for its sockets. From three quarters of it, \
           new subscriptions and lists get 503; from seven eighths, all new work does, and the newest and \
           costliest that is not stored yet is ended",
    default: DefaultText::Description(
        "the lower of the cgroup's memory limit and the host's memory, less an eighth, at least 24MiB",
    ),
    parse: |text, _| {
        let bytes = values::bytes(text, MEMORY_MAX_MIN, u64::MAX);
        bytes.map_err(|_| "a size such as 512MiB or 20GiB, 32MiB or more".to_owned())
    },
    in_force: |config, _| {
        (config.settings.memory_max < u64::MAX).then(|| written::size(config.settings.memory_max))
    },
};
