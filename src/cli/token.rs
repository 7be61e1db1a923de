//! `petasos token`: a token for trying the hub, and for scripts.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Map, Value, json};

use super::output::{USAGE, complain, written};
use crate::config::DEMO_KEY;
use crate::error_text::chain;
use crate::mercure::names::CLAIM;
use crate::mercure::token::{Algorithm, SignError, sign};
use crate::ops::host;

/// Prints a JWT.
#[derive(Args)]
pub(crate) struct TokenArgs {
    /// Selector (or target) that the token may publish to; repeatable
    #[arg(long, value_name = "SELECTOR")]
    publish: Vec<String>,
    /// Selector (or target) whose private updates the token may receive; repeatable
    #[arg(long, value_name = "SELECTOR")]
    subscribe: Vec<String>,
    /// JSON payload that is shown in subscription documents
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// How long the token is valid (`1h`); without this option, for ever
    #[arg(long, value_name = "DURATION")]
    ttl: Option<humantime::Duration>,
    /// Key to sign with: a shared secret, or a private key in PEM form. With DEMO=1, the default is
    /// the demo key
    #[arg(long, env = "JWT_KEY", value_name = "KEY", hide_env_values = true)]
    key: Option<String>,
    /// File that contains the key to sign with
    #[arg(long, env = "JWT_KEY_FILE", value_name = "PATH")]
    key_file: Option<String>,
    /// Algorithm to sign with
    #[arg(long, env = "JWT_ALGORITHM", value_name = "NAME", default_value = "HS256")]
    algorithm: Algorithm,
}

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
enum NewTokenError {
    #[error("expected a key: --key, --key-file, JWT_KEY, JWT_KEY_FILE, or DEMO=1 for the demo key")]
    NoKey,
    #[error("the key in {0} cannot be read")]
    KeyFile(String, #[source] io::Error),
    #[error("--payload is not JSON")]
    Payload(#[source] serde_json::Error),
    #[error("the clock is before 1970")]
    Clock,
    #[error("--ttl is too long")]
    Ttl,
    /// The key does not fit the algorithm.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Runs the command.
pub(crate) fn run(arguments: &TokenArgs) -> ExitCode {
    match make(arguments) {
        Ok(token) => {
            let mut out = io::stdout().lock();
            written(writeln!(out, "{token}").and_then(|()| out.flush()).map(|()| ExitCode::SUCCESS))
        }
        Err(error) => {
            complain(format_args!("token: {}", chain(&error)));
            ExitCode::from(USAGE)
        }
    }
}

fn make(arguments: &TokenArgs) -> Result<String, NewTokenError> {
    let demo = std::env::var("DEMO").is_ok_and(|value| value == "1" || value == "true");
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let key = match (given(&arguments.key), given(&arguments.key_file)) {
        (Some(key), _) => key,
        (None, Some(path)) => {
            let text = host::read_key_file(&path).map_err(|error| NewTokenError::KeyFile(path, error))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) if demo => DEMO_KEY.to_owned(),
        (None, None) => return Err(NewTokenError::NoKey),
    };
    let mut claim = Map::new();
    for (name, list) in [("publish", &arguments.publish), ("subscribe", &arguments.subscribe)] {
        if !list.is_empty() {
            claim.insert(name.to_owned(), json!(list));
        }
    }
    if let Some(payload) = &arguments.payload {
        let payload: Value = serde_json::from_str(payload).map_err(NewTokenError::Payload)?;
        claim.insert("payload".to_owned(), payload);
    }
    let mut claims = json!({ CLAIM: claim });
    if let Some(ttl) = arguments.ttl {
        claims["exp"] = json!(expiry(*ttl)?);
    }
    Ok(sign(&claims, key.as_bytes(), arguments.algorithm)?)
}

fn expiry(ttl: Duration) -> Result<u64, NewTokenError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| NewTokenError::Clock)?;
    now.checked_add(ttl).map(|expiry| expiry.as_secs()).ok_or(NewTokenError::Ttl)
}
