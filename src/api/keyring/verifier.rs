//! Verifies the tokens of one role in one shard (MERCURE-1.0, sections 5.2 and 12.2).
//!
//! The form of a token and, for an access token, its `iss` choose one key before anything is
//! verified. Invariants: that key alone is tried; a legacy key verifies legacy tokens only, an
//! issuer's key only access tokens of that issuer; a new key or key set discards every remembered
//! token; a client learns nothing of the reason of a refusal. Every grant comes with the number of
//! its key, so that the streams of a withdrawn key can be ended.

use std::rc::Rc;

use super::KeySource;
use super::auth_error::invalid;
use super::tracked::{KeyNumbers, TrackedKey};
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::grant::{Grant, beginning};
use crate::mercure::token::{AccessRules, KeyNumber, TokenCache, TokenForm, TokenRules, claimed_issuer};
use crate::time::Now;

pub(crate) use super::auth_error::AuthError;

/// How many requests had a token that was accepted, by its dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenCounts {
    draft04: u64,
    draft07: u64,
    draft08: u64,
}

impl TokenCounts {
    /// The dialects, as label values.
    pub(crate) const DIALECTS: [&str; 3] =
        [Dialect::Draft04.as_str(), Dialect::Draft07.as_str(), Dialect::Draft08.as_str()];

    /// The counts, in the order of [`Self::DIALECTS`].
    pub(crate) fn by_dialect(self) -> [u64; 3] {
        [self.draft04, self.draft07, self.draft08]
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            draft04: self.draft04 + other.draft04,
            draft07: self.draft07 + other.draft07,
            draft08: self.draft08 + other.draft08,
        }
    }
}

/// Verifies the tokens of one role in one shard.
pub(crate) struct Verifier {
    dialects: Dialects,
    legacy: Option<TrackedKey>,
    issuers: Vec<TrackedIssuer>,
    numbers: KeyNumbers,
    /// Tokens verified with the current keys.
    cache: TokenCache<(Rc<Grant>, KeyNumber)>,
    counts: TokenCounts,
}

/// The key of one issuer for the role; `None` if its tokens have no such role.
struct TrackedIssuer {
    name: Box<str>,
    key: Option<TrackedKey>,
}

impl Verifier {
    /// `legacy` verifies the tokens of draft 04 or 07, each of `issuers` the access tokens of the
    /// issuer that its rules name.
    pub(crate) fn new(
        dialects: Dialects,
        legacy: Option<KeySource>,
        issuers: Vec<(Option<KeySource>, AccessRules)>,
    ) -> Self {
        let mut numbers = KeyNumbers::new();
        let legacy = legacy.map(|source| TrackedKey::new(source, TokenRules::Legacy, &mut numbers));
        let mut this = Self {
            dialects,
            legacy,
            issuers: Vec::new(),
            numbers,
            cache: TokenCache::new(),
            counts: TokenCounts::default(),
        };
        this.replace_issuers(issuers);
        this
    }

    /// Trusts these issuers from now on, and no others. A key that is among both keeps its streams.
    pub(crate) fn replace_issuers(&mut self, issuers: Vec<(Option<KeySource>, AccessRules)>) {
        let mut before = std::mem::take(&mut self.issuers);
        for (source, rules) in issuers {
            let name = rules.issuer.clone();
            let former = before.iter_mut().find(|issuer| issuer.name == name);
            let former = former.and_then(|issuer| issuer.key.take());
            let rules = TokenRules::Access(rules);
            let key = match (source, former) {
                (Some(source), Some(former)) if former.is_from(&source) => {
                    Some(former.moved_to(source, rules))
                }
                (source, former) => {
                    former.into_iter().for_each(|former| former.withdraw(&mut self.numbers));
                    source.map(|source| TrackedKey::new(source, rules, &mut self.numbers))
                }
            };
            self.issuers.push(TrackedIssuer { name, key });
        }
        let gone = before.into_iter().filter_map(|issuer| issuer.key);
        gone.for_each(|key| key.withdraw(&mut self.numbers));
        self.cache = TokenCache::new();
    }

    /// Whether [`Self::take_withdrawn`] has something to do: a key or a set is newer than the one
    /// in use, or keys were withdrawn.
    pub(crate) fn is_outdated(&self) -> bool {
        !self.numbers.withdrawn.is_empty() || self.keys().any(TrackedKey::is_outdated)
    }

    /// Whether a key is still in force.
    pub(crate) fn has_number(&self, number: KeyNumber) -> bool {
        self.keys().any(|key| key.has_number(number))
    }

    /// Takes the newest keys; returns the numbers of those that were withdrawn since the last call.
    pub(crate) fn take_withdrawn(&mut self) -> Vec<KeyNumber> {
        self.renew();
        std::mem::take(&mut self.numbers.withdrawn)
    }

    fn keys(&self) -> impl Iterator<Item = &TrackedKey> {
        self.legacy.iter().chain(self.issuers.iter().filter_map(|issuer| issuer.key.as_ref()))
    }

    /// Whether there is a key or a set for every source.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys().all(TrackedKey::has_keys)
    }

    /// The tokens that were accepted so far.
    pub(crate) fn counts(&self) -> TokenCounts {
        self.counts
    }

    /// The grant of a token, and the number of the key that verified it.
    pub(crate) fn grant(&mut self, token: &str, now: Now) -> Result<(Rc<Grant>, KeyNumber), AuthError> {
        self.renew();
        let (grant, number) = match self.cache.get(token, now.unix_ms) {
            Some((grant, number)) => (Rc::clone(grant), *number),
            None => {
                let (grant, number) = self.verify(token, now)?;
                let grant = Rc::new(grant);
                self.cache.insert(token, (Rc::clone(&grant), number), grant.expires_at_ms());
                (grant, number)
            }
        };
        self.count(&grant);
        Ok((grant, number))
    }

    /// Takes the newest keys and sets; if there is one, discards the tokens verified before.
    fn renew(&mut self) {
        let Self { legacy, issuers, numbers, .. } = self;
        let issuers = issuers.iter_mut().filter_map(|issuer| issuer.key.as_mut());
        let keys = legacy.iter_mut().chain(issuers);
        if keys.fold(false, |is_new, key| key.renew(numbers) | is_new) {
            self.cache = TokenCache::new();
        }
    }

    fn verify(&self, token: &str, now: Now) -> Result<(Grant, KeyNumber), AuthError> {
        let key = match TokenForm::of(token).map_err(invalid)? {
            TokenForm::Legacy => self.legacy_key()?,
            TokenForm::Access => self.key_of_issuer(token)?,
        };
        let (claims, number) = key.verify(token, now)?;
        let authorization = self.dialects.legacy_authorization().unwrap_or(Authorization::Selectors);
        Grant::from_claims(&claims, authorization).map(|grant| (grant, number)).map_err(invalid)
    }

    /// The key of the tokens of draft 04 or 07, if the hub speaks one of them.
    fn legacy_key(&self) -> Result<&TrackedKey, AuthError> {
        let key = self.legacy.as_ref().filter(|_| self.dialects.legacy_dialect().is_some());
        key.ok_or_else(|| invalid("a token whose \"typ\" is not at+jwt, and PROTOCOL has neither 04 nor 07"))
    }

    /// The key of the issuer that the token claims to be from.
    fn key_of_issuer(&self, token: &str) -> Result<&TrackedKey, AuthError> {
        if !self.dialects.has_draft08() {
            return Err(invalid("an at+jwt token, and PROTOCOL has no 08"));
        }
        let claimed = claimed_issuer(token).map_err(invalid)?;
        let Some(issuer) = self.issuers.iter().find(|issuer| *issuer.name == *claimed) else {
            let claimed = beginning(&claimed);
            return Err(invalid(format_args!("\"iss\" is not a configured issuer: {claimed:?}")));
        };
        issuer.key.as_ref().ok_or_else(|| invalid("the issuer has no key for this role"))
    }

    fn count(&mut self, grant: &Grant) {
        let count = match grant.dialect() {
            Some(Dialect::Draft04) => &mut self.counts.draft04,
            Some(Dialect::Draft07) => &mut self.counts.draft07,
            Some(Dialect::Draft08) => &mut self.counts.draft08,
            None => return,
        };
        *count += 1;
    }
}

#[cfg(test)]
mod tests;
