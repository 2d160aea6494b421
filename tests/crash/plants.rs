//! The harness is tested too: each of these bugs must make it fail.

use super::faults::fail_everywhere;
use super::images::{Extent, crash_everywhere};
use super::misreads::misreads_find;
use super::order::{overtaken, seen_too_early};
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
    std::panic::set_hook(Box::new(|_| {}));
    assert_eq!(crashes_find(None, None), None, "without a bug nothing is found");
    let mut missed = Vec::new();
    let mut count = 0;
    let mut note = |name: String, found: Option<String>| {
        println!("{name}: {}", found.as_deref().unwrap_or("MISSED"));
        count += 1;
        if found.is_none() {
            missed.push(name);
        }
    };
    for device in [DevicePlant::SkipLogSync, DevicePlant::SkipFolderSync, DevicePlant::RenameBeforeSync] {
        note(format!("{device:?}"), crashes_find(Some(device), None));
    }
    note("RetryFailedSync".into(), faults_find(Some(DevicePlant::RetryFailedSync), None));
    for bug in [
        Plant::BlessTornBatch,
        Plant::WrapLength,
        Plant::ManifestBeforeObjects,
        Plant::RotateUnsynced,
        Plant::ReleaseBeforeManifest,
        Plant::SaveTooLate,
        Plant::SaveUnwritten,
        Plant::SkipLastBatch,
    ] {
        note(format!("{bug:?}"), crashes_find(None, Some(bug)));
    }
    for bug in [Plant::TrustPageCache, Plant::AppendBehindGarbage, Plant::PublishRefused] {
        note(format!("{bug:?}"), faults_find(None, Some(bug)));
    }
    note("PublishUnsynced".into(), readers_find(Plant::PublishUnsynced));
    note("PublishOutOfTurn".into(), overtaken(false, Some(Plant::PublishOutOfTurn)));
    note("CutDurableBatch".into(), misreads_find(Plant::CutDurableBatch));
    let _ = std::panic::take_hook();
    println!("planted bugs: {count}");
    assert!(missed.is_empty() && count >= 18, "missed: {missed:?}");
}
