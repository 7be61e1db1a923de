//! The settings under "Logs".

use tracing::Level;

use crate::config::configuration::LogFormat;
use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::values;
use crate::config::written;

const LEVELS: [(&str, Level); 5] = [
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];
const FORMATS: [(&str, LogFormat); 3] =
    [("TEXT", LogFormat::Text), ("JSON", LogFormat::Json), ("FLUENTD", LogFormat::Fluentd)];

/// The settings under this heading.
pub(crate) static GROUP: Group = Group { heading: "Logs", settings: &[&LOG_LEVEL, &LOG_FORMAT, &ACCESS_LOG] };

pub(crate) static LOG_LEVEL: Setting<Level> = Setting {
    name: "LOG_LEVEL",
    kind: ValueKind::Public("LEVEL"),
    help: "Log level: `error`, `warn`, `info`, `debug` or `trace`. Each level includes those before it. \
           The reason for a refused request is logged at `info`",
    default: DefaultText::Description("info; debug with DEBUG"),
    parse: |text, _| values::word(&LEVELS, text),
    in_force: |config, _| written::word(&LEVELS, &config.log_level),
};

pub(crate) static LOG_FORMAT: Setting<LogFormat> = Setting {
    name: "LOG_FORMAT",
    kind: ValueKind::Public("FORMAT"),
    help: "Format of the log. `TEXT`: lines for people. `JSON`: one object on each line. `FLUENTD`: the \
           same with the fields that Fluentd expects (`time` in seconds, `severity`, `message`)",
    default: DefaultText::Value("TEXT"),
    parse: |text, _| values::word(&FORMATS, text),
    in_force: |config, _| written::word(&FORMATS, &config.log_format),
};

pub(crate) static ACCESS_LOG: Setting<bool> = Setting {
    name: "ACCESS_LOG",
    kind: ValueKind::Switch,
    help: "Log one line for each request, at any LOG_LEVEL. A stream has two: one when it begins and one \
           when it ends. Tokens are never logged",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.settings.access_log)),
};
