//! For operators: metrics, the access log, sampled log lines, liveness and systemd, the checks of
//! the host and of another hub.

pub mod access_log;
pub mod health;
pub mod host;
pub mod metrics;
pub(crate) mod sampler;
pub(crate) mod systemd;
pub(crate) mod watchdog;
