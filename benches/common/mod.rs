//! Shared by the benches: the hub's allocator, and the duration of each measurement.

use std::time::Duration;

use criterion::Criterion;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Twenty samples in about a second. The whole of `cargo bench` takes minutes; on a shared machine,
/// the medians of several runs say more than one long run.
pub(crate) fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}
