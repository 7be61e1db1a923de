//! A cache of verified tokens, so that a publisher that sends thousands of updates with one token
//! pays for one signature check.
//!
//! Invariants: a hit compares every byte of the token, so a hash collision never lends one token's
//! grant to another; an entry is not served after its token has expired; at most
//! [`TOKEN_CACHE_MAX`] tokens of at most [`TOKEN_CACHE_BYTES_MAX`] bytes together are kept. A cache
//! belongs to the keys of one role: publishers and subscribers need one each.

use std::collections::HashMap;

use crate::limits::{TOKEN_CACHE_BYTES_MAX, TOKEN_CACHE_MAX};

const GENERATION_MAX: usize = TOKEN_CACHE_MAX / 2;
const GENERATION_BYTES_MAX: usize = TOKEN_CACHE_BYTES_MAX / 2;
const _: () = assert!(GENERATION_MAX > 0);

/// A bounded map from a verified token to its grant; one per shard and key.
///
/// It has two generations. The young one takes every insertion and every hit. When it reaches half
/// of a bound, it becomes the old one, and tokens without a hit since the last change are
/// dropped. So a hit does not have to maintain an order.
#[derive(Debug)]
pub struct TokenCache<T> {
    young: HashMap<Box<str>, CacheEntry<T>>,
    /// The bytes of the young tokens, with those of some that have expired.
    young_bytes: usize,
    old: HashMap<Box<str>, CacheEntry<T>>,
}

#[derive(Debug)]
struct CacheEntry<T> {
    value: T,
    expires_at_ms: Option<u64>,
}

impl<T> Default for TokenCache<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), young_bytes: 0, old: HashMap::new() }
    }
}

impl<T> TokenCache<T> {
    /// An empty cache. It allocates nothing before the first token.
    pub fn new() -> Self {
        Self::default()
    }

    /// The grant of `token`, unless it is unknown or has expired at `now_ms` (Unix time).
    pub fn get(&mut self, token: &str, now_ms: u64) -> Option<&T> {
        if !self.young.contains_key(token) {
            let (token, entry) = self.old.remove_entry(token)?;
            self.put(token, entry);
        }
        if self.young.get(token)?.has_expired(now_ms) {
            self.young.remove(token);
        }
        self.young.get(token).map(|entry| &entry.value)
    }

    /// Adds a token that was verified with this cache's key. `expires_at_ms` is the token's `exp`
    /// in milliseconds.
    pub fn insert(&mut self, token: &str, value: T, expires_at_ms: Option<u64>) {
        self.old.remove(token);
        self.put(token.into(), CacheEntry { value, expires_at_ms });
    }

    /// The number of tokens kept, at most [`TOKEN_CACHE_MAX`].
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether no token is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&mut self, token: Box<str>, entry: CacheEntry<T>) {
        if self.young.len() >= GENERATION_MAX || self.young_bytes + token.len() > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += token.len();
        self.young.insert(token, entry);
    }
}

impl<T> CacheEntry<T> {
    fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| now_ms >= expires_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TOKEN_BYTES_MAX;

    #[test]
    fn a_cached_token_dies_with_its_exp() {
        let mut cache = TokenCache::new();
        cache.insert("a.b.c", 1, Some(100));
        cache.insert("d.e.f", 2, None);
        assert_eq!(cache.get("a.b.c", 99), Some(&1));
        assert_eq!(cache.get("a.b.c", 100), None);
        assert_eq!(cache.get("a.b.c", 0), None, "an expired entry is gone for good");
        assert_eq!(cache.get("d.e.f", u64::MAX), Some(&2));
        assert_eq!(cache.get("d.e.g", 0), None);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_flood_of_tokens_neither_grows_the_cache_nor_drops_the_one_in_use() {
        let mut cache = TokenCache::new();
        cache.insert("busy", 0, None);
        for number in 1..=10 * TOKEN_CACHE_MAX {
            cache.insert(&format!("token {number}"), number, None);
            assert_eq!(cache.get("busy", 0), Some(&0), "after {number} others");
            assert!(cache.len() <= TOKEN_CACHE_MAX);
        }
        assert_eq!(cache.get("token 1", 0), None);
    }

    #[test]
    fn a_flood_of_long_tokens_stays_within_the_bytes() {
        let mut cache = TokenCache::new();
        let long = "x".repeat(TOKEN_BYTES_MAX);
        for number in 0..TOKEN_CACHE_MAX {
            cache.insert(&format!("{number}{long}"), number, None);
            let bytes = cache.len() * long.len();
            assert!(bytes <= TOKEN_CACHE_BYTES_MAX, "{bytes}");
        }
        assert!(cache.len() > 40, "{}", cache.len());
    }

    #[test]
    fn a_token_is_kept_once_whatever_generation_it_was_in() {
        let mut cache = TokenCache::new();
        for number in 0..GENERATION_MAX {
            cache.insert(&number.to_string(), number, None);
        }
        cache.insert("x", 0, None);
        cache.insert("0", 7, None);
        assert_eq!(cache.get("0", 0), Some(&7));
        assert_eq!(cache.len(), GENERATION_MAX + 1);
    }
}
