//! `petasos token`: a token for trying the hub, and for scripts.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Map, Value, json};

use super::output::{USAGE, complain, written};
use crate::config::{SigningError, SigningKey, SigningRole, SigningSettings};
use crate::error_text::chain;
use crate::limits::TOKEN_BYTES_MAX;
use crate::mercure::names::{ACTION_PUBLISH, ACTION_SUBSCRIBE, CLAIM, DETAIL_TYPE, HUB_PATH};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::{MatcherType, Selector, SelectorError};
use crate::mercure::token::{Algorithm, DetailError, SignError, check_details, sign, sign_access};
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
    /// Key to sign with: a shared secret, or a private key in PEM form [default: JWT_KEY or
    /// JWT_KEY_FILE; with 1.0 that of the issuer for the role: ISSUER_PUBLISHER_KEY (a token that
    /// may publish), ISSUER_SUBSCRIBER_KEY, their files, or that of ISSUERS_FILE; with DEMO=1 the
    /// demo key where none is set]
    #[arg(long, value_name = "KEY", conflicts_with = "key_file", allow_hyphen_values = true)]
    key: Option<String>,
    /// File that contains the key to sign with
    #[arg(long, value_name = "PATH")]
    key_file: Option<String>,
    /// Algorithm to sign with [default: JWT_ALGORITHM; with 1.0 that of the issuer's key in the
    /// settings, as in ISSUER_PUBLISHER_ALGORITHMS; else HS256]
    #[arg(long, value_name = "NAME")]
    algorithm: Option<Algorithm>,
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
    #[error("{flag} {text:?}: {error}")]
    Matcher { flag: &'static str, text: String, error: SelectorError },
    #[error("the hub would refuse the token: {0}")]
    Details(DetailError),
    #[error("the hub would refuse the token: it is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "{0:?} has one key for publishers and another for subscribers: expected a token for one of them, or --key"
    )]
    TwoKeys(String),
    #[error("expected the hub's identifier: --audience, RESOURCE_IDENTIFIER, PUBLIC_URL, or DEMO=1")]
    NoAudience,
    #[error("--payload is of subscriptions: expected --subscribe-match or --subscribe-pattern, too")]
    PayloadAlone,
    #[error("the clock is before 1970")]
    Clock,
    #[error("--ttl is too long")]
    Ttl,
    /// The key does not fit the algorithm.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The settings are wrong, or have no key to sign with.
    #[error(transparent)]
    Settings(#[from] SigningError),
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
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let is_demo = variable("DEMO").is_some_and(|value| value == "1" || value == "true");
    let settings = SigningSettings::new(variable, is_demo);
    match arguments.is_access() {
        true => access_token(arguments, &settings),
        false => legacy_token(arguments, &settings),
    }
}

/// A token of Mercure 0.x.
fn legacy_token(arguments: &TokenArgs, settings: &SigningSettings) -> Result<String, NewTokenError> {
    let text = match arguments.given_key()? {
        Some(text) => text,
        None => settings.legacy_key()?.ok_or(NewTokenError::NoKey)?,
    };
    let algorithm = match arguments.algorithm {
        Some(algorithm) => algorithm,
        None => settings.legacy_algorithm()?,
    };
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
    Ok(sign(&claims, text.as_bytes(), algorithm)?)
}

/// An access token of Mercure 1.0 (RFC 9068; MERCURE-1.0, section 5.3).
fn access_token(arguments: &TokenArgs, settings: &SigningSettings) -> Result<String, NewTokenError> {
    if !arguments.publish.is_empty() || !arguments.subscribe.is_empty() {
        return Err(NewTokenError::Mixed);
    }
    let issuer = match &arguments.issuer {
        Some(issuer) => issuer.clone(),
        None => settings.issuer()?,
    };
    let audience = match &arguments.audience[..] {
        [] => match settings.resource() {
            Some(resource) => json!(resource),
            None => json!(settings.named_hub()?.ok_or(NewTokenError::NoAudience)?),
        },
        [one] => json!(one),
        several => json!(several),
    };
    let details = arguments.details(&arguments.base(settings.hub()?))?;
    let SigningKey { text: key, algorithm } = arguments.signing_key(&issuer, settings)?;
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
    let token = sign_access(&claims, key.as_bytes(), algorithm)?;
    if token.len() > TOKEN_BYTES_MAX {
        return Err(NewTokenError::TooLong);
    }
    Ok(token)
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

    /// The key of the flags.
    fn given_key(&self) -> Result<Option<String>, NewTokenError> {
        let Some(path) = self.key_file.as_ref().filter(|path| !path.is_empty()) else {
            return Ok(self.key.clone().filter(|key| !key.is_empty()));
        };
        let text = host::read_key_file(path).map_err(|error| NewTokenError::KeyFile(path.clone(), error))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The key of the flags, else the issuer's for what the token grants.
    fn signing_key(&self, issuer: &str, settings: &SigningSettings) -> Result<SigningKey, NewTokenError> {
        let publishes = !self.publish_match.is_empty() || !self.publish_pattern.is_empty();
        let subscribes = !self.subscribe_match.is_empty() || !self.subscribe_pattern.is_empty();
        let (role, other) = match (publishes, subscribes) {
            (true, true) => (SigningRole::Publisher, Some(SigningRole::Subscriber)),
            (true, false) => (SigningRole::Publisher, None),
            (false, _) => (SigningRole::Subscriber, None),
        };
        if let Some(text) = self.given_key()? {
            let algorithm = match self.algorithm {
                Some(algorithm) => algorithm,
                None => settings.algorithm(issuer, role)?.unwrap_or(Algorithm::HS256),
            };
            return Ok(SigningKey { text, algorithm });
        }
        let key = settings.key(issuer, role)?;
        if let Some(other) = other
            && settings.key(issuer, other)? != key
        {
            return Err(NewTokenError::TwoKeys(issuer.to_owned()));
        }
        Ok(SigningKey { algorithm: self.algorithm.unwrap_or(key.algorithm), text: key.text })
    }

    /// The URL against which the hub resolves relative patterns. Where it is not known, another one
    /// stands in: whether a pattern is valid does not depend on it.
    fn base(&self, hub: Option<PublicUrl>) -> PublicUrl {
        let audiences = self.audience.iter().filter_map(|audience| PublicUrl::parse(audience).ok());
        let stand_in = || PublicUrl::parse(&format!("https://hub.invalid{HUB_PATH}"));
        hub.into_iter().chain(audiences).next().or_else(|| stand_in().ok()).expect("a stand-in is a URL")
    }

    /// `authorization_details`, read as the hub reads it.
    fn details(&self, hub: &PublicUrl) -> Result<Value, NewTokenError> {
        let mut details = Vec::new();
        for (action, matchers) in [
            (
                ACTION_PUBLISH,
                [
                    ("--publish-match", MatcherType::Exact, &self.publish_match),
                    ("--publish-pattern", MatcherType::UrlPattern, &self.publish_pattern),
                ],
            ),
            (
                ACTION_SUBSCRIBE,
                [
                    ("--subscribe-match", MatcherType::Exact, &self.subscribe_match),
                    ("--subscribe-pattern", MatcherType::UrlPattern, &self.subscribe_pattern),
                ],
            ),
        ] {
            let mut topics = Vec::new();
            for (flag, kind, texts) in matchers {
                for text in texts {
                    Selector::parse_matcher(kind, text, hub).map_err(|error| NewTokenError::Matcher {
                        flag,
                        text: text.clone(),
                        error,
                    })?;
                    topics.push(match kind {
                        MatcherType::Exact => json!({ "match": text }),
                        MatcherType::UrlPattern => json!({ "match": text, "match_type": kind.as_str() }),
                    });
                }
            }
            if !topics.is_empty() {
                details.push(json!({ "type": DETAIL_TYPE, "actions": [action], "topics": topics }));
            }
        }
        if let Some(payload) = self.payload()? {
            let entry = details.iter_mut().find(|entry| entry["actions"] == json!([ACTION_SUBSCRIBE]));
            entry.ok_or(NewTokenError::PayloadAlone)?["payload"] = payload;
        }
        let details = Value::Array(details);
        check_details(&details, hub).map_err(NewTokenError::Details)?;
        Ok(details)
    }
}

/// The Unix time after this duration from now, in seconds.
fn expiry(ttl: Duration) -> Result<u64, NewTokenError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| NewTokenError::Clock)?;
    now.checked_add(ttl).map(|expiry| expiry.as_secs()).ok_or(NewTokenError::Ttl)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        token: TokenArgs,
    }

    /// What is complained of. Also a line that cannot be read has a complaint.
    fn complaint(line: &str, variables: &[(&str, &str)]) -> String {
        let arguments = match CommandLine::try_parse_from(line.split('|')) {
            Ok(line) => line.token,
            Err(error) => return error.to_string(),
        };
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let settings = SigningSettings::new(variable, false);
        let made = match arguments.is_access() {
            true => access_token(&arguments, &settings),
            false => legacy_token(&arguments, &settings),
        };
        chain(&made.expect_err("no token")).to_string()
    }

    #[test]
    fn no_complaint_shows_a_key() {
        const KEY: &str = "s3cret, and long enough for every algorithm that there is";
        const MODERN: &str = "token|--issuer|https://e.x|--audience|https://hub.e.x";
        const PEM: &str = "-----BEGIN s3cret-----";
        let of_issuer = |key| [("ISSUER", "https://e.x"), ("ISSUER_PUBLISHER_KEY", key)];
        let of_roles =
            [&of_issuer(KEY)[..], &[("ISSUER_SUBSCRIBER_KEY", "s3cret too, and long enough")]].concat();
        let both = format!("{MODERN}|--publish-match|a|--subscribe-match|a");
        for (line, variables, complained) in [
            (format!("token|--key|{KEY}|--algorithm|RS256"), &[][..], "private key"),
            (format!("token|--key|{PEM}|--algorithm|ES256"), &[], "private key"),
            (format!("token|--key|{KEY}|--key|{KEY}"), &[], "--key"),
            (format!("token|--key|{KEY}|--key-file|/x"), &[], "--key-file"),
            (format!("token|--key|{KEY}|--payload|{{"), &[], "--payload"),
            (format!("token|--key|{KEY}|--ttl|soon"), &[], "--ttl"),
            (format!("{MODERN}|--publish-match|a|--key|{KEY}|--algorithm|ES256"), &[], "private key"),
            (format!("{MODERN}|--publish-pattern|(|--key|{KEY}"), &[], "--publish-pattern"),
            (format!("{MODERN}|--publish|a|--key|{KEY}"), &[], "--publish-match"),
            (format!("{MODERN}{}|--key|{KEY}", "|--publish-pattern|/:a".repeat(501)), &[], "the hub would"),
            ("token".to_owned(), &[("JWT_KEY", KEY), ("JWT_ALGORITHM", "RS256")], "private key"),
            ("token".to_owned(), &[("JWT_KEY", KEY), ("JWT_ALGORITHM", "none")], "JWT_ALGORITHM"),
            (format!("{MODERN}|--publish-match|a|--algorithm|ES256"), &of_issuer(KEY), "private key"),
            (format!("{MODERN}|--publish-match|a"), &of_issuer(PEM), "key"),
            (both, &of_roles, "another for subscribers"),
        ] {
            let complaint = complaint(&line, variables);
            assert!(complaint.contains(complained), "{line}: {complaint}");
            assert!(!complaint.contains("s3cret"), "{line}: {complaint}");
        }
    }
}
