//! The journal of systemd: each line begins with its priority, in the form that the journal reads
//! and removes.
//!
//! The journal stores the time and the priority of each line itself (sd-daemon(3), systemd.exec(5)
//! about `JOURNAL_STREAM`).

use std::fmt;
use std::os::fd::AsFd;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Whether this stream is the one that `JOURNAL_STREAM` names as device and inode, separated by a
/// colon. Every process of a unit inherits the variable, so the variable alone proves nothing.
pub(super) fn is_journal(named: Option<&str>, stream: impl AsFd) -> bool {
    let Some((device, inode)) = named.and_then(|named| named.split_once(':')) else { return false };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else { return false };
    rustix::fs::fstat(stream).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (device, inode))
}

/// Writes the priority of an event before the output of another format.
pub(super) struct Prioritized<F> {
    format: F,
}

impl<F> Prioritized<F> {
    /// Adds priorities to this format.
    pub(super) fn new(format: F) -> Self {
        Self { format }
    }
}

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(prefix(*event.metadata().level()))?;
        self.format.format_event(context, writer, event)
    }
}

/// The priorities of syslog (RFC 5424, section 6.2.1).
fn prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_journal_when_the_variable_names_it_and_not_because_it_is_set() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let stat = rustix::fs::fstat(&writer).expect("a file");
        let named = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(Some(&named), &writer));
        let other = format!("{}:{}", stat.st_dev, stat.st_ino + 1);
        for named in [None, Some(""), Some("1"), Some("a:b"), Some(&*other)] {
            assert!(!is_journal(named, &writer), "{named:?}");
        }
        drop(reader);
    }
}
