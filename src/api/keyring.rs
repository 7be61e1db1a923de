//! The keys that verify tokens: a key of the configuration, or a fetched key set. [`verifier`] uses
//! them.
//!
//! A key set has one writer, which fetches it, and a reader in each shard. Invariants: a shard
//! takes no lock to verify a token, except once for each new set or key; a new set discards the
//! tokens verified with the old one; until a set is fetched, no token is valid. The streams of a
//! key that is withdrawn end ([`verifier`]).

mod auth_error;
mod tracked;
pub(crate) mod verifier;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::JWKS_ASK_EVERY_MS;
use crate::mercure::token::{Algorithm, KeySet, VerificationKey};

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

impl KeySource {
    /// Whether tokens are verified with the same key, or the same key set, as from another one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fetched(one), Self::Fetched(other)) => Arc::ptr_eq(one, other),
            (Self::Fixed(one), Self::Fixed(other)) => one.is_same(other),
            (Self::File(one), Self::File(other)) => one.now().is_same(&other.now()),
            _ => false,
        }
    }
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

    fn now(&self) -> Arc<VerificationKey> {
        Arc::clone(&self.key.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_newer_than(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) != generation
    }

    /// The newest key, if `generation` is older; updates `generation`.
    fn newer_than(&self, generation: &mut u64) -> Option<Arc<VerificationKey>> {
        if !self.is_newer_than(*generation) {
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
    /// Whether no issuer uses it any more.
    is_retired: AtomicBool,
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
            is_retired: AtomicBool::new(false),
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

    /// Ends its fetcher: no issuer uses the set any more.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
        self.fetch();
    }

    /// For the fetcher: whether it shall end.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::SeqCst)
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

    fn is_newer_than(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) != generation
    }

    /// The newest set, if `generation` is older; updates `generation`.
    fn newer_than(&self, generation: &mut u64) -> Option<Arc<KeySet>> {
        if !self.is_newer_than(*generation) {
            return None;
        }
        let place = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        *generation = self.generation.load(Ordering::Relaxed);
        place.clone()
    }
}

/// An issuer of access tokens (draft 08) that the hub trusts.
#[derive(Clone)]
pub struct Issuer {
    /// Its identifier, which `iss` must equal byte by byte.
    pub name: Box<str>,
    /// Verifies the tokens of publishers; `None` if its tokens may not publish.
    pub publisher: Option<KeySource>,
    /// Verifies the tokens of subscribers; `None` if its tokens may not subscribe.
    pub subscriber: Option<KeySource>,
    /// Whether the protected resource metadata lists it (`authorization_servers`).
    pub is_advertised: bool,
}

impl Issuer {
    /// Whether its tokens are verified in the same way as those of another one, and it is listed
    /// alike.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same = |one: &Option<KeySource>, other: &Option<KeySource>| match (one, other) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            _ => false,
        };
        self.name == other.name
            && self.is_advertised == other.is_advertised
            && is_same(&self.publisher, &other.publisher)
            && is_same(&self.subscriber, &other.subscriber)
    }
}

/// The issuers of `ISSUERS_FILE`, which the reader of the file replaces while shards use them.
pub struct SharedIssuers {
    issuers: Mutex<Arc<[Issuer]>>,
    /// Counts the lists, from 1, so that a shard can check for a newer one without the lock.
    generation: AtomicU64,
}

impl SharedIssuers {
    /// Creates it with the first list.
    pub fn new(issuers: Arc<[Issuer]>) -> Arc<Self> {
        Arc::new(Self { issuers: Mutex::new(issuers), generation: AtomicU64::new(1) })
    }

    /// Replaces the list; returns the one before.
    pub fn replace(&self, issuers: Arc<[Issuer]>) -> Arc<[Issuer]> {
        let mut place = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, issuers);
        // Under the lock, so that a shard that sees the new count finds this list or a newer one.
        self.generation.fetch_add(1, Ordering::Release);
        before
    }

    pub(crate) fn is_newer_than(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) != generation
    }

    /// The newest list; updates `generation`.
    pub(crate) fn newest(&self, generation: &mut u64) -> Arc<[Issuer]> {
        let place = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        *generation = self.generation.load(Ordering::Relaxed);
        Arc::clone(&place)
    }
}
