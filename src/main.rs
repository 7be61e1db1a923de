//! The `petasos` binary.
fn main() {}
