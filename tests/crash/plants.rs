//! The harness is tested too: each of these bugs must make it fail.

use super::faults::fail_everywhere;
use super::images::{Extent, crash_everywhere};
use super::misreads::misreads_find;
use super::order::{overtaken, seen_too_early};
use super::planted::{Planted, all_are_found, planted};
use super::workload::{Setting, run};
use folio::Durability;
use folio::storage::Format;
use folio::testing::{DevicePlant, Plant, SimFiles, plant};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn settings(steps: u64) -> impl Iterator<Item = Setting> {
    let durabilities = [Durability::Sync, Durability::Buffered, Durability::EVERY_SECOND];
    (1..3).flat_map(move |seed| {
        durabilities.map(|durability| Setting { format: Format::Binary, durability, seed, steps })
    })
}

/// Whether crashes at every operation of a few runs show the bug. Panics of the run itself show it too.
fn crashes_find(device: Option<DevicePlant>, bug: Option<Plant>) -> Option<String> {
    settings(24).find_map(|setting| {
        let files = SimFiles::new();
        files.set_plant(device);
        plant(bug);
        let found = catch_unwind(AssertUnwindSafe(|| {
            let (journal, files) = run(setting, None, files);
            let extent = Extent { from: 0, cut_step: 40, second_every: 0 };
            let wrong = crash_everywhere(&files, &journal, setting, extent).wrong;
            wrong.map(|(point, error)| format!("{point:?}: {error}"))
        }));
        plant(None);
        found.unwrap_or_else(|_| Some("panicked".into()))
    })
}

fn faults_find(device: Option<DevicePlant>, bug: Option<Plant>) -> Option<String> {
    settings(24).find_map(|setting| {
        plant(bug);
        let outcome = fail_everywhere(setting, 1, device);
        plant(None);
        outcome.wrong.map(|(fault, error)| format!("{fault:?}: {error}"))
    })
}

fn readers_find(bug: Plant) -> Option<String> {
    plant(Some(bug));
    let found = catch_unwind(|| seen_too_early(Durability::Sync));
    plant(None);
    found.unwrap_or_else(|_| Some("panicked".into()))
}

#[test]
fn planted_bugs_are_found() {
    assert_eq!(crashes_find(None, None), None, "without a bug nothing is found");
    let by_crashes_of_devices = [DevicePlant::SkipLogSync, DevicePlant::SkipFolderSync, DevicePlant::RenameBeforeSync];
    let by_crashes = [
        Plant::BlessTornBatch,
        Plant::WrapLength,
        Plant::ManifestBeforeObjects,
        Plant::RotateUnsynced,
        Plant::ReleaseBeforeManifest,
        Plant::SaveTooLate,
        Plant::SaveUnwritten,
        Plant::SkipLastBatch,
    ];
    let by_faults = [Plant::TrustPageCache, Plant::AppendBehindGarbage, Plant::PublishRefused];
    let mut bugs: Vec<Planted> = Vec::new();
    bugs.extend(by_crashes_of_devices.map(|bug| planted(bug, move || crashes_find(Some(bug), None))));
    bugs.extend(by_crashes.map(|bug| planted(bug, move || crashes_find(None, Some(bug)))));
    bugs.extend(by_faults.map(|bug| planted(bug, move || faults_find(None, Some(bug)))));
    bugs.push(planted(DevicePlant::RetryFailedSync, || faults_find(Some(DevicePlant::RetryFailedSync), None)));
    bugs.push(planted(Plant::PublishUnsynced, || readers_find(Plant::PublishUnsynced)));
    bugs.push(planted(Plant::PublishOutOfTurn, || overtaken(false, Some(Plant::PublishOutOfTurn))));
    bugs.push(planted(Plant::CutDurableBatch, || misreads_find(Plant::CutDurableBatch)));
    all_are_found(bugs, 18);
}
