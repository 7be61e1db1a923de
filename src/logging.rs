//! Logs: lines on standard error, written by a thread of their own, so that a slow terminal or disk never stops a shard.

use std::io::IsTerminal as _;

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
        NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).lossy(true).finish(std::io::stderr());
    let filter = Targets::new().with_target("petasos", level).with_default(level.min(Level::WARN));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
            registry
                .with(tracing_subscriber::fmt::layer().with_ansi(ansi).with_target(false).with_writer(writer))
                .init();
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
            registry.with(layer.with_writer(writer)).init();
        }
    }
    guard
}
