//! The ring, compiled against loom:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p petasos-ring-models`.

#[path = "../../../src/ring/mod.rs"]
pub mod ring;
