//! The keys that verify the tokens of one role: a key of the configuration, or a fetched key set.
//!
//! A key set has one writer, which fetches it, and a reader in each shard. Invariants: a shard
//! takes no lock to verify a token, except once for each new set or key; a new set discards the
//! tokens verified with the old one; until a set is fetched, no token is valid. Open streams stay
//! open until the `exp` of their token.

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::JWKS_ASK_EVERY_MS;
use crate::mercure::audience::Authorization;
use crate::mercure::grant::Grant;
use crate::mercure::token::{Algorithm, KeySet, TokenCache, TokenError, VerificationKey};
use crate::time::Now;

/// No request for a fetch yet.
const NEVER: u64 = u64::MAX;

/// The source of the key of a role.
#[derive(Clone)]
pub enum KeySource {
    /// The configuration.
    Fixed(VerificationKey),
    /// A file; the key that was read last.
    File(Arc<SharedKey>),
    /// A URL; the set that was fetched last.
    Fetched(Arc<SharedKeys>),
}

impl From<VerificationKey> for KeySource {
    fn from(key: VerificationKey) -> Self {
        Self::Fixed(key)
    }
}

/// A key that the reader of its file replaces while shards use it.
pub struct SharedKey {
    key: Mutex<Arc<VerificationKey>>,
    /// Counts the keys, from 1, so that a shard can check for a newer one without the lock.
    generation: AtomicU64,
    algorithm: Algorithm,
}

impl SharedKey {
    /// Creates it with the first key.
    pub fn new(key: VerificationKey) -> Arc<Self> {
        let algorithm = key.algorithm();
        Arc::new(Self { key: Mutex::new(Arc::new(key)), generation: AtomicU64::new(1), algorithm })
    }

    /// The algorithm, which does not change with the key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Replaces the key.
    pub fn replace(&self, key: VerificationKey) {
        let mut place = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(key);
        // Under the lock, so that a shard that sees the new count finds this key or a newer one.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The newest key, if `generation` is older; updates `generation`.
    fn newer_than(&self, generation: &mut u64) -> Option<Arc<VerificationKey>> {
        if self.generation.load(Ordering::Acquire) == *generation {
            return None;
        }
        let place = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        *generation = self.generation.load(Ordering::Relaxed);
        Some(Arc::clone(&place))
    }
}

/// A key set that its fetcher replaces while shards read it.
pub struct SharedKeys {
    set: Mutex<Option<Arc<KeySet>>>,
    /// Counts the sets, so that a shard can check for a newer one without the lock.
    generation: AtomicU64,
    /// When a shard last asked for a fetch, in [`Now::ms`].
    asked_ms: AtomicU64,
    is_fetching: AtomicBool,
    asks: (Sender<()>, Receiver<()>),
}

impl SharedKeys {
    /// Creates it without a set.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            set: Mutex::new(None),
            generation: AtomicU64::new(0),
            asked_ms: AtomicU64::new(NEVER),
            is_fetching: AtomicBool::new(false),
            asks: bounded(1),
        })
    }

    /// For the fetcher: sets whether a fetch is running.
    pub fn set_fetching(&self, is_fetching: bool) {
        self.is_fetching.store(is_fetching, Ordering::Relaxed);
    }

    /// For the fetcher: replaces the set.
    pub fn replace(&self, set: KeySet) {
        let mut place = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::new(set));
        // Under the lock, so that a shard that sees the new count finds this set or a newer one.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// For the fetcher: one message for each request to fetch the set again.
    pub fn asks(&self) -> &Receiver<()> {
        &self.asks.1
    }

    /// Requests a fetch now, regardless of earlier requests.
    pub fn fetch(&self) {
        // A waiting message has the same effect.
        let _ = self.asks.0.try_send(());
    }

    /// Requests a fetch because a token names a key that is not in the set, unless one was
    /// requested within [`JWKS_ASK_EVERY_MS`]. Returns whether a fetch is running, which may bring
    /// the key.
    fn ask(&self, now_ms: u64) -> bool {
        let asked_ms = self.asked_ms.load(Ordering::Relaxed);
        if asked_ms != NEVER && now_ms < asked_ms.saturating_add(JWKS_ASK_EVERY_MS) {
            return self.is_fetching.load(Ordering::Relaxed);
        }
        // If several shards ask at the same time, one request is enough.
        if self.asked_ms.compare_exchange(asked_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.set_fetching(true);
            // A waiting message has the same effect.
            let _ = self.asks.0.try_send(());
        }
        true
    }

    /// The newest set, if `generation` is older; updates `generation`.
    fn newer_than(&self, generation: &mut u64) -> Option<Arc<KeySet>> {
        if self.generation.load(Ordering::Acquire) == *generation {
            return None;
        }
        let place = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        *generation = self.generation.load(Ordering::Relaxed);
        place.clone()
    }
}

/// Why a token grants nothing. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthError {
    /// The token is not valid.
    Invalid(String),
    /// The token cannot be verified yet: the keys are being fetched.
    NotYet(&'static str),
}

/// Verifies the tokens of one role in one shard.
pub(super) struct Verifier {
    source: KeySource,
    /// The newest set or key that this shard has seen, and its generation.
    set: Option<Arc<KeySet>>,
    key: Option<Arc<VerificationKey>>,
    generation: u64,
    /// Tokens verified with the current key or set.
    cache: TokenCache<Rc<Grant>>,
}

impl Verifier {
    pub(super) fn new(source: KeySource) -> Self {
        Self { source, set: None, key: None, generation: 0, cache: TokenCache::new() }
    }

    /// Whether there is a key or a set.
    pub(super) fn has_keys(&self) -> bool {
        match &self.source {
            KeySource::Fixed(_) | KeySource::File(_) => true,
            KeySource::Fetched(shared) => shared.generation.load(Ordering::Relaxed) > 0,
        }
    }

    /// Takes the newest key or set, and discards the tokens verified with the old one.
    fn renew(&mut self) {
        let is_new = match &self.source {
            KeySource::Fixed(_) => false,
            KeySource::File(shared) => {
                let newer = shared.newer_than(&mut self.generation);
                newer.map(|key| self.key = Some(key)).is_some()
            }
            KeySource::Fetched(shared) => {
                let newer = shared.newer_than(&mut self.generation);
                newer.map(|set| self.set = Some(set)).is_some()
            }
        };
        if is_new {
            self.cache = TokenCache::new();
        }
    }

    /// The grant of a token.
    pub(super) fn grant(
        &mut self,
        token: &str,
        authorization: Authorization,
        now: Now,
    ) -> Result<Rc<Grant>, AuthError> {
        self.renew();
        if let Some(grant) = self.cache.get(token, now.unix_s()) {
            return Ok(Rc::clone(grant));
        }
        let claims = match (&self.source, &self.set, &self.key) {
            (KeySource::Fixed(key), ..) => key.verify(token, now.unix_s()),
            (KeySource::File(_), _, Some(key)) => key.verify(token, now.unix_s()),
            (KeySource::File(_), _, None) => return Err(AuthError::NotYet("the key has not been read yet")),
            (KeySource::Fetched(_), None, _) => {
                return Err(AuthError::NotYet("the key set has not been fetched yet"));
            }
            (KeySource::Fetched(shared), Some(set), _) => match set.verify(token, now.unix_s()) {
                Err(TokenError::UnknownKey) if shared.ask(now.ms) => {
                    return Err(AuthError::NotYet(
                        "the key set is fetched anew: the token names a key that is not in it",
                    ));
                }
                verified => verified,
            },
        };
        let claims = claims.map_err(invalid)?;
        let grant = Rc::new(Grant::from_claims(&claims, authorization).map_err(invalid)?);
        self.cache.insert(token, Rc::clone(&grant), grant.expires_at());
        Ok(grant)
    }
}

fn invalid(error: impl fmt::Display) -> AuthError {
    AuthError::Invalid(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mercure::token::sign;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::json;

    const EC256: &str = include_str!("../../tests/data/keys/ec256-private.pem");
    const NOW: Now = Now { ms: 1_000, unix_ms: 1_600_000_000_000 };

    fn key() -> EncodingKey {
        // The first call of our own code chooses the cryptography provider.
        sign(&json!({}), b"x", Algorithm::HS256).expect("a token");
        EncodingKey::from_ec_pem(EC256.as_bytes()).expect("a key")
    }

    fn set(id: &str) -> KeySet {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::ES256).expect("a key"))
            .expect("JSON");
        jwk["kid"] = json!(id);
        KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), None).expect("a key set")
    }

    fn token(id: &str) -> String {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &json!({"mercure": {"publish": ["*"]}}), &key()).expect("a token")
    }

    fn grants(verifier: &mut Verifier, id: &str, now: Now) -> Result<(), AuthError> {
        verifier.grant(&token(id), Authorization::Selectors, now).map(|_| ())
    }

    #[test]
    fn before_the_first_set_nothing_is_valid_and_that_is_said() {
        let shared = SharedKeys::new();
        let mut verifier = Verifier::new(KeySource::Fetched(Arc::clone(&shared)));
        assert!(!verifier.has_keys());
        assert!(matches!(grants(&mut verifier, "a", NOW), Err(AuthError::NotYet(_))));
        shared.replace(set("a"));
        assert!(verifier.has_keys());
        assert_eq!(grants(&mut verifier, "a", NOW), Ok(()));
    }

    /// A withdrawn key verifies no token, not even one that it verified before.
    #[test]
    fn with_a_new_set_the_tokens_of_the_old_one_are_verified_again() {
        let shared = SharedKeys::new();
        let mut verifier = Verifier::new(KeySource::Fetched(Arc::clone(&shared)));
        shared.replace(set("a"));
        let old = token("a");
        let granted = |verifier: &mut Verifier| verifier.grant(&old, Authorization::Selectors, NOW);
        assert!(granted(&mut verifier).is_ok() && granted(&mut verifier).is_ok());
        assert_eq!(verifier.cache.len(), 1);
        shared.replace(set("b"));
        assert!(granted(&mut verifier).is_err(), "it was remembered");
        assert_eq!(grants(&mut verifier, "b", NOW), Ok(()));
        shared.replace(KeySet::default());
        assert!(grants(&mut verifier, "b", NOW).is_err());
    }

    /// A replaced key verifies no token, not even one that it verified before.
    #[test]
    fn with_a_new_key_the_tokens_of_the_old_one_are_verified_again() {
        let key = |secret: &str| VerificationKey::new(Algorithm::HS256, secret.as_bytes()).expect("a key");
        let claims = json!({"mercure": {"publish": ["*"]}});
        let [old, new] =
            ["old", "new"].map(|secret| sign(&claims, secret.as_bytes(), Algorithm::HS256).expect("signed"));
        let shared = SharedKey::new(key("old"));
        let mut verifier = Verifier::new(KeySource::File(Arc::clone(&shared)));
        let mut is_granted = |token: &str| verifier.grant(token, Authorization::Selectors, NOW).is_ok();
        assert_eq!([&old, &old, &new].map(|token| is_granted(token)), [true, true, false]);
        shared.replace(key("new"));
        assert_eq!([&old, &new].map(|token| is_granted(token)), [false, true]);
    }

    #[test]
    fn an_unknown_key_has_the_set_fetched_once_in_a_while_and_is_invalid_otherwise() {
        let shared = SharedKeys::new();
        let mut verifier = Verifier::new(KeySource::Fetched(Arc::clone(&shared)));
        shared.replace(set("a"));
        let at = |ms: u64| Now { ms, ..NOW };
        assert!(matches!(grants(&mut verifier, "b", at(0)), Err(AuthError::NotYet(_))), "asked");
        assert!(matches!(grants(&mut verifier, "c", at(1)), Err(AuthError::NotYet(_))), "under way");
        assert_eq!(shared.asks().try_iter().count(), 1);
        // The fetch has ended and brought nothing new.
        shared.set_fetching(false);
        for ms in [2, JWKS_ASK_EVERY_MS - 1] {
            assert!(matches!(grants(&mut verifier, "b", at(ms)), Err(AuthError::Invalid(_))), "at {ms}");
        }
        assert_eq!(shared.asks().try_iter().count(), 0, "no fetch in between");
        assert!(matches!(grants(&mut verifier, "b", at(JWKS_ASK_EVERY_MS)), Err(AuthError::NotYet(_))));
        assert_eq!(shared.asks().try_iter().count(), 1);
        assert_eq!(grants(&mut verifier, "a", at(3)), Ok(()), "known keys go on");
    }

    #[test]
    fn other_errors_of_a_token_ask_for_nothing() {
        let shared = SharedKeys::new();
        let mut verifier = Verifier::new(KeySource::Fetched(Arc::clone(&shared)));
        shared.replace(set("a"));
        let mut broken = token("a");
        broken.truncate(broken.len() - 2);
        for token in [broken.as_str(), "", "a.b.c"] {
            let refused = verifier.grant(token, Authorization::Selectors, NOW);
            assert!(matches!(refused, Err(AuthError::Invalid(_))), "{token}");
        }
        assert!(shared.asks().is_empty());
    }
}
