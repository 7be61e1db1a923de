//! `petasos token`: a token for trying the hub, and for scripts.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Map, Value, json};

use super::output::{USAGE, complain, written};
use crate::config::{DEMO_KEY, demo_url};
use crate::error_text::chain;
use crate::mercure::names::{ACTION_PUBLISH, ACTION_SUBSCRIBE, CLAIM, DETAIL_TYPE};
use crate::mercure::selector::MatcherType;
use crate::mercure::token::{Algorithm, SignError, sign, sign_access};
use crate::ops::host;

/// How long an access token is valid by default.
const ACCESS_TTL: Duration = Duration::from_secs(3_600);
/// The subject and the client of an access token.
const SUBJECT: &str = "petasos-token";

/// Prints a JWT: of Mercure 0.x, or with an option that names 1.0 an access token of Mercure 1.0.
#[derive(Args)]
pub(crate) struct TokenArgs {
    /// Selector (or target) that the token may publish to; repeatable
    #[arg(long, value_name = "SELECTOR")]
    publish: Vec<String>,
    /// Selector (or target) whose private updates the token may receive; repeatable
    #[arg(long, value_name = "SELECTOR")]
    subscribe: Vec<String>,
    /// 1.0: issuer of the token (`iss`) [default: ISSUER; with DEMO=1, that of demo mode at ADDR]
    #[arg(long, value_name = "URI")]
    issuer: Option<String>,
    /// 1.0: resource that the token is for (`aud`); repeatable [default: RESOURCE_IDENTIFIER, or
    /// PUBLIC_URL; with DEMO=1, that of demo mode at ADDR]
    #[arg(long, value_name = "URI")]
    audience: Vec<String>,
    /// 1.0: topic that the token may publish to, or `*`; repeatable
    #[arg(long, value_name = "TOPIC")]
    publish_match: Vec<String>,
    /// 1.0: URL pattern of topics that the token may publish to; repeatable
    #[arg(long, value_name = "PATTERN")]
    publish_pattern: Vec<String>,
    /// 1.0: topic whose private updates the token may receive, or `*`; repeatable
    #[arg(long, value_name = "TOPIC")]
    subscribe_match: Vec<String>,
    /// 1.0: URL pattern of topics whose private updates the token may receive; repeatable
    #[arg(long, value_name = "PATTERN")]
    subscribe_pattern: Vec<String>,
    /// JSON payload that is shown in subscription documents
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// How long the token is valid (`1h`); without this option, for ever, or with 1.0 one hour
    #[arg(long, value_name = "DURATION")]
    ttl: Option<humantime::Duration>,
    /// Key to sign with: a shared secret, or a private key in PEM form. With DEMO=1, the default is
    /// the demo key. With 1.0, ISSUER_PUBLISHER_KEY (for a token that may publish) or
    /// ISSUER_SUBSCRIBER_KEY, and their files, come before JWT_KEY
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
    #[error(
        "--publish and --subscribe are of 0.x tokens: expected --publish-match, --publish-pattern, --subscribe-match or --subscribe-pattern beside the others"
    )]
    Mixed,
    #[error("expected an issuer: --issuer, ISSUER, or DEMO=1 for that of demo mode")]
    NoIssuer,
    #[error("expected the hub's identifier: --audience, RESOURCE_IDENTIFIER, PUBLIC_URL, or DEMO=1")]
    NoAudience,
    #[error(
        "ADDR has port 0: only the running hub knows its port. Expected PUBLIC_URL, as the hub's metadata show it"
    )]
    AnyPort,
    #[error("--payload is of subscriptions: expected --subscribe-match or --subscribe-pattern, too")]
    PayloadAlone,
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
    let is_demo = std::env::var("DEMO").is_ok_and(|value| value == "1" || value == "true");
    match arguments.is_access() {
        true => access_token(arguments, is_demo),
        false => legacy_token(arguments, is_demo),
    }
}

/// A token of Mercure 0.x.
fn legacy_token(arguments: &TokenArgs, is_demo: bool) -> Result<String, NewTokenError> {
    let key = arguments.key(is_demo)?;
    let mut claim = Map::new();
    for (name, list) in [("publish", &arguments.publish), ("subscribe", &arguments.subscribe)] {
        if !list.is_empty() {
            claim.insert(name.to_owned(), json!(list));
        }
    }
    if let Some(payload) = arguments.payload()? {
        claim.insert("payload".to_owned(), payload);
    }
    let mut claims = json!({ CLAIM: claim });
    if let Some(ttl) = arguments.ttl {
        claims["exp"] = json!(expiry(*ttl)?);
    }
    Ok(sign(&claims, key.as_bytes(), arguments.algorithm)?)
}

/// An access token of Mercure 1.0 (RFC 9068; MERCURE-1.0, section 5.3).
fn access_token(arguments: &TokenArgs, is_demo: bool) -> Result<String, NewTokenError> {
    if !arguments.publish.is_empty() || !arguments.subscribe.is_empty() {
        return Err(NewTokenError::Mixed);
    }
    let demo_url = demo_url(variable("ADDR").as_deref()).filter(|_| is_demo);
    let hub = match (variable("PUBLIC_URL"), demo_url) {
        (None, Some(url)) if url.url().port() == Some(0) => return Err(NewTokenError::AnyPort),
        (given, demo_url) => given.or_else(|| demo_url.map(|url| url.to_string())),
    };
    let issuer = arguments.issuer.clone().or_else(|| variable("ISSUER"));
    let issuer = issuer.or_else(|| hub.clone().filter(|_| is_demo)).ok_or(NewTokenError::NoIssuer)?;
    let audience = match &arguments.audience[..] {
        [] => json!(variable("RESOURCE_IDENTIFIER").or(hub).ok_or(NewTokenError::NoAudience)?),
        [one] => json!(one),
        several => json!(several),
    };
    let key = match arguments.issuer_key()? {
        Some(key) => key,
        None => arguments.key(is_demo)?,
    };
    let mut details = Vec::new();
    for (action, exact, patterns) in [
        (ACTION_PUBLISH, &arguments.publish_match, &arguments.publish_pattern),
        (ACTION_SUBSCRIBE, &arguments.subscribe_match, &arguments.subscribe_pattern),
    ] {
        let exact = exact.iter().map(|text| json!({ "match": text }));
        let pattern = MatcherType::UrlPattern.as_str();
        let patterns = patterns.iter().map(|text| json!({ "match": text, "match_type": pattern }));
        let topics: Vec<Value> = exact.chain(patterns).collect();
        if !topics.is_empty() {
            details.push(json!({ "type": DETAIL_TYPE, "actions": [action], "topics": topics }));
        }
    }
    if let Some(payload) = arguments.payload()? {
        let entry = details.iter_mut().find(|entry| entry["actions"] == json!([ACTION_SUBSCRIBE]));
        entry.ok_or(NewTokenError::PayloadAlone)?["payload"] = payload;
    }
    let ttl = arguments.ttl.map_or(ACCESS_TTL, |ttl| *ttl);
    let claims = json!({
        "iss": issuer,
        "aud": audience,
        "sub": SUBJECT,
        "client_id": SUBJECT,
        "iat": expiry(Duration::ZERO)?,
        "exp": expiry(ttl)?,
        "jti": uuid::Uuid::new_v4().to_string(),
        "authorization_details": details,
    });
    Ok(sign_access(&claims, key.as_bytes(), arguments.algorithm)?)
}

impl TokenArgs {
    /// Whether an option of Mercure 1.0 is given.
    fn is_access(&self) -> bool {
        let lists = [
            &self.audience,
            &self.publish_match,
            &self.publish_pattern,
            &self.subscribe_match,
            &self.subscribe_pattern,
        ];
        self.issuer.is_some() || lists.into_iter().any(|list| !list.is_empty())
    }

    fn payload(&self) -> Result<Option<Value>, NewTokenError> {
        let payload = self.payload.as_deref().map(serde_json::from_str);
        payload.transpose().map_err(NewTokenError::Payload)
    }

    fn key(&self, is_demo: bool) -> Result<String, NewTokenError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (given(&self.key), given(&self.key_file)) {
            (Some(key), _) => Ok(key),
            (None, Some(path)) => from_file(path),
            (None, None) if is_demo => Ok(DEMO_KEY.to_owned()),
            (None, None) => Err(NewTokenError::NoKey),
        }
    }

    /// The issuer's key of the environment, unless a flag names another.
    fn issuer_key(&self) -> Result<Option<String>, NewTokenError> {
        let is_flag = |text: &Option<String>, name: &str| text.is_some() && *text != variable(name);
        if is_flag(&self.key, "JWT_KEY") || is_flag(&self.key_file, "JWT_KEY_FILE") {
            return Ok(None);
        }
        let publishes = !self.publish_match.is_empty() || !self.publish_pattern.is_empty();
        let name = if publishes { "ISSUER_PUBLISHER_KEY" } else { "ISSUER_SUBSCRIBER_KEY" };
        match (variable(name), variable(&format!("{name}_FILE"))) {
            (Some(key), _) => Ok(Some(key)),
            (None, Some(path)) => from_file(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn from_file(path: String) -> Result<String, NewTokenError> {
    let text = host::read_key_file(&path).map_err(|error| NewTokenError::KeyFile(path, error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The Unix time after this duration from now, in seconds.
fn expiry(ttl: Duration) -> Result<u64, NewTokenError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| NewTokenError::Clock)?;
    now.checked_add(ttl).map(|expiry| expiry.as_secs()).ok_or(NewTokenError::Ttl)
}
