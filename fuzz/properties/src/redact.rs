//! What is logged of a request holds no token, wherever a client puts it and however it spells it.

use petasos::redact::Redacted;

use crate::Choices;

/// A token; the texts that may not be logged are its claims and its signature.
const HEADER: &str = "eyJhbGciOiJIUzI1NiJ9";
const CLAIMS: &str = "eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0";
const SIGNATURE: &str = "s3cretS3cretS3cretS3cretS3cretS3cretS3cretS3c";

/// The property, for any text around a token: the first byte says how the token is spelled, the
/// rest is the text, with the token in place of each byte 0x01.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let token = spelled(choices.next());
    let Ok(text) = std::str::from_utf8(&bytes[bytes.len().min(1)..]) else { return };
    let text = text.replace('\u{1}', &token);
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text.as_str(), None),
    };
    let shown = [Redacted::target(path, query).to_string(), Redacted::new(&text).to_string()];
    for shown in shown {
        // Also in another spelling than the client's.
        let decoded = percent_decoded(&shown);
        for text in [shown, decoded] {
            assert!(!text.contains(CLAIMS) && !text.contains(&SIGNATURE[..12]), "{text}");
        }
    }
}

/// The token, with none, some or all of its letters percent-encoded.
fn spelled(choice: usize) -> String {
    let token = format!("{HEADER}.{CLAIMS}.{SIGNATURE}");
    let is_escaped = |at: usize| match choice % 5 {
        0 | 1 => false,
        2 => at == 0,
        3 => at % 7 == choice % 7,
        _ => true,
    };
    let escape = |(at, byte): (usize, u8)| match is_escaped(at) {
        true => format!("%{byte:02x}"),
        false => char::from(byte).to_string(),
    };
    token.bytes().enumerate().map(escape).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        let digits =
            behind.get(..2).filter(|digits| *byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
