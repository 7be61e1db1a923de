//! Verifies the tokens of one role in one shard (MERCURE-1.0, sections 5.2 and 12.2).
//!
//! The form of a token and, for an access token, its `iss` choose one key before anything is
//! verified. Invariants: that key alone is tried; a legacy key verifies legacy tokens only, an
//! issuer's key only access tokens of that issuer; a new key or key set discards every remembered
//! token; a client learns nothing of the reason of a refusal.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::KeySource;
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::grant::{Grant, beginning};
use crate::mercure::token::{
    AccessRules, Claims, KeySet, TokenCache, TokenError, TokenForm, TokenRules, VerificationKey,
    claimed_issuer,
};
use crate::time::Now;

/// Why a token grants nothing. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// The token is not valid.
    Invalid(String),
    /// The token cannot be verified yet: the keys are being fetched.
    NotYet(&'static str),
}

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

    /// Those of drafts 04 and 07.
    pub(crate) fn legacy(self) -> u64 {
        self.draft04 + self.draft07
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
    /// Tokens verified with the current keys.
    cache: TokenCache<Rc<Grant>>,
    counts: TokenCounts,
}

/// The key of one issuer for the role; `None` if its tokens have no such role.
struct TrackedIssuer {
    name: Box<str>,
    key: Option<TrackedKey>,
}

/// A key, and the newest form of it that this shard has seen.
struct TrackedKey {
    source: KeySource,
    rules: TokenRules,
    set: Option<Arc<KeySet>>,
    key: Option<Arc<VerificationKey>>,
    generation: u64,
}

impl Verifier {
    /// `legacy` verifies the tokens of draft 04 or 07, each of `issuers` the access tokens of the
    /// issuer that its rules name.
    pub(crate) fn new(
        dialects: Dialects,
        legacy: Option<KeySource>,
        issuers: Vec<(Option<KeySource>, AccessRules)>,
    ) -> Self {
        let issuer = |(source, rules): (Option<KeySource>, AccessRules)| TrackedIssuer {
            name: rules.issuer.clone(),
            key: source.map(|source| TrackedKey::new(source, TokenRules::Access(rules))),
        };
        Self {
            dialects,
            legacy: legacy.map(|source| TrackedKey::new(source, TokenRules::Legacy)),
            issuers: issuers.into_iter().map(issuer).collect(),
            cache: TokenCache::new(),
            counts: TokenCounts::default(),
        }
    }

    /// Whether there is a key or a set for every source.
    pub(crate) fn has_keys(&self) -> bool {
        let issuers = self.issuers.iter().filter_map(|issuer| issuer.key.as_ref());
        self.legacy.iter().chain(issuers).all(TrackedKey::has_keys)
    }

    /// The tokens that were accepted so far.
    pub(crate) fn counts(&self) -> TokenCounts {
        self.counts
    }

    /// The grant of a token.
    pub(crate) fn grant(&mut self, token: &str, now: Now) -> Result<Rc<Grant>, AuthError> {
        self.renew();
        let grant = match self.cache.get(token, now.unix_s()) {
            Some(grant) => Rc::clone(grant),
            None => {
                let grant = Rc::new(self.verify(token, now)?);
                self.cache.insert(token, Rc::clone(&grant), grant.expires_at());
                grant
            }
        };
        self.count(&grant);
        Ok(grant)
    }

    /// Takes the newest keys and sets; if there is one, discards the tokens verified before.
    fn renew(&mut self) {
        let issuers = self.issuers.iter_mut().filter_map(|issuer| issuer.key.as_mut());
        let keys = self.legacy.iter_mut().chain(issuers);
        if keys.fold(false, |is_new, key| key.renew() | is_new) {
            self.cache = TokenCache::new();
        }
    }

    fn verify(&self, token: &str, now: Now) -> Result<Grant, AuthError> {
        let key = match TokenForm::of(token).map_err(invalid)? {
            TokenForm::Legacy => self.legacy_key()?,
            TokenForm::Access => self.key_of_issuer(token)?,
        };
        let claims = key.verify(token, now)?;
        let authorization = self.dialects.legacy_authorization().unwrap_or(Authorization::Selectors);
        Grant::from_claims(&claims, authorization).map_err(invalid)
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

impl TrackedKey {
    fn new(source: KeySource, rules: TokenRules) -> Self {
        Self { source, rules, set: None, key: None, generation: 0 }
    }

    fn has_keys(&self) -> bool {
        match &self.source {
            KeySource::Fixed(_) | KeySource::File(_) => true,
            KeySource::Fetched(shared) => shared.generation.load(Ordering::Relaxed) > 0,
        }
    }

    /// Takes the newest key or set; returns whether there is one.
    fn renew(&mut self) -> bool {
        match &self.source {
            KeySource::Fixed(_) => false,
            KeySource::File(shared) => {
                let newer = shared.newer_than(&mut self.generation);
                newer.map(|key| self.key = Some(key)).is_some()
            }
            KeySource::Fetched(shared) => {
                let newer = shared.newer_than(&mut self.generation);
                newer.map(|set| self.set = Some(set)).is_some()
            }
        }
    }

    fn verify(&self, token: &str, now: Now) -> Result<Claims, AuthError> {
        let (unix_s, rules) = (now.unix_s(), &self.rules);
        let verified = match (&self.source, &self.set, &self.key) {
            (KeySource::Fixed(key), ..) => key.verify(token, unix_s, rules),
            (KeySource::File(_), _, Some(key)) => key.verify(token, unix_s, rules),
            (KeySource::File(_), _, None) => return Err(AuthError::NotYet("the key has not been read yet")),
            (KeySource::Fetched(_), None, _) => {
                return Err(AuthError::NotYet("the key set has not been fetched yet"));
            }
            (KeySource::Fetched(shared), Some(set), _) => match set.verify(token, unix_s, rules) {
                Err(TokenError::UnknownKey) if shared.ask(now.ms) => {
                    return Err(AuthError::NotYet(
                        "the key set is fetched anew: the token names a key that is not in it",
                    ));
                }
                verified => verified,
            },
        };
        verified.map_err(invalid)
    }
}

fn invalid(error: impl fmt::Display) -> AuthError {
    AuthError::Invalid(error.to_string())
}

#[cfg(test)]
mod tests;
