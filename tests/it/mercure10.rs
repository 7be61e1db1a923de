//! Mercure 1.0 (draft 08) against the binary: the tests of MERCURE-1.0, section 13, by area.

mod access;
mod clients;
mod presence;
mod tokens;
