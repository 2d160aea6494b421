//! Holds the model checks of Folio's reader protocol, in `tests`: a crate of its own, so that they build without Folio
//! and its dependencies. They include the shipped `src/page/epoch.rs`, so that the checked code is the shipped code.
