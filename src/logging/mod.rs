//! Logs: lines on standard error, written by a separate thread, so that a slow terminal or disk
//! never stops a shard.
//!
//! Invariants: one event is one line: values can come from clients, and none of them can start a
//! new line. No line holds a token, even where an event was given the text of a client as it came.

mod fluentd;
mod journal;
mod panics;

use std::io::{self, IsTerminal as _, Write};

use tracing::{Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields};
use tracing_subscriber::fmt::{FormatEvent, FormatFields, MakeWriter, format, layer};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;
use crate::ops::access_log::ACCESS_TARGET;
use crate::panics::caught;
use crate::redact::without_tokens;

use fluentd::Fluentd;
use journal::Prioritized;

/// Lines that wait for the writer. Further ones are dropped; the logging thread never waits.
const LINES_MAX: usize = 16_384;

/// The logs of a process. They are written until this is dropped.
#[must_use = "the last lines are written when this is dropped"]
pub(crate) struct Logs {
    writer: Option<WorkerGuard>,
    errors: ErrorCounter,
}

/// Why there is no log: its thread cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the thread that writes the log cannot be started: {0}")]
pub(crate) struct LogError(String);

/// Starts logging, also of panics. With `access_log`, the access log is written at every level.
///
/// # Errors
/// [`LogError`]
pub(crate) fn start(level: Level, format: LogFormat, access_log: bool) -> Result<Logs, LogError> {
    let writer = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true);
    // It panics where no thread can be started.
    panics::hide_caught();
    let (writer, guard) = caught(|| writer.finish(io::stderr())).map_err(LogError)?;
    let logs = Logs { writer: Some(guard), errors: writer.error_counter() };
    // Clients' errors in HTTP/2 are not warnings: clients could fill the log with them.
    let filter = Targets::new()
        .with_target("petasos", level)
        .with_target("h2", level.min(Level::ERROR))
        .with_default(level.min(Level::WARN));
    let filter = if access_log { filter.with_target(ACCESS_TARGET, level.max(Level::INFO)) } else { filter };
    let is_journal = journal::is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), io::stderr());
    let lines = lines(format, is_journal, io::stderr().is_terminal(), writer);
    tracing_subscriber::registry().with(filter).with(lines).init();
    panics::log();
    Ok(logs)
}

impl Drop for Logs {
    fn drop(&mut self) {
        // Writes all waiting lines first.
        drop(self.writer.take());
        let dropped = self.errors.dropped_lines();
        if dropped > 0 {
            // There is nowhere left to say that standard error is closed.
            let _ = writeln!(
                io::stderr().lock(),
                "petasos: {dropped} lines of the log were dropped: they came faster than they could be written"
            );
        }
    }
}

/// The layer that writes events in a format. For the journal, each line carries its priority. The
/// journal keeps the time itself, so the text format omits it.
fn lines<S, W>(format: LogFormat, is_journal: bool, colors: bool, out: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Write + Clone + Send + Sync + 'static,
{
    let text = format::format().with_target(false);
    let json = format::format().json().flatten_event(true).with_current_span(false);
    let out = WithoutTokens { out };
    // Text inside a JSON object is escaped already.
    let object = {
        let out = out.clone();
        move || out.clone()
    };
    let one_line = move || OneLine { out: out.clone(), colors };
    let plain = DefaultFields::new;
    match (format, is_journal) {
        (LogFormat::Text, false) => boxed(text, plain(), colors, one_line),
        (LogFormat::Text, true) => {
            boxed(Prioritized::new(text.with_level(false).without_time()), plain(), false, one_line)
        }
        (LogFormat::Json, false) => boxed(json, JsonFields::new(), false, object),
        (LogFormat::Json, true) => boxed(Prioritized::new(json), JsonFields::new(), false, object),
        (LogFormat::Fluentd, false) => boxed(Fluentd, plain(), false, object),
        (LogFormat::Fluentd, true) => boxed(Prioritized::new(Fluentd), plain(), false, object),
    }
}

fn boxed<S, F, N, W>(format: F, fields: N, colors: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    F: FormatEvent<S, N> + Send + Sync + 'static,
    N: for<'w> FormatFields<'w> + Send + Sync + 'static,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    layer().with_ansi(colors).fmt_fields(fields).event_format(format).with_writer(writer).boxed()
}

/// Writes each event, which arrives as one buffer, without the tokens in it.
#[derive(Clone)]
struct WithoutTokens<W> {
    out: W,
}

impl<W: Write> Write for WithoutTokens<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.out.write_all(&without_tokens(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes each event, which arrives as one buffer, as one line. Control characters inside it are
/// escaped.
struct OneLine<W> {
    out: W,
    /// The formatter writes escape sequences for a terminal; it has removed those in the values.
    colors: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (line, end) = event.split_at(event.len() - usize::from(event.ends_with(b"\n")));
        let is_safe = |byte: &u8| !byte.is_ascii_control() || (self.colors && *byte == b'\x1b');
        if line.iter().all(is_safe) {
            self.out.write_all(event)?;
        } else {
            let mut escaped = Vec::with_capacity(event.len() + 16);
            for byte in line {
                if is_safe(byte) {
                    escaped.push(*byte);
                } else {
                    escaped.extend(byte.escape_ascii());
                }
            }
            escaped.extend_from_slice(end);
            self.out.write_all(&escaped)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(colors: bool, event: &str) -> String {
        let mut line = OneLine { out: Vec::new(), colors };
        line.write_all(event.as_bytes()).expect("a vector takes everything");
        String::from_utf8(line.out).expect("UTF-8")
    }

    #[test]
    fn a_value_cannot_start_a_line_of_its_own() {
        assert_eq!(written(false, "refused: é\n"), "refused: é\n");
        assert_eq!(
            written(false, "a\r\n2026 INFO forged\0\x1b[2J\n"),
            "a\\r\\n2026 INFO forged\\x00\\x1b[2J\n"
        );
        assert_eq!(written(true, "\x1b[32mINFO\x1b[0m a\nb\n"), "\x1b[32mINFO\x1b[0m a\\nb\n");
        assert_eq!(written(false, ""), "");
    }

    /// Even if a place in the code forgets to redact what a client sent.
    #[test]
    fn a_token_is_in_no_event_of_any_format() {
        let parts = ["eyJhbGciOiJIUzI1NiJ9", "eyJtZXJjdXJlIjp7fX0", "qqqqqqqqqqqqqqqqqqqqqqqqqqq"];
        let token = parts.join(".");
        for format in [LogFormat::Text, LogFormat::Json, LogFormat::Fluentd] {
            for is_journal in [false, true] {
                let lines = logged(format, is_journal, || {
                    tracing::warn!(%token, other = token, debug = ?[&token], "message {token}\n{token}");
                });
                assert!(lines.len() == 1 && lines[0].matches("***").count() == 5, "{lines:?}");
                assert!(parts.iter().all(|part| !lines[0].contains(part)), "{lines:?}");
            }
        }
    }

    #[test]
    fn a_panic_is_one_event_with_its_thread_its_place_and_its_message() {
        let hook = std::panic::take_hook();
        panics::log();
        let lines = logged(LogFormat::Json, false, || {
            let _ = std::panic::catch_unwind(|| panic!("two\nlines"));
        });
        std::panic::set_hook(hook);
        let [line] = &*lines else { panic!("{lines:?}") };
        let event: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert!(event["level"] == "ERROR" && event["message"] == "panic: two\nlines", "{event}");
        let [place, thread] = ["place", "thread"].map(|name| event[name].as_str().expect("a text"));
        assert!(place.contains("logging/mod.rs:") && thread.contains("a_panic_is_one_event"), "{event}");
    }

    /// Whole events, as the formats write them.
    fn logged(format: LogFormat, is_journal: bool, event: impl FnOnce()) -> Vec<String> {
        #[derive(Clone)]
        struct Sink(std::sync::mpsc::Sender<Vec<u8>>);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, written) = std::sync::mpsc::channel();
        let registry = tracing_subscriber::registry().with(lines(format, is_journal, false, Sink(sender)));
        tracing::subscriber::with_default(registry, event);
        written.try_iter().map(|bytes| String::from_utf8(bytes).expect("UTF-8")).collect()
    }

    fn event() {
        let value = "a\nb";
        tracing::warn!(%value, other = value, count = 3_u64, is = true, none = None::<u64>, "message {value}");
    }

    #[test]
    fn one_event_is_one_write_and_one_line_in_every_format() {
        for format in [LogFormat::Text, LogFormat::Json, LogFormat::Fluentd] {
            for is_journal in [false, true] {
                let events = logged(format, is_journal, event);
                assert_eq!(events.len(), 1, "{events:?}");
                assert!(events[0].ends_with('\n') && events[0].matches('\n').count() == 1, "{events:?}");
                assert_eq!(events[0].starts_with("<4>"), is_journal, "{events:?}");
            }
        }
    }

    #[test]
    fn the_journal_is_told_a_priority_and_no_time() {
        let lines = logged(LogFormat::Text, true, || {
            tracing::error!("one");
            tracing::info!(count = 2, "two");
            tracing::debug!("three");
        });
        assert_eq!(lines, ["<3>one\n", "<6>two count=2\n", "<7>three\n"]);
    }

    #[test]
    fn objects_hold_the_fields_that_their_readers_look_for() {
        let object = |format, is_journal| -> serde_json::Value {
            let line = logged(format, is_journal, event).concat();
            serde_json::from_str(line.trim_start_matches("<4>")).expect("an object")
        };
        for is_journal in [false, true] {
            let json = object(LogFormat::Json, is_journal);
            assert!(json["timestamp"].is_string() && json["level"] == "WARN", "{json}");
            let fluentd = object(LogFormat::Fluentd, is_journal);
            assert!(fluentd["time"].as_f64().is_some_and(|time| time > 1.6e9), "{fluentd}");
            assert_eq!(fluentd["severity"], "WARNING");
            for object in [json, fluentd] {
                assert_eq!(object["message"], "message a\nb", "{object}");
                assert!(object["value"] == "a\nb" && object["other"] == "a\nb", "{object}");
                assert!(object["count"] == 3 && object["is"] == true, "{object}");
                assert!(object.get("none").is_none(), "{object}");
            }
        }
    }
}
