//! What runs beside the hub, each on a thread of its own, and may block: certificates from an
//! authority, key sets, the reload at SIGHUP, small HTTP listeners, the health check of a hub.

pub mod acme;
pub mod certificates;
pub mod discovery;
pub mod health;
pub(crate) mod https;
pub mod key_sets;
mod public_only;
pub mod reload;
pub(crate) mod side_server;
