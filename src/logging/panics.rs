//! Panics as lines of the log. The default hook would write several lines of another form to
//! standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook, take_hook};

use tracing::error;

use crate::panics::{catches_panics, panic_message};

/// From now on, every panic of the process is one event, except one that becomes an error.
pub(super) fn log() {
    set_hook(Box::new(log_one));
}

/// From now on, a panic that becomes an error is not reported. Until [`log`], others are reported
/// by the hook before.
pub(super) fn hide_caught() {
    let others = take_hook();
    set_hook(Box::new(move |info| {
        if !catches_panics() {
            others(info);
        }
    }));
}

fn log_one(info: &PanicHookInfo<'_>) {
    if catches_panics() {
        return;
    }
    let thread = std::thread::current();
    let place = info.location().map(ToString::to_string);
    // Only with RUST_BACKTRACE.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    error!(thread = thread.name(), place, backtrace, "panic: {}", panic_message(info.payload()));
}
