//! petasos: a hub for the [Mercure protocol](https://mercure.rocks/spec), thread-per-core on io_uring.
//!
//! The law of dependencies: `protocol` ← `http` ← `hub` ← `runtime` ← `main`. `ring` knows nothing but the type it carries;
//! `history` knows the frame and the event id. Nothing points back, and only `runtime` touches a socket, a clock or a
//! thread. `tests/tidy.rs` checks it; `docs/ARCHITECTURE.md` draws it.

pub mod config;
pub mod history;
pub mod http;
pub mod hub;
pub mod limits;
pub mod protocol;
pub mod ring;
pub mod runtime;
