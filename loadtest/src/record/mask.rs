//! The command line of a report, without its secrets.
//!
//! Masked are: the value of `--key` everywhere, values of settings, headers, parameters and JSON
//! members whose names suggest a secret, the credentials of a URL, and everything that looks like a
//! JSON Web Token. When in doubt, a value is masked.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The text that replaces a secret.
const MASK: &str = "***";
/// Parts of names whose values are secret.
const SECRET_NAMES: [&str; 14] = [
    "auth",
    "bearer",
    "cookie",
    "credential",
    "jwt",
    "key",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "session",
    "signature",
    "token",
];
/// Headers whose values are not secret.
const PLAIN_HEADERS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "cache-control",
    "content-type",
    "host",
    "last-event-id",
    "origin",
    "user-agent",
];
/// A shorter key is not searched for in other arguments: it may be part of any word.
const KEY_BYTES_MIN: usize = 4;

/// The kind of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A secret.
    Key,
    /// `NAME=VALUE`
    Setting,
    /// `NAME: VALUE`
    Header,
    /// Anything.
    Text,
}

impl Kind {
    fn of(option: &str) -> Self {
        match option {
            "--key" => Self::Key,
            "--server-env" => Self::Setting,
            "--subscribe-header" | "--publish-header" => Self::Header,
            _ => Self::Text,
        }
    }

    fn mask(self, value: &str) -> String {
        match self {
            Self::Key => MASK.to_owned(),
            Self::Setting => setting(value),
            Self::Header => header(value),
            Self::Text => text(value),
        }
    }
}

/// The arguments of a process. The first is its path; only the file name is kept.
pub(super) fn command_line(arguments: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let arguments: Vec<String> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut keys: Vec<&str> = Vec::new();
    let mut masked = vec![program.into_owned()];
    let mut kind = Kind::Text;
    for argument in &arguments {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (Some(option), Some(value)),
            _ if argument.starts_with("--") => (Some(argument.as_str()), None),
            _ => (None, Some(argument.as_str())),
        };
        kind = option.map_or(kind, Kind::of);
        keys.extend(value.filter(|value| kind == Kind::Key && value.len() >= KEY_BYTES_MIN));
        let value = value.map(|value| kind.mask(value));
        masked.push(match (option, value) {
            (Some(option), Some(value)) => format!("{option}={value}"),
            (Some(option), None) => option.to_owned(),
            (None, value) => value.unwrap_or_default(),
        });
        // The next argument is the option's value only if the option has no value yet.
        if option.is_none() || argument.contains('=') {
            kind = Kind::Text;
        }
    }
    for argument in &mut masked {
        for key in &keys {
            *argument = argument.replace(key, MASK);
        }
    }
    masked
}

/// `NAME=VALUE`; the value is masked if the name suggests a secret.
pub(crate) fn setting(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        Some((name, value)) => format!("{name}={}", text(value)),
        None => text(pair),
    }
}

/// `NAME: VALUE`; the value is masked unless the name is known to be harmless, or the value
/// consists of template placeholders.
fn header(line: &str) -> String {
    let Some((name, value)) = line.split_once(':') else { return text(line) };
    let is_plain = PLAIN_HEADERS.iter().any(|plain| name.trim().eq_ignore_ascii_case(plain));
    if is_plain {
        return format!("{name}:{}", text(value));
    }
    let bare = value.trim();
    let bare = bare.strip_prefix("Bearer").unwrap_or(bare).trim();
    if bare.is_empty() || place_bytes(bare) == Some(bare.len()) {
        return line.to_owned();
    }
    format!("{name}: {MASK}")
}

/// A text that may contain URLs, parameters and JSON.
fn text(text: &str) -> String {
    let text = credentials(text);
    let text = parameters(&text);
    tokens(&pairs(&text))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret)) || name == "pass" || name == "sig"
}

/// Masks the credentials before the `@` of a URL's host.
fn credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(['/', '?', '#', ' ', '"']).unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at);
        if host > 0 {
            out.push_str(MASK);
        }
        rest = &after[host..];
    }
    out + rest
}

/// Masks percent-encoded parameters whose decoded text contains a secret.
fn parameters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(['?', '&']) {
        let end = piece.trim_end_matches(['?', '&']).len();
        let (parameter, separator) = piece.split_at(end);
        match parameter.split_once('=') {
            Some((name, value)) if value.contains('%') && hides_secret(value) => {
                out.push_str(name);
                out.push('=');
                out.push_str(MASK);
            }
            _ => out.push_str(parameter),
        }
        out.push_str(separator);
    }
    out
}

fn hides_secret(value: &str) -> bool {
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = value.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&decoded);
    tokens(&pairs(&decoded)) != decoded
}

/// Masks the values of `name=value` and `"name":"value"` whose names suggest a secret.
fn pairs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        let start = rest.find(is_name).unwrap_or(rest.len());
        let end = rest[start..].find(|letter| !is_name(letter)).map_or(rest.len(), |end| start + end);
        out.push_str(&rest[..end]);
        let name = &rest[start..end];
        rest = &rest[end..];
        if name.is_empty() {
            return out;
        }
        let Some(value) = value_after(rest).filter(|_| is_secret(name)) else { continue };
        let quote = value.trim_start().chars().next().filter(|letter| *letter == '"' || *letter == '\'');
        let value = value.trim_start().strip_prefix(['"', '\'']).unwrap_or(value.trim_start());
        if value.is_empty() || place_bytes(value).is_some() {
            continue;
        }
        out.push_str(&rest[..rest.len() - value.len()]);
        out.push_str(MASK);
        rest = match quote {
            Some(quote) => value.find(quote).map_or("", |end| &value[end..]),
            // Nested values are secret too.
            None if value.starts_with(['{', '[']) => "",
            None => value.find(['&', ';', ',', '}', '#', '"', '\'', ' ']).map_or("", |end| &value[end..]),
        };
    }
}

/// The text after `=`, or after the `:` of JSON or of a header, that follows a name; not the port
/// of a host.
fn value_after(rest: &str) -> Option<&str> {
    let separator = rest.trim_start_matches(['"', '\'', ' ']);
    if let Some(value) = separator.strip_prefix('=') {
        return Some(value);
    }
    let value = separator.strip_prefix(':')?;
    (rest.len() > separator.len() || value.starts_with(' ')).then_some(value)
}

/// The length of the template placeholder at the start of `text`.
fn place_bytes(text: &str) -> Option<usize> {
    let name = text.strip_prefix('{')?.split_once('}')?.0;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then_some(name.len() + 2)
}

/// Masks text that looks like a JSON Web Token: `eyJ…`, with two dots.
fn tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let (before, token) = rest.split_at(at);
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        let end = token.find(|letter| !is_part(letter)).unwrap_or(token.len());
        let looks_like_one = token[..end].matches('.').count() == 2;
        out.push_str(before);
        out.push_str(if looks_like_one { MASK } else { &token[..end] });
        rest = &token[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(arguments: &[&str]) -> String {
        command_line(arguments.iter().map(OsString::from)).join(" ")
    }

    #[test]
    fn a_command_line_without_secrets_is_kept_but_for_the_path_of_the_program() {
        let line = [
            "/a/b/petasos-loadtest",
            "fanout",
            "--subscribers",
            "10",
            "--html=x.html",
            "--server",
            "/c/petasos",
        ];
        assert_eq!(
            masked(&line),
            "petasos-loadtest fanout --subscribers 10 --html=x.html --server /c/petasos"
        );
        assert_eq!(masked(&[]), "");
    }

    #[test]
    fn the_key_is_masked_in_either_form_and_wherever_else_it_stands() {
        assert_eq!(masked(&["p", "--key", "s3cr3t", "fanout"]), "p --key *** fanout");
        assert_eq!(masked(&["p", "fanout", "--key=s3cr3t=="]), "p fanout --key=***");
        assert_eq!(masked(&["p", "--html", "s3cr3t.html", "--key", "s3cr3t"]), "p --html ***.html --key ***");
        assert_eq!(masked(&["p", "--key", "a", "fanout"]), "p --key *** fanout");
    }

    #[test]
    fn settings_of_the_hub_are_masked_by_their_names() {
        let line = ["p", "--server-env", "PUBLISHER_JWT_KEY=abc", "--server-env=SHARDS=2", "--limit"];
        assert_eq!(masked(&line), "p --server-env PUBLISHER_JWT_KEY=*** --server-env=SHARDS=2 --limit");
        assert_eq!(setting("DB_PATH=:memory:"), "DB_PATH=:memory:");
    }

    #[test]
    fn headers_are_masked_unless_they_are_known_or_places() {
        for (line, expected) in [
            ("Authorization: Bearer abc def", "Authorization: ***"),
            ("X-Api-Key: abc", "X-Api-Key: ***"),
            ("X-Unknown: abc", "X-Unknown: ***"),
            ("Content-Type: application/json", "Content-Type: application/json"),
            ("Authorization: Bearer {token}", "Authorization: Bearer {token}"),
            ("Authorization: Bearer {token}abc", "Authorization: ***"),
        ] {
            assert_eq!(masked(&["p", "--publish-header", line]), format!("p --publish-header {expected}"));
            assert_eq!(
                masked(&["p", &format!("--subscribe-header={line}")]),
                format!("p --subscribe-header={expected}")
            );
        }
    }

    #[test]
    fn credentials_and_secret_parameters_of_urls_are_masked() {
        for (url, expected) in [
            ("http://user:pa@ss@host:80/hub?topic=a@b", "http://***@host:80/hub?topic=a@b"),
            ("http://key-server:80/hub,42", "http://key-server:80/hub,42"),
            ("http://host/?access_token=abc&topic=x#f", "http://host/?access_token=***&topic=x#f"),
            ("http://host/?authorization={token}&t={topic}", "http://host/?authorization={token}&t={topic}"),
            (
                "http://host/?c=%7B%22token%22%3A%22abc%22%7D&d=%7B%22subs%22%3A1%7D",
                "http://host/?c=***&d=%7B%22subs%22%3A1%7D",
            ),
            ("http://host/eyJhbGciOi.eyJtZXJ.abc-_9/x", "http://host/***/x"),
        ] {
            assert_eq!(masked(&["p", "--url", url]), format!("p --url {expected}"));
            assert_eq!(masked(&["p", "--compare", url, url]), format!("p --compare {expected} {expected}"));
        }
    }

    #[test]
    fn secret_members_of_a_body_are_masked() {
        for (body, expected) in [
            (r#"{"channel":"{topic_raw}","data":"{data}"}"#, r#"{"channel":"{topic_raw}","data":"{data}"}"#),
            (r#"{"api_key": "a b", "data":"{data}"}"#, r#"{"api_key": "***", "data":"{data}"}"#),
            (r#"{"data":"{data}","auth":{"user":"x"}}"#, r#"{"data":"{data}","auth":***"#),
            (r#"{"token":12,"data":"{data}"}"#, r#"{"token":***,"data":"{data}"}"#),
            ("secret=abc&data={data}", "secret=***&data={data}"),
            ("token={token}&data={data}", "token={token}&data={data}"),
        ] {
            assert_eq!(masked(&["p", "--publish-body", body]), format!("p --publish-body {expected}"));
        }
    }
}
