//! Text from outside, for the log: without credentials, and of bounded length.
//!
//! Invariant: no log line holds a token, nor the value of a parameter that is named like one,
//! however it is spelled and wherever it is. Two places see to that: [`Redacted`], through which
//! every text of a client, an authority or a publisher reaches a log event, and
//! [`without_tokens`], through which every line passes before it is written.
//!
//! The cost is linear in the length of the text. A secret in another coding (base64, encryption)
//! is not found.

mod decoded;
mod shapes;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::limits::{LOGGED_TEXT_BYTES_MAX, REDACTED_TEXT_BYTES_MAX};
use decoded::{DecodedByte, decode};

/// The replacement for a secret.
const MASK: &str = "***";

/// A text from outside. It displays without its secrets: tokens in the shape of a JWT, wherever
/// they begin and however often they are percent-encoded; the values of parameters and fields with
/// the name of a secret; what follows `Bearer` and `Basic`; the user and the password of a URL.
pub struct Redacted<'t> {
    text: Cow<'t, [u8]>,
    /// Whether it is the beginning of a longer one.
    is_cut: bool,
    bytes_max: usize,
}

impl<'t> Redacted<'t> {
    /// The value of a field or of a parameter. It is cut after [`LOGGED_TEXT_BYTES_MAX`] bytes.
    pub fn new(text: &'t (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::cut(Cow::Borrowed(text.as_ref()))
    }

    /// A text that is shown to its end, such as an event. What made it bounds its length.
    pub fn whole(text: &'t (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { text: Cow::Borrowed(text.as_ref()), is_cut: false, bytes_max: usize::MAX }
    }

    /// What something displays, such as an error that may quote a client. It is cut like a field.
    pub fn of(value: impl fmt::Display) -> Self {
        Self::cut(Cow::Owned(value.to_string().into_bytes()))
    }

    /// The target of a request. It is cut like a field.
    pub fn target(path: &'t str, query: Option<&'t str>) -> Self {
        let Some(query) = query else { return Self::new(path) };
        let parts = [path.as_bytes(), b"?", query.as_bytes()];
        let bytes = parts.into_iter().flatten().copied().take(REDACTED_TEXT_BYTES_MAX + 1);
        Self::cut(Cow::Owned(bytes.collect()))
    }

    fn cut(text: Cow<'t, [u8]>) -> Self {
        let is_cut = text.len() > REDACTED_TEXT_BYTES_MAX;
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..text.len().min(REDACTED_TEXT_BYTES_MAX)]),
            Cow::Owned(mut text) => {
                text.truncate(REDACTED_TEXT_BYTES_MAX);
                Cow::Owned(text)
            }
        };
        Self { text, is_cut, bytes_max: LOGGED_TEXT_BYTES_MAX }
    }
}

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = decode(&self.text);
        let mut secrets = Vec::new();
        shapes::tokens(&cells, &mut secrets);
        shapes::named(&cells, &mut secrets);
        let mut left = self.bytes_max;
        for piece in pieces(&self.text, &cells, secrets) {
            let shown = String::from_utf8_lossy(piece.unwrap_or(MASK.as_bytes()));
            if shown.len() > left {
                let end = (0..=left).rev().find(|end| shown.is_char_boundary(*end));
                f.write_str(&shown[..end.unwrap_or(0)])?;
                return f.write_str("…");
            }
            f.write_str(&shown)?;
            left -= shown.len();
        }
        f.write_str(if self.is_cut { "…" } else { "" })
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A line of the log without tokens in the shape of a JWT, from any module. Names of parameters
/// mean nothing here, since the hub's own texts use them.
pub fn without_tokens(line: &[u8]) -> Cow<'_, [u8]> {
    let cells = decode(line);
    let mut secrets = Vec::new();
    shapes::tokens(&cells, &mut secrets);
    if secrets.is_empty() {
        return Cow::Borrowed(line);
    }
    let mut text = Vec::with_capacity(line.len());
    for piece in pieces(line, &cells, secrets) {
        text.extend_from_slice(piece.unwrap_or(MASK.as_bytes()));
    }
    Cow::Owned(text)
}

/// The parts of a text in their order; `None` stands for one or several secrets.
fn pieces<'t>(
    text: &'t [u8],
    cells: &[DecodedByte],
    mut secrets: Vec<Range<usize>>,
) -> Vec<Option<&'t [u8]>> {
    secrets.sort_unstable_by_key(|secret| secret.start);
    let mut pieces = Vec::with_capacity(2 * secrets.len() + 1);
    let (mut shown_from, mut hidden_to) = (0, 0);
    for Range { start, end } in secrets.into_iter().filter(|secret| !secret.is_empty()) {
        let (start, end) = (cells[start].start, cells[end - 1].end);
        if start > hidden_to || pieces.is_empty() {
            pieces.extend([Some(&text[shown_from..start]), None]);
        }
        hidden_to = hidden_to.max(end);
        shown_from = hidden_to;
    }
    pieces.push(Some(&text[shown_from..]));
    pieces
}

#[cfg(test)]
mod tests;
