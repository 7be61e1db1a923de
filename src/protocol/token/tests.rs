//! Token vectors.
