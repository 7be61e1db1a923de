//! Requests by the version of the protocol that they speak, so that an operator sees when the last
//! old client is gone (MERCURE-1.0, section 12.6).

use crate::mercure::dialect::Dialect;

/// The dialects of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpokenDialects {
    /// That of the request; `None` if it is not one to publish, to subscribe, or for the active
    /// subscriptions.
    pub request: Option<Dialect>,
    /// That of the token, valid or not; `None` if there is none, or nothing can be said of it.
    pub token: Option<Dialect>,
}

impl SpokenDialects {
    /// The names of both, for the log.
    pub fn names(self) -> [Option<&'static str>; 2] {
        [self.request, self.token].map(|dialect| dialect.map(Dialect::as_str))
    }

    /// Whether the request or its token is older than draft 08.
    pub fn is_legacy(self) -> bool {
        [self.request, self.token].into_iter().flatten().any(|dialect| dialect != Dialect::Draft08)
    }
}

/// Requests so far to publish, to subscribe, or for the active subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts([u64; RequestCounts::KINDS]);

impl RequestCounts {
    /// How many numbers there are.
    pub const KINDS: usize = Dialect::ALL.len();

    /// The name of each number, for a label.
    pub fn labels() -> [&'static str; Self::KINDS] {
        Dialect::ALL.map(Dialect::as_str)
    }

    /// The numbers, in the order of their labels.
    pub fn values(self) -> [u64; Self::KINDS] {
        self.0
    }

    /// Counts a request.
    pub(super) fn add(&mut self, dialect: Dialect) {
        self.0[dialect as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_the_number_beside_its_label() {
        for (place, dialect) in Dialect::ALL.into_iter().enumerate() {
            let mut counts = RequestCounts::default();
            counts.add(dialect);
            assert_eq!((counts.values()[place], RequestCounts::labels()[place]), (1, dialect.as_str()));
        }
    }
}
