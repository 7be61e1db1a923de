//! `LOG_FORMAT=FLUENTD`: a JSON object on each line, as Fluentd's JSON parser reads it without any
//! configuration.
//!
//! `time` is in seconds of Unix time with a fraction; that parser expects the time of an event
//! under this key and in this type. `severity` and `message` are the names that Fluentd's outputs
//! to log services know. Every other field of the event is a separate key; none can replace one of
//! these.

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
        // A double holds the microseconds of this century exactly enough to print them.
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

/// The fields of an event, including the message.
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
