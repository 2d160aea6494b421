//! The results as JSON, with every sample.

use super::Report;
use crate::catalogue::WORKLOADS;
use crate::measure::Outcome;
use crate::peer::Refusal;
use serde_json::{Map, Value, json};

pub(super) fn render(report: &Report<'_>) -> String {
    let workloads: Vec<Value> = WORKLOADS
        .iter()
        .filter_map(|workload| {
            let mut peers = Map::new();
            for peer in report.peers {
                if let Some(outcome) = report.results.get(workload.id, peer.name()) {
                    peers.insert(peer.name().to_owned(), outcome_value(outcome));
                }
            }
            (!peers.is_empty()).then(|| {
                json!({
                    "id": workload.id,
                    "title": workload.title,
                    "group": workload.group.file_name(),
                    "unit": format!("{:?}", workload.unit),
                    "target": workload.target(report.settings.rows),
                    "peers": peers,
                })
            })
        })
        .collect();
    let growth: Vec<Value> = report
        .results
        .growth
        .iter()
        .map(|point| {
            json!({
                "peer": point.peer,
                "rows": point.rows,
                "bulk_ns": point.bulk,
                "read_ns": point.read,
                "commit_ns": point.commit,
            })
        })
        .collect();
    let peers: Vec<Value> =
        report.peers.iter().map(|peer| json!({ "name": peer.name(), "setup": report.setup(peer.as_ref()) })).collect();
    let document = json!({
        "command": report.command,
        "rows": report.settings.rows,
        "rounds": report.settings.rounds,
        "seed": report.settings.seed,
        "quick": report.settings.quick,
        "machine": {
            "processor": report.machine.processor,
            "cores": report.machine.cores,
            "memory": report.machine.memory,
            "system": report.machine.system,
            "files": report.machine.files,
        },
        "peers": peers,
        "workloads": workloads,
        "growth": growth,
        "disagreements": report.results.disagreements,
    });
    format!("{document:#}\n")
}

fn outcome_value(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Measured { median, samples } => json!({ "median": median, "samples": samples }),
        Outcome::Refused(Refusal::Unsupported) => Value::Null,
        Outcome::Refused(Refusal::Failed(why)) => json!({ "failed": why }),
    }
}
