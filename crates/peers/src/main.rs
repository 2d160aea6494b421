//! Folio's workloads, run against other embeddable stores in one process, so that ratios between them mean something.
//!
//! `workload` makes rows and keys, `peer` says what a store has to do, `peers` holds one file per store, `suite` runs
//! the workloads, `measure` holds the clock, `report` writes what came out. Figures of one run may be compared with
//! each other and with nothing else: they belong to one machine in one hour.

mod allocator;
mod catalogue;
mod measure;
mod peer;
mod peers;
mod report;
mod settings;
mod suite;
mod workload;

use crate::catalogue::WORKLOADS;
use crate::peer::Peer;
use crate::report::{Machine, Report};
use crate::settings::{Settings, USAGE};
use crate::suite::{Results, Suite};
use crate::workload::Generator;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let settings = match Settings::parse(arguments.iter().cloned()) {
        Ok(settings) => settings,
        Err(mistake) => {
            eprintln!("{mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut peers = if settings.durable { peers::on_disk() } else { peers::all() };
    if settings.list {
        list(&peers);
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = unknown_peer(&settings, &peers) {
        eprintln!("no peer is called {unknown}; --list shows them");
        return ExitCode::from(2);
    }
    peers.retain(|peer| settings.wants_peer(peer.name()));
    let generator = Generator::new(settings.seed);
    let rows = generator.rows(1, settings.rows);
    let suite = Suite { settings: &settings, peers: &peers, generator, rows };
    let results = if settings.durable { suite.run_on_disk() } else { suite.run() };
    finish(&settings, &peers, &results, &arguments)
}

fn finish(settings: &Settings, peers: &[Box<dyn Peer>], results: &Results, arguments: &[String]) -> ExitCode {
    let command = format!("folio-peers {}", arguments.join(" "));
    let report = Report { settings, peers, results, machine: Machine::this(settings), command };
    match report.write() {
        Ok(page) => println!("{}", page.display()),
        Err(error) => {
            eprintln!("the report could not be written to {}: {error}", settings.out.display());
            return ExitCode::FAILURE;
        }
    }
    for text in &results.disagreements {
        eprintln!("disagreement: {text}");
    }
    if results.disagreements.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn unknown_peer<'s>(settings: &'s Settings, peers: &[Box<dyn Peer>]) -> Option<&'s String> {
    let wanted = settings.peers.iter().chain(&settings.growth_peers);
    wanted.into_iter().find(|name| !peers.iter().any(|peer| peer.name() == name.as_str()))
}

fn list(peers: &[Box<dyn Peer>]) {
    for workload in WORKLOADS {
        println!("{:22} {}", workload.id, workload.title);
    }
    println!();
    for peer in peers {
        println!("{:12} {}", peer.name(), peer.setup());
    }
}
