//! Bugs planted to see whether the tests find them. Compiled with the feature `testing` alone, and then off unless a test
//! turns one on for its thread.

use std::cell::Cell;

/// A bug within the engine. Those that a device can show without the engine's help are planted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Opening takes a batch whose content does not match its checksum, and writes it anew with one that does.
    BlessTornBatch,
    /// Opening takes every damage for a torn tail, also below what is known to be durable.
    CutDurableBatch,
    /// The length of a batch is cut to its low byte when written.
    WrapLength,
    /// Opening goes on with the log file as it is, instead of writing it anew.
    TrustPageCache,
    /// What a failed append has written stays, and the next goes behind it.
    AppendBehindGarbage,
    /// Files of objects are not synced before the manifest that names them.
    ManifestBeforeObjects,
    /// The old segment is not synced before the first byte of the next.
    RotateUnsynced,
}

thread_local! {
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Turns a bug on for this thread, or all off.
pub fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

pub(super) fn is_planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}
