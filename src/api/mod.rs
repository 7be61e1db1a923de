//! What a request means, and who may make it, pure.
//!
//! [`handler`] decides what to do with a request and makes every response. Invariants: nothing is
//! done before it is decided; every response, an error included, gets the CORS headers of its
//! request; a client learns nothing from an error that it may not know.

pub mod demo;
pub mod handler;
pub mod history_health;
pub mod keyring;
pub mod page;
pub mod refusal;
pub mod request_counts;
pub mod routes;
pub mod subscribe_query;
