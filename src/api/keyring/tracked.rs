//! A source of keys as one shard sees it: its newest key or set, and a number for each key.
//!
//! Invariant: a key that stays in force keeps its number; a number whose key is withdrawn is not
//! given again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::KeySource;
use super::auth_error::{AuthError, invalid};
use crate::limits::JWKS_KEYS_MAX;
use crate::mercure::token::{
    Claims, KeyNumber, KeySet, TokenError, TokenRules, VerificationKey, claimed_key_id,
};
use crate::time::Now;

/// Gives numbers, and keeps those of withdrawn keys until they are taken.
pub(super) struct KeyNumbers {
    next: KeyNumber,
    pub(super) withdrawn: Vec<KeyNumber>,
}

/// A key, and the newest form of it that this shard has seen.
pub(super) struct TrackedKey {
    source: KeySource,
    rules: TokenRules,
    set: Option<Arc<KeySet>>,
    key: Option<Arc<VerificationKey>>,
    generation: u64,
    /// The numbers of the keys of the set, or of the key.
    numbers: Vec<KeyNumber>,
    /// The ids of keys that were in the set before, the newest last.
    former_ids: VecDeque<Box<str>>,
}

impl KeyNumbers {
    pub(super) fn new() -> Self {
        Self { next: KeyNumber::FIRST, withdrawn: Vec::new() }
    }

    fn give(&mut self) -> KeyNumber {
        let number = self.next;
        self.next = number.next();
        number
    }
}

impl TrackedKey {
    pub(super) fn new(source: KeySource, rules: TokenRules, numbers: &mut KeyNumbers) -> Self {
        let mut this = Self {
            source,
            rules,
            set: None,
            key: None,
            generation: 0,
            numbers: Vec::new(),
            former_ids: VecDeque::new(),
        };
        if let KeySource::Fixed(_) = this.source {
            this.numbers.push(numbers.give());
        }
        this
    }

    pub(super) fn has_keys(&self) -> bool {
        match &self.source {
            KeySource::Fixed(_) | KeySource::File(_) => true,
            KeySource::Fetched(shared) => shared.is_newer_than(0),
        }
    }

    /// Whether a token that this key verified is still granted.
    pub(super) fn has_number(&self, number: KeyNumber) -> bool {
        self.numbers.contains(&number)
    }

    /// Whether it is from the same source, for tokens of the same rules but for the audiences.
    pub(super) fn is_from(&self, source: &KeySource) -> bool {
        self.source.is_same(source)
    }

    /// Goes on with another source of the same keys.
    pub(super) fn moved_to(self, source: KeySource, rules: TokenRules) -> Self {
        // Of another file, the key is taken again; it keeps its number if it is the same.
        Self { source, rules, generation: 0, ..self }
    }

    /// Gives all its numbers up.
    pub(super) fn withdraw(self, numbers: &mut KeyNumbers) {
        numbers.withdrawn.extend(self.numbers);
    }

    /// Whether there is a newer key or set.
    pub(super) fn is_outdated(&self) -> bool {
        match &self.source {
            KeySource::Fixed(_) => false,
            KeySource::File(shared) => shared.is_newer_than(self.generation),
            KeySource::Fetched(shared) => shared.is_newer_than(self.generation),
        }
    }

    /// Takes the newest key or set; returns whether there is one.
    pub(super) fn renew(&mut self, numbers: &mut KeyNumbers) -> bool {
        match &self.source {
            KeySource::Fixed(_) => false,
            KeySource::File(shared) => {
                let Some(key) = shared.newer_than(&mut self.generation) else { return false };
                if !self.key.as_ref().is_some_and(|before| before.is_same(&key)) {
                    numbers.withdrawn.append(&mut self.numbers);
                    self.numbers.push(numbers.give());
                }
                self.key = Some(key);
                true
            }
            KeySource::Fetched(shared) => {
                let Some(set) = shared.newer_than(&mut self.generation) else { return false };
                self.replace_set(set, numbers);
                true
            }
        }
    }

    fn replace_set(&mut self, set: Arc<KeySet>, numbers: &mut KeyNumbers) {
        let mut kept: Vec<Option<KeyNumber>> = vec![None; set.len()];
        if let Some(before) = &self.set {
            for (place, number) in self.numbers.iter().enumerate() {
                match set.place_of(before, place) {
                    Some(at) => {
                        kept[at].get_or_insert(*number);
                    }
                    None => {
                        numbers.withdrawn.push(*number);
                        self.former_ids.extend(before.id_at(place).map(Box::from));
                    }
                }
            }
        }
        let excess = self.former_ids.len().saturating_sub(JWKS_KEYS_MAX);
        self.former_ids.drain(..excess);
        self.numbers = kept.into_iter().map(|number| number.unwrap_or_else(|| numbers.give())).collect();
        self.set = Some(set);
    }

    /// The claims of a token, and the number of the key that verified it.
    pub(super) fn verify(&self, token: &str, now: Now) -> Result<(Claims, KeyNumber), AuthError> {
        let (unix_ms, rules) = (now.unix_ms, &self.rules);
        let verified = match (&self.source, &self.set, &self.key) {
            (KeySource::Fixed(key), ..) => key.verify(token, unix_ms, rules).map(|claims| (claims, 0)),
            (KeySource::File(_), _, Some(key)) => key.verify(token, unix_ms, rules).map(|claims| (claims, 0)),
            (KeySource::File(_), _, None) => return Err(AuthError::NotYet("the key has not been read yet")),
            (KeySource::Fetched(_), None, _) => {
                return Err(AuthError::NotYet("the key set has not been fetched yet"));
            }
            (KeySource::Fetched(shared), Some(set), _) => match set.verify_by(token, unix_ms, rules) {
                Err(TokenError::UnknownKey) if self.had_key_of(token) => {
                    return Err(invalid("the token names a key that was withdrawn from the key set"));
                }
                Err(TokenError::UnknownKey) if shared.ask(now.ms) => {
                    return Err(AuthError::NotYet(
                        "the key set is fetched anew: the token names a key that is not in it",
                    ));
                }
                verified => verified,
            },
        };
        let (claims, place) = verified.map_err(invalid)?;
        let number = self.numbers.get(place).copied();
        Ok((claims, number.ok_or_else(|| invalid("the key has no number (a defect of the hub)"))?))
    }

    /// Whether the key that the token names was in the set before: then no fetch brings it.
    fn had_key_of(&self, token: &str) -> bool {
        let id = claimed_key_id(token).ok().flatten();
        id.is_some_and(|id| self.former_ids.iter().any(|former| **former == *id))
    }
}
