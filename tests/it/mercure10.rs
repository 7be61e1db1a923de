//! Mercure 1.0 (draft 08) against the binary: the tests of MERCURE-1.0, section 13, by area.

pub(crate) mod access;
mod channels;
mod client_bytes;
mod clients;
mod command;
mod cursor;
mod grants;
mod matchers;
mod mixed;
mod moving;
mod presence;
mod presentation;
mod publishing;
mod requests;
mod sizes;
mod tokens;
