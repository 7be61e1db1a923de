//! Panics as lines of the log. The default hook would write several lines of another form to
//! standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};

use tracing::error;

use crate::error_text::panic_message;

/// From now on, every panic of the process is one event.
pub(super) fn log() {
    set_hook(Box::new(log_one));
}

fn log_one(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = info.location().map(ToString::to_string);
    // Only with RUST_BACKTRACE.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    error!(thread = thread.name(), place, backtrace, "panic: {}", panic_message(info.payload()));
}
