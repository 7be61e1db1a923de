//! What the `urlpattern` crate asks of a regexp, and the bounds of those that a pattern writes
//! itself.

use std::cell::OnceCell;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use urlpattern::parser::RegexSyntax;
use urlpattern::regexp::RegExp;

use super::compile::compile;
use super::error::UrlPatternError;
use crate::limits::{
    PATTERN_PROTOCOL_STATES_MAX, PATTERN_REGEXP_BYTES_MAX, PATTERN_REGEXP_DEPTH_MAX, PATTERN_REGEXPS_MAX,
};
use crate::mercure::uri_template::{ByteProgram, Simulator};

/// Groups that `urlpattern` writes around one of a pattern.
const DEPTH_AROUND: u32 = 8;

/// The text of a regexp, which is neither checked nor compiled unless the crate asks what it
/// matches. The crate makes up to sixteen for each pattern.
pub(super) struct RegexpText {
    text: String,
    /// That of a protocol, if it is not too large: such a pattern is refused later.
    protocol: OnceCell<Option<ByteProgram>>,
}

impl RegExp for RegexpText {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<Self, ()> {
        Ok(Self { text: pattern.to_owned(), protocol: OnceCell::new() })
    }

    /// The crate asks this of protocols alone: whether they are those of the web.
    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        let compiled = || compile(&parse(&self.text).ok()?, PATTERN_PROTOCOL_STATES_MAX).ok();
        let program = self.protocol.get_or_init(compiled).as_ref()?;
        Simulator::default().matches_bytes(program, 0, text.as_bytes()).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.text
    }
}

/// Parses a regexp over bytes. Those of Unicode are refused: URLs are ASCII, and the tables are
/// large.
pub(super) fn parse(text: &str) -> Result<Hir, UrlPatternError> {
    let mut builder = ParserBuilder::new();
    builder.unicode(false).utf8(false).nest_limit(PATTERN_REGEXP_DEPTH_MAX + DEPTH_AROUND);
    builder.build().parse(text).map_err(|_| UrlPatternError::Regexp)
}

/// Checks the regexps that a component writes itself, and returns their number.
pub(super) fn count_regexps(component: &str) -> Result<usize, UrlPatternError> {
    let mut count = 0;
    let mut bytes = component.as_bytes();
    while let Some(at) = memchr::memchr2(b'(', b'\\', bytes) {
        if bytes[at] == b'\\' {
            bytes = bytes.get(at + 2..).unwrap_or(&[]);
            continue;
        }
        let regexp = &bytes[at + 1..];
        let end = end_of_regexp(regexp)?;
        count += 1;
        if end > PATTERN_REGEXP_BYTES_MAX || count > PATTERN_REGEXPS_MAX {
            return Err(UrlPatternError::TooComplex);
        }
        bytes = &regexp[end..];
    }
    Ok(count)
}

/// The length of a regexp, which ends at the parenthesis that closes it. A group that sets flags is
/// refused: a flag for Unicode would bring the large tables back.
fn end_of_regexp(bytes: &[u8]) -> Result<usize, UrlPatternError> {
    let mut depth = 1;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'(' => {
                if !bytes[at + 1..].starts_with(b"?:") {
                    return Err(UrlPatternError::Regexp);
                }
                depth += 1;
            }
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(at);
        }
        at += 1;
    }
    Ok(bytes.len())
}
