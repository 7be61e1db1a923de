//! `petasos history`: shows, checks, exports and compacts the history file. The hub must not run.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::output::{USAGE, complain, written};
use crate::config::{DB_PATH_DEFAULT, MEMORY};
use crate::error_text::chain;
use crate::history::HistoryError;
use crate::history::redb::archive::{Archive, Archived, Findings, Summary};
use crate::mercure::audience::Audience;
use crate::mercure::event_id::EventId;
use crate::mercure::names;
use crate::sse::frame::{EventFields, Frame};

/// Works on a history file. The hub that uses the file must be stopped.
#[derive(Args)]
pub(crate) struct HistoryArgs {
    #[command(subcommand)]
    action: Action,
    /// History file; this command needs write access to it
    #[arg(long, id = "history_file", env = "DB_PATH", value_name = "PATH", default_value = DB_PATH_DEFAULT, global = true)]
    db_path: PathBuf,
}

impl HistoryArgs {
    /// An empty variable is one that is not set.
    fn path(&self) -> &Path {
        let path = self.db_path.as_path();
        if path.as_os_str().is_empty() { Path::new(DB_PATH_DEFAULT) } else { path }
    }
}

#[derive(Subcommand)]
enum Action {
    /// Print the number of updates, the first and the last update, and the sizes
    Info {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check every page and every update; exits 1 when there is a problem. After a crash of the
    /// hub, the check includes the repair that a start makes, without changing the file
    Verify,
    /// Print one JSON object per line for each update, with the fields of a publication. Events of
    /// subscriptions are left out: a client may not publish them
    Export {
        /// Print URL-encoded bodies of publications instead, ready for `curl --data-raw`
        #[arg(long)]
        form: bool,
    },
    /// Return the space of discarded updates to the file system
    Compact,
}

/// Runs the command.
pub(crate) fn run(arguments: &HistoryArgs) -> ExitCode {
    let path = arguments.path();
    if path.as_os_str() == MEMORY {
        complain(format_args!("history: DB_PATH is {MEMORY}; expected a file"));
        return ExitCode::from(USAGE);
    }
    let mut archive = match Archive::open(path) {
        Ok(archive) => archive,
        Err(error) => return fail(chain(&error)),
    };
    let done = act(&arguments.action, &mut archive, path);
    done.unwrap_or_else(|error| fail(format_args!("{}: {}", path.display(), chain(&error))))
}

/// Why a file that could be opened cannot be worked on.
#[derive(Debug, thiserror::Error)]
enum ActionError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the event of {0} is corrupt")]
    CorruptEvent(EventId),
}

fn act(action: &Action, archive: &mut Archive, path: &Path) -> Result<ExitCode, ActionError> {
    match action {
        Action::Info { json } => Ok(written(info(path, &archive.summary()?, *json))),
        Action::Verify => Ok(written(verified(&archive.verify()?))),
        Action::Export { form } => export(archive, *form),
        Action::Compact => Ok(written(compacted(archive.compact()?))),
    }
}

fn fail(error: impl std::fmt::Display) -> ExitCode {
    complain(format_args!("history: {error}"));
    ExitCode::FAILURE
}

fn info(path: &Path, summary: &Summary, as_json: bool) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Summary { format, updates, events, bytes, file_bytes, allocated_bytes, first, last } = summary;
    if as_json {
        let end = |end: &Option<Archived>| {
            end.as_ref().map(|end| json!({ "id": end.frame.id().as_str(), "time": time(end.unix_ms) }))
        };
        let path = path.display().to_string();
        let object = json!({
            "path": path, "format": format, "updates": updates, "bytes": bytes,
            "subscription_events": events, "file_bytes": file_bytes, "allocated_bytes": allocated_bytes,
            "first": end(first), "last": end(last),
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "path:       {}", path.display())?;
        writeln!(out, "format:     {format}")?;
        writeln!(out, "updates:    {updates}")?;
        writeln!(out, "bytes:      {bytes}")?;
        writeln!(out, "events:     {events} of subscriptions, beside the updates")?;
        writeln!(out, "file bytes: {file_bytes}, {allocated_bytes} of them on the disk")?;
        for (name, end) in [("first", first), ("last", last)] {
            let Some(end) = end else { continue };
            writeln!(out, "{:<11} {} {}", format!("{name}:"), time(end.unix_ms), end.frame.id())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn verified(findings: &Findings) -> io::Result<ExitCode> {
    let Findings { updates, events, problems, texts } = findings;
    let mut out = io::stdout().lock();
    for text in texts {
        writeln!(out, "{text}")?;
    }
    let unlisted = problems - texts.len() as u64;
    if unlisted > 0 {
        writeln!(out, "and {unlisted} more")?;
    }
    let verdict = if *problems == 0 { "sound" } else { "DAMAGED" };
    writeln!(
        out,
        "{verdict}: {updates} updates and {events} events of subscriptions checked, {problems} problems"
    )?;
    out.flush()?;
    Ok(if *problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn export(archive: &mut Archive, form: bool) -> Result<ExitCode, ActionError> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut unreadable = None;
    let result = archive.for_each(|Archived { frame, .. }| {
        let Some(fields) = frame.fields() else {
            unreadable = Some(ActionError::CorruptEvent(frame.id().clone()));
            return Err(io::ErrorKind::InvalidData.into());
        };
        match form {
            true => writeln!(out, "{}", body_of(&frame, &fields)),
            false => writeln!(out, "{}", object_of(&frame, &fields)),
        }
    })?;
    if let Some(error) = unreadable {
        return Err(error);
    }
    Ok(written(result.and_then(|()| out.flush()).map(|()| ExitCode::SUCCESS)))
}

/// The fields of a publication, with their values.
fn publication<'f>(frame: &'f Frame, fields: &'f EventFields<'_>) -> Vec<(&'static str, Vec<&'f str>)> {
    let mut publication = vec![
        (names::PARAM_TOPIC, frame.topic_texts().collect()),
        (names::PARAM_DATA, vec![fields.data.as_str()]),
    ];
    match frame.audience() {
        Audience::Public => {}
        Audience::Private => publication.push((names::PARAM_PRIVATE, vec!["on"])),
        Audience::Targets(targets) => {
            publication.push((names::PARAM_TARGET, targets.iter().map(|target| &**target).collect()));
        }
    }
    publication.push((names::PARAM_ID, vec![fields.id]));
    publication.extend(fields.event_type.map(|event_type| (names::PARAM_TYPE, vec![event_type])));
    publication.extend(fields.retry.map(|retry| (names::PARAM_RETRY, vec![retry])));
    publication
}

fn object_of(frame: &Frame, fields: &EventFields<'_>) -> Value {
    let object: Map<String, Value> = publication(frame, fields)
        .into_iter()
        .map(|(name, values)| match name {
            names::PARAM_TOPIC | names::PARAM_TARGET => (name.to_owned(), json!(values)),
            _ => (name.to_owned(), json!(values.concat())),
        })
        .collect();
    Value::Object(object)
}

fn body_of(frame: &Frame, fields: &EventFields<'_>) -> String {
    let mut body = Serializer::new(String::new());
    for (name, values) in publication(frame, fields) {
        body.extend_pairs(values.into_iter().map(|value| (name, value)));
    }
    body.finish()
}

fn compacted((before, after): (u64, u64)) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    writeln!(out, "file bytes: {before} before, {after} after")?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A time as RFC 3339 writes it, in UTC.
fn time(unix_ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms)).to_string()
}
