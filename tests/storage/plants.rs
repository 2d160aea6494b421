//! The harness is tested too: each of these bugs must make it fail.

use super::crash::crash_everywhere;
use super::damage::damage_everywhere;
use super::faults::fail_everywhere;
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
    for bug in [Plant::BlessTornBatch, Plant::WrapLength, Plant::ManifestBeforeObjects, Plant::RotateUnsynced] {
        note(format!("{bug:?}"), crashes_find(None, Some(bug)));
    }
    let found = std::panic::catch_unwind(|| {
        plant(Some(Plant::CutDurableBatch));
        damage_everywhere(Format::Binary, true);
    });
    plant(None);
    note("CutDurableBatch".into(), found.err().map(|_| "damage that was cut".into()));
    for bug in [Plant::TrustPageCache, Plant::AppendBehindGarbage] {
        note(format!("{bug:?}"), faults_find(None, Some(bug)));
    }
    let bug = Plant::TurnBeforeName;
    note(format!("{bug:?}"), nothing_is_durable_before_its_segment_has_a_name(Some(bug)).err());
    let _ = std::panic::take_hook();
    println!("planted bugs: {count}");
    assert!(missed.is_empty() && count >= 12, "missed: {missed:?}");
}
