//! Logs: lines on standard error, written by a thread of their own, so that a slow terminal or disk never stops a shard.
//!
//! Invariant: one event is one line. Values come from clients too, and none of them can start a line of its own.

use std::io::{self, IsTerminal as _, Write};

use petasos::config::LogFormat;
use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that wait for the writer; beyond, they are dropped rather than waited for.
const LINES_MAX: usize = 16_384;

/// Starts logging. The lines are written until the guard is dropped.
#[must_use = "the last lines are written when the guard is dropped"]
pub(crate) fn start(level: Level, format: LogFormat) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true).finish(io::stderr());
    // What clients do wrong in HTTP/2 is no warning: they could fill the log with it.
    let filter = Targets::new()
        .with_target("petasos", level)
        .with_target("h2", level.min(Level::ERROR))
        .with_default(level.min(Level::WARN));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let colors = io::stderr().is_terminal();
            let lines = move || OneLine { out: writer.clone(), colors };
            registry
                .with(
                    tracing_subscriber::fmt::layer().with_ansi(colors).with_target(false).with_writer(lines),
                )
                .init();
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
            registry.with(layer.with_writer(writer)).init();
        }
    }
    guard
}

/// Writes each event, which comes as one buffer, as one line: control characters inside it are escaped.
struct OneLine<W> {
    out: W,
    /// The formatter itself writes escape sequences for a terminal; it has taken those of the values out.
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

    /// Whole events, as the formatter writes them.
    #[test]
    fn one_event_is_one_write() {
        let (sender, lines) = std::sync::mpsc::channel();
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
        let writer = move || OneLine { out: Sink(sender.clone()), colors: false };
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let value = "a\nb";
            tracing::info!(%value, other = value, "message {value}");
        });
        let events: Vec<_> =
            lines.try_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].ends_with('\n') && events[0].matches('\n').count() == 1, "{events:?}");
    }
}
