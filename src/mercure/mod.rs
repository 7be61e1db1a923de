//! The values of the Mercure protocol, pure: bytes in, values out. No socket, no clock, no thread.
//!
//! Invariants: a value that matters has one constructor, which parses it
//! ([`update::Update::parse`], [`selector::Selector::parse`], [`event_id::EventId::parse`]); time
//! is an argument; every size is bounded in [`crate::limits`].

pub mod audience;
pub mod event_id;
pub mod form;
pub mod grant;
pub mod index;
pub mod names;
pub mod newest;
pub mod resume;
pub mod selector;
pub mod subscription;
pub mod token;
pub mod topic;
pub mod update;
pub mod uri_template;
