//! The harness is tested too: each of these bugs must make it fail.

use super::crash::crash_everywhere;
use super::damage::damage_everywhere;
use super::faults::fail_everywhere;
use super::planted::{Planted, all_are_found, planted};
use super::sealing::nothing_is_durable_before_its_segment_has_a_name;
use super::workload::{options, run};
use folio::storage::Format;
use folio::testing::{DevicePlant, Plant, SimFiles, plant};

/// Whether crashes at every operation of a few runs show the bug. Panics of the run itself show it too.
fn crashes_find(device: Option<DevicePlant>, bug: Option<Plant>) -> Option<String> {
    (1..3).find_map(|seed| {
        let files = SimFiles::new();
        files.set_plant(device);
        plant(bug);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let journal = run(&files, options(Format::Binary), seed, 120);
            crash_everywhere(&files, &journal, Format::Binary, 0, 50, 5)
                .wrong
                .map(|(point, error)| format!("{point:?}: {error}"))
        }));
        plant(None);
        found.unwrap_or_else(|_| Some("panicked".into()))
    })
}

fn faults_find(device: Option<DevicePlant>, bug: Option<Plant>) -> Option<String> {
    plant(bug);
    let outcome = fail_everywhere(Format::Binary, 5, 120, 1, device);
    plant(None);
    outcome.wrong.map(|(fault, error)| format!("{fault:?}: {error}"))
}

fn damage_finds(bug: Plant) -> Option<String> {
    let found = std::panic::catch_unwind(|| {
        plant(Some(bug));
        damage_everywhere(Format::Binary, true);
    });
    plant(None);
    found.err().map(|_| "damage that was cut".into())
}

#[test]
fn planted_bugs_are_found() {
    assert_eq!(crashes_find(None, None), None, "without a bug nothing is found");
    let by_crashes = [Plant::BlessTornBatch, Plant::WrapLength, Plant::ManifestBeforeObjects, Plant::RotateUnsynced];
    let by_crashes_of_devices = [DevicePlant::SkipLogSync, DevicePlant::SkipFolderSync, DevicePlant::RenameBeforeSync];
    let by_faults = [Plant::TrustPageCache, Plant::AppendBehindGarbage];
    let mut bugs: Vec<Planted> = Vec::new();
    bugs.extend(by_crashes_of_devices.map(|bug| planted(bug, move || crashes_find(Some(bug), None))));
    bugs.extend(by_crashes.map(|bug| planted(bug, move || crashes_find(None, Some(bug)))));
    bugs.extend(by_faults.map(|bug| planted(bug, move || faults_find(None, Some(bug)))));
    bugs.push(planted(DevicePlant::RetryFailedSync, || faults_find(Some(DevicePlant::RetryFailedSync), None)));
    bugs.push(planted(Plant::CutDurableBatch, || damage_finds(Plant::CutDurableBatch)));
    bugs.push(planted(Plant::TurnBeforeName, || {
        nothing_is_durable_before_its_segment_has_a_name(Some(Plant::TurnBeforeName)).err()
    }));
    all_are_found(bugs, 12);
}
