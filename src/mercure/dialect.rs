//! The generations of the protocol, of which a hub speaks one or two side by side (MERCURE-1.0,
//! section 12).
//!
//! The dialect of a token is read from its signed header, that of a request from its parameters;
//! neither is ever guessed, and nothing is tried a second time in another dialect.

use crate::mercure::audience::Authorization;

/// A generation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The 2019 protocol, with targets.
    Draft04,
    /// Mercure 0.x, with topic selectors.
    Draft07,
    /// Mercure 1.0, with matchers and OAuth 2.0 access tokens.
    Draft08,
}

/// The dialects that a hub speaks, at least one. Nothing in a token tells draft 04 from draft 07,
/// so a hub speaks at most one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialects {
    legacy: Option<Authorization>,
    draft08: bool,
}

impl Dialects {
    /// Draft 04 or 07 alone.
    pub const fn legacy(authorization: Authorization) -> Self {
        Self { legacy: Some(authorization), draft08: false }
    }

    /// Draft 08, beside a legacy dialect if there is one.
    pub const fn with_draft08(legacy: Option<Authorization>) -> Self {
        Self { legacy, draft08: true }
    }

    /// The legacy dialect, by what its tokens list.
    pub fn legacy_authorization(self) -> Option<Authorization> {
        self.legacy
    }

    /// The legacy dialect.
    pub fn legacy_dialect(self) -> Option<Dialect> {
        self.legacy.map(Dialect::of_legacy)
    }

    /// Whether it speaks draft 08.
    pub fn has_draft08(self) -> bool {
        self.draft08
    }

    /// Whether it speaks this dialect.
    pub fn has(self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::Draft04 => self.legacy == Some(Authorization::Targets),
            Dialect::Draft07 => self.legacy == Some(Authorization::Selectors),
            Dialect::Draft08 => self.draft08,
        }
    }
}

impl Dialect {
    /// Every dialect, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Draft04, Self::Draft07, Self::Draft08];

    /// The legacy dialect of this rule.
    pub fn of_legacy(authorization: Authorization) -> Self {
        match authorization {
            Authorization::Targets => Self::Draft04,
            Authorization::Selectors => Self::Draft07,
        }
    }

    /// Its number, as in the setting `PROTOCOL` and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft04 => "04",
            Self::Draft07 => "07",
            Self::Draft08 => "08",
        }
    }
}
