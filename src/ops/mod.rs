//! For operators: metrics, the access log, sampled log lines, liveness and systemd, the checks of
//! the host.

pub mod access_log;
pub mod host;
pub mod metrics;
pub(crate) mod older_clients;
pub(crate) mod sampler;
pub(crate) mod systemd;
pub(crate) mod watchdog;
