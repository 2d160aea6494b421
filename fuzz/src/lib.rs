//! The bodies of the fuzz targets. `tests/fuzz_corpus.rs` of the crate runs the same file.

pub mod targets;
