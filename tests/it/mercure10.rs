//! Mercure 1.0 (draft-08) against the binary, one file for each area of MERCURE-1.0.

mod tokens;
