//! `LOG_FORMAT=FLUENTD`: a JSON object on each line, as Fluentd's parser for JSON reads it without any configuration.
//!
//! `time` is in seconds of Unix time with a fraction, the key and the type where that parser looks for the time of an event;
//! `severity` and `message` are the names that its outputs to log services know. Every other field of the event is a key of
//! its own, but none can stand in for one of these.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Writes events for Fluentd.
pub(super) struct Fluentd;

impl<S, N> FormatEvent<S, N> for Fluentd
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = FluentdFields(Map::new());
        event.record(&mut fields);
        let FluentdFields(mut object) = fields;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // A double holds microseconds of this century exactly enough to be written as such.
        object.insert("time".to_owned(), json!(since_epoch.as_micros() as f64 / 1e6));
        object.insert("severity".to_owned(), json!(severity(*event.metadata().level())));
        object.insert("target".to_owned(), json!(event.metadata().target()));
        writeln!(writer, "{}", Value::Object(object))
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// The fields of an event, the message among them.
struct FluentdFields(Map<String, Value>);

impl FluentdFields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for FluentdFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
