//! The settings under "History".

use std::path::PathBuf;

use crate::config::configuration::{DB_PATH_DEFAULT, MEMORY};
use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::values;
use crate::config::written;
use crate::history::redb::HistorySync;

const SYNC_TIMES: [(&str, HistorySync); 3] =
    [("always", HistorySync::Always), ("interval", HistorySync::Interval), ("never", HistorySync::Never)];

/// The settings under this heading.
pub(crate) static GROUP: Group = Group {
    heading: "History",
    settings: &[
        &DB_PATH,
        &HISTORY_SYNC,
        &HISTORY_SIZE,
        &HISTORY_MAX_BYTES,
        &HISTORY_MAX_AGE,
        &HISTORY_CLEANUP_FREQUENCY,
        &HISTORY_ACCEPT_LOSS,
    ],
};

pub(crate) static DB_PATH: Setting<Option<PathBuf>> = Setting {
    name: "DB_PATH",
    kind: ValueKind::Public("PATH"),
    help: "File of the history. A relative path starts at the working directory. `:memory:`: the history \
           is kept in memory and is lost at a restart",
    default: DefaultText::Value(DB_PATH_DEFAULT),
    parse: |text, _| Ok((text != MEMORY).then(|| text.into())),
    in_force: |config, _| {
        Some(config.history_file.as_deref().map_or_else(|| MEMORY.to_owned(), written::path))
    },
};

pub(crate) static HISTORY_SYNC: Setting<HistorySync> = Setting {
    name: "HISTORY_SYNC",
    kind: ValueKind::Public("WHEN"),
    help: "When an acknowledged update is on the disk. `always`: before the 200. `interval`: within a \
           second; a crash of the hub or of the host loses the updates of that second. `never`: when the \
           kernel writes it; a crash of the hub loses nothing, but a power cut may lose the whole file",
    default: DefaultText::Value("always"),
    parse: |text, _| values::word(&SYNC_TIMES, text),
    in_force: |config, _| written::word(&SYNC_TIMES, &config.history_sync),
};

pub(crate) static HISTORY_SIZE: Setting<u64> = Setting {
    name: "HISTORY_SIZE",
    kind: ValueKind::Public("COUNT"),
    help: "Number of updates that the history keeps; 0: all",
    default: DefaultText::Value("0"),
    parse: |text, _| values::number(text, 0, u64::MAX),
    in_force: |config, _| Some(config.retention.updates_max.to_string()),
};

pub(crate) static HISTORY_MAX_BYTES: Setting<u64> = Setting {
    name: "HISTORY_MAX_BYTES",
    kind: ValueKind::Public("SIZE"),
    help: "Bytes that the history keeps (`512MiB`, `1000GB`). This is about the size of its file; leave \
           half as much again free on the disk; 0: all",
    default: DefaultText::Value("0"),
    parse: |text, _| values::bytes(text, 0, u64::MAX),
    in_force: |config, _| Some(written::size(config.retention.bytes_max)),
};

pub(crate) static HISTORY_MAX_AGE: Setting<u64> = Setting {
    name: "HISTORY_MAX_AGE",
    kind: ValueKind::Public("DURATION"),
    help: "How long the history keeps an update (`30d`); 0s: for ever",
    default: DefaultText::Value("0s"),
    parse: |text, _| values::age_ms(text),
    in_force: |config, _| Some(written::duration(config.retention.age_max_ms)),
};

pub(crate) static HISTORY_CLEANUP_FREQUENCY: Setting<f64> = Setting {
    name: "HISTORY_CLEANUP_FREQUENCY",
    kind: ValueKind::Public("0..1"),
    help: "0: never remove an update, whatever HISTORY_SIZE, HISTORY_MAX_BYTES and HISTORY_MAX_AGE say. \
           Any other value up to 1: these bounds hold exactly, at any time",
    default: DefaultText::Value("0.3"),
    parse: |text, _| values::frequency(text),
    in_force: |config, _| Some(config.cleanup_frequency.to_string()),
};

pub(crate) static HISTORY_ACCEPT_LOSS: Setting<bool> = Setting {
    name: "HISTORY_ACCEPT_LOSS",
    kind: ValueKind::Switch,
    help: "Start also when the newest acknowledged updates are missing in a damaged file, and log which. \
           Set it for one start only",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.history_accepts_loss)),
};
