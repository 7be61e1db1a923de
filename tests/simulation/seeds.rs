//! The seeds that a simulation runs for.

const SEEDS_DEFAULT: u64 = 3_000;

/// Runs a simulation for each seed. A failure names the seed.
pub(crate) fn for_each_seed(run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS_DEFAULT),
    };
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        assert!(ran.is_ok(), "replay with SIMULATION_SEED={seed}");
    }
}
