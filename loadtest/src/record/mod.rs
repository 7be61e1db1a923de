//! The record of a run, so that a report can be understood and repeated: date, machine, kernel,
//! version, command line, limits.

mod machine;
mod mask;

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use crate::binary;
use crate::options::Common;
use machine::{Limits, Machine, Processors};

pub(crate) use machine::{UNKNOWN, count};
pub(crate) use mask::setting as masked_setting;

/// A name and its text: a line of the printed report, a row of the page.
pub(crate) type Row = (String, String);

/// The record of one run of the program.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    /// The start, in UTC (RFC 3339).
    started_at: String,
    machine: Machine,
    kernel: String,
    generator: Generator,
    /// The name of the program and its arguments, without secrets.
    command_line: Vec<String>,
    processors: Processors,
    limits: Limits,
    #[serde(skip)]
    started: Instant,
    /// In seconds, once it has been asked for: every form of the report has the same.
    #[serde(skip)]
    duration_s: OnceLock<f64>,
}

/// The program itself.
#[derive(Debug, Clone, Serialize)]
struct Generator {
    name: &'static str,
    version: &'static str,
    /// The cargo profile that it was built with, if known.
    profile: Option<&'static str>,
}

impl Record {
    /// Begins the record of this process.
    pub(crate) fn begin(common: &Common) -> Self {
        let profile = std::env::current_exe().ok().and_then(|own| binary::profile(&own));
        Self {
            started_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            machine: Machine::read(),
            kernel: machine::kernel(),
            generator: Generator {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                profile,
            },
            command_line: mask::command_line(std::env::args_os()),
            processors: Processors::of(common.server_cpu, common.client_cpu),
            limits: Limits::read(),
            started: Instant::now(),
            duration_s: OnceLock::new(),
        }
    }

    /// The record as rows, without the duration.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let Generator { name, version, profile } = &self.generator;
        let line: Vec<String> = self.command_line.iter().map(|argument| quoted(argument)).collect();
        [
            ("date", format!("{} (UTC)", self.started_at)),
            ("machine", self.machine.text()),
            ("kernel", self.kernel.clone()),
            ("generator", format!("{name} {version}{}", build(*profile))),
            ("command line", line.join(" ")),
            ("processors", self.processors.text()),
            ("limits", self.limits.text()),
        ]
        .map(|(name, text)| (name.to_owned(), text))
        .to_vec()
    }

    /// The duration until this is called for the first time.
    pub(crate) fn duration(&self) -> Row {
        ("duration".to_owned(), format!("{:.1} s", self.seconds()))
    }

    /// The record as JSON, with its duration; see [`Self::duration`].
    pub(crate) fn json(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["duration_s"] = self.seconds().into();
        value
    }

    fn seconds(&self) -> f64 {
        // A precision of a tenth of a second is enough.
        *self.duration_s.get_or_init(|| (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0)
    }
}

/// ` (release build)`, or nothing if the profile is not known.
pub(crate) fn build(profile: Option<&str>) -> String {
    profile.map_or_else(String::new, |profile| format!(" ({profile} build)"))
}

/// An argument, quoted for a shell.
fn quoted(argument: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_@%+=:,./-".contains(letter);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_for_a_shell() {
        assert_eq!(quoted("--url=http://a:1/b"), "--url=http://a:1/b");
        assert_eq!(quoted("it's {data}"), r"'it'\''s {data}'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_record_says_the_same_in_rows_and_as_json() {
        let record = Record::begin(&Common::given(&["--server-cpu", "3"]));
        let json = record.json();
        let started_at = json["started_at"].as_str().expect("a date");
        assert!(humantime::parse_rfc3339(started_at).is_ok() && started_at.ends_with('Z'), "{started_at}");
        assert!(json["duration_s"].as_f64().is_some_and(|seconds| seconds >= 0.0));
        assert_eq!(json["processors"]["server"], 3);
        let rows: Vec<Row> = record.rows().into_iter().chain([record.duration()]).collect();
        let text =
            |name: &str| rows.iter().find(|row| row.0 == name).map(|row| row.1.clone()).expect("a row");
        assert!(text("date").contains(started_at));
        assert_eq!(text("kernel"), json["kernel"].as_str().expect("text"));
        assert!(text("machine").contains(json["machine"]["processor"].as_str().expect("text")));
        assert!(text("generator").contains(env!("CARGO_PKG_VERSION")));
        assert!(text("processors").starts_with("server 3, generator 1"));
        assert!(text("limits").contains(&json["limits"]["somaxconn"].to_string()));
    }
}
