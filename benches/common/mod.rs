//! What the benches share: the hub's allocator, and how long each one measures.

use std::time::Duration;

use criterion::Criterion;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Twenty samples in about a second: the whole of `cargo bench` takes minutes, and the medians of several runs of it tell
/// more than one long run on a machine that others use too.
pub(crate) fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}
