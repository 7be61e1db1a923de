//! All tests that drive the built binary from outside, one module for each subject. They are one
//! program, since each program would link the whole hub again. `tests/run processes` runs it;
//! `cargo test` alone does not.

#[path = "../common/mod.rs"]
mod common;

mod acme;
mod cli;
mod compression;
mod crash;
mod damage;
mod demo;
mod dialects;
mod docs;
mod draft04;
mod driver;
mod end_to_end;
mod health;
mod history;
mod hostile;
mod http2;
mod http2_floods;
mod http2_flow;
mod jwks;
mod limits;
mod logs;
mod memory;
mod mercure10;
mod metrics;
mod signals;
mod starts;
mod subscription_lists;
mod subscriptions;
mod systemd;
mod tls;
mod tuning;
mod upgrade;
