//! Bugs planted to see whether the tests find them. Compiled with the feature `testing` alone, and then off unless a test
//! turns one on for its thread.

use std::cell::Cell;

/// A bug within the file engine, or within what a database does with its engine. Those that a device can show without
/// their help are planted there.
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
    /// What is in a new segment counts as durable before its name is.
    TurnBeforeName,
    /// Readers see a version that the log has refused.
    PublishRefused,
    /// Commits that are to be durable are published when they are appended.
    PublishUnsynced,
    /// A commit that need not be durable is published ahead of one that waits to be.
    PublishOutOfTurn,
    /// The log behind a checkpoint is released before the manifest that names it.
    ReleaseBeforeManifest,
    /// A checkpoint takes the pages that were born first behind the one before for saved: some stamps, a version's worth.
    SaveTooLate,
    /// A checkpoint is of what readers see, also where the log does not have it yet.
    SaveUnwritten,
    /// Opening leaves the last batch of the log out.
    SkipLastBatch,
}

thread_local! {
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Turns a bug on for this thread, or all off.
pub fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

pub(crate) fn is_planted(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}
