//! Tokens: the cost of a publisher's token when it is new, and when it was verified before.
//!
//! Cold is the work of a shard for an unknown token: the header, the signature, the claims, and
//! the grant read from them. Cached is the lookup of the same token in the shard's cache, alone or
//! in a full generation.

mod common;

use std::hint::black_box;
use std::rc::Rc;

use criterion::{Criterion, criterion_group, criterion_main};
use petasos::limits::TOKEN_CACHE_MAX;
use petasos::mercure::audience::Authorization;
use petasos::mercure::grant::Grant;
use petasos::mercure::token::{Algorithm, TokenCache, TokenRules, VerificationKey, sign};
use serde_json::json;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_700_000_000;

/// Each algorithm with the key that signs and the key that verifies.
const ALGORITHMS: [(&str, Algorithm, &[u8], &[u8]); 3] = [
    ("HS256", Algorithm::HS256, SECRET, SECRET),
    (
        "ES256",
        Algorithm::ES256,
        include_bytes!("../tests/data/keys/ec256-private.pem"),
        include_bytes!("../tests/data/keys/ec256-public.pem"),
    ),
    (
        "RS256",
        Algorithm::RS256,
        include_bytes!("../tests/data/keys/rsa-private.pem"),
        include_bytes!("../tests/data/keys/rsa-public.pem"),
    ),
];

/// The token of a publisher of one template, like a framework's default.
fn token(number: usize, key: &[u8], algorithm: Algorithm) -> String {
    let claims = json!({
        "mercure": {"publish": ["https://example.com/books/{id}"], "subscribe": [format!("/users/{number}")]},
        "exp": NOW + 3_600,
    });
    sign(&claims, key, algorithm).expect("a signature")
}

fn verify(key: &VerificationKey, token: &str) -> Grant {
    let claims = key.verify(token, NOW, &TokenRules::Legacy).expect("a valid token");
    Grant::from_claims(&claims, Authorization::Selectors).expect("a grant")
}

fn cold(c: &mut Criterion) {
    for (name, algorithm, private, public) in ALGORITHMS {
        let key = VerificationKey::new(algorithm, public).expect("a key");
        let token = token(0, private, algorithm);
        c.bench_function(&format!("verify a token/cold, {name}"), |b| {
            b.iter(|| verify(&key, black_box(&token)));
        });
    }
}

fn cached(c: &mut Criterion) {
    let key = VerificationKey::new(Algorithm::HS256, SECRET).expect("a key");
    // The cache starts a new generation at half of its bound. Fewer tokens stay in one generation.
    for (name, count) in [("alone", 1), ("among many", TOKEN_CACHE_MAX / 2 - 1)] {
        let tokens: Vec<String> = (0..count).map(|n| token(n, SECRET, Algorithm::HS256)).collect();
        let mut cache = TokenCache::new();
        for token in &tokens {
            cache.insert(token, Rc::new(verify(&key, token)), Some(NOW + 3_600));
        }
        let mut next = 0;
        c.bench_function(&format!("verify a token/cached, {name}"), |b| {
            b.iter(|| {
                next = (next + 1) % tokens.len();
                cache.get(black_box(&tokens[next]), NOW).map(Rc::clone).expect("a cached grant")
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = common::brief();
    targets = cold, cached
}
criterion_main!(benches);
