//! The results as a page of tables, one per group.

use super::{Report, times_better};
use crate::catalogue::{Group, Unit, Workload};
use crate::measure::Outcome;
use crate::peer::{Peer, Refusal};
use std::fmt::Write;

/// The map that targets name beside the databases.
const HAND_WRITTEN: &str = "hashmap";

const ON_DISK: &str = "
SQLite, redb, LMDB and fjall read what they are asked for when they are asked; Folio and surrealmx are ready to answer from
memory when they are open, which is why opening is shown twice. Of SpacetimeDB the table alone is published, not what makes
it durable.";

pub(super) fn render(report: &Report<'_>) -> String {
    let mut page = String::new();
    head(report, &mut page);
    let mut notes = Vec::new();
    for group in Group::ALL {
        group_table(report, group, &mut page, &mut notes);
    }
    growth_table(report, &mut page);
    if !notes.is_empty() {
        page.push_str("\n## Notes\n\n");
        for (number, note) in notes.iter().enumerate() {
            line(&mut page, &format!("{}. {note}", number + 1));
        }
    }
    page
}

/// Adds a line. Writing to a string cannot fail, so there is no error to pass on.
fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn head(report: &Report<'_>, page: &mut String) {
    let settings = report.settings;
    let machine = &report.machine;
    let place = if settings.durable { " on disk" } else { "" };
    line(page, &format!("# Folio beside its peers{place}, {} rows\n", settings.rows));
    line(
        page,
        &format!(
            "{}, {} cores, {} of memory, {}{}. `{}`; seed {}, median of {} rounds, peers taking turns within each round.",
            machine.processor,
            machine.cores,
            machine.memory,
            machine.system,
            machine.files.as_ref().map_or_else(String::new, |files| format!(", {files}")),
            report.command,
            settings.seed,
            settings.rounds
        ),
    );
    if settings.quick {
        line(page, "\n**A quick run: it shows that everything works, its figures mean little.**");
    }
    if !report.results.disagreements.is_empty() {
        line(page, "\n**Peers disagree about these results; figures beside them are worth nothing:**\n");
        for text in &report.results.disagreements {
            line(page, &format!("- {text}"));
        }
    }
    line(page, "\nA dash: the store has no such operation. Ratios above 1 mean that Folio is better.\n");
    for peer in report.peers {
        line(page, &format!("- **{}**: {}", peer.name(), report.setup(peer.as_ref())));
    }
    if settings.durable {
        line(page, ON_DISK);
    }
}

fn group_table(report: &Report<'_>, group: Group, page: &mut String, notes: &mut Vec<String>) {
    let workloads: Vec<&Workload> = report.measured(group).collect();
    if workloads.is_empty() {
        return;
    }
    line(page, &format!("\n## {}\n", group.title()));
    let subject = report.subject();
    let mut columns = vec!["workload".to_owned()];
    columns.extend(report.peers.iter().map(|peer| peer.name().to_owned()));
    columns.push("best database peer".into());
    if subject.is_some() {
        columns.push("Folio against it".into());
        if !report.settings.durable {
            columns.push(format!("Folio against {HAND_WRITTEN}"));
        }
    }
    columns.push("Folio must reach".into());
    line(page, &format!("| {} |", columns.join(" | ")));
    line(page, &format!("|---|{}", "---:|".repeat(columns.len() - 1)));
    for workload in workloads {
        let mut cells = vec![format!("{} (`{}`)", workload.title, workload.id)];
        cells.extend(report.peers.iter().map(|peer| cell(report, workload, peer.as_ref(), notes)));
        cells.extend(comparison(report, workload, subject));
        line(page, &format!("| {} |", cells.join(" | ")));
    }
    line(page, &format!("\n![{}]({}_{}.svg)", group.title(), report.name(), group.file_name()));
}

fn cell(report: &Report<'_>, workload: &Workload, peer: &dyn Peer, notes: &mut Vec<String>) -> String {
    match report.results.get(workload.id, peer.name()) {
        Some(Outcome::Measured { median, .. }) => workload.unit.show(*median),
        Some(Outcome::Refused(Refusal::Failed(why))) => {
            let note = format!("{}: {why}", peer.name());
            let number = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
                notes.push(note);
                notes.len() - 1
            });
            format!("failed ({})", number + 1)
        }
        Some(Outcome::Refused(Refusal::Unsupported)) | None => "–".into(),
    }
}

/// The columns behind the peers' own.
fn comparison(report: &Report<'_>, workload: &Workload, subject: Option<&dyn Peer>) -> Vec<String> {
    let dash = || "–".to_owned();
    let best = report.best_database(workload);
    let figure = subject.and_then(|peer| report.figure(workload, peer.name()));
    let against = |other: Option<f64>| match (figure, other) {
        (Some(figure), Some(other)) => format!("{:.2}x", times_better(workload, figure, other)),
        _ => "–".to_owned(),
    };
    let mut cells = vec![best.map_or_else(dash, |(name, figure)| format!("{} {name}", workload.unit.show(figure)))];
    if subject.is_some() {
        cells.push(against(best.map(|(_, figure)| figure)));
        if !report.settings.durable {
            cells.push(against(report.figure(workload, HAND_WRITTEN)));
        }
    }
    cells.push(workload.target(report.settings.rows).map_or_else(dash, |target| {
        let verdict = match figure {
            Some(figure) if workload.meets(figure, target) => " ✓",
            Some(_) => " missed",
            None => "",
        };
        format!("{}{verdict}", workload.unit.show(target))
    }));
    cells
}

fn growth_table(report: &Report<'_>, page: &mut String) {
    if report.results.growth.is_empty() {
        return;
    }
    line(page, "\n## Growth\n");
    line(page, "| peer | rows | bulk load, per row | read by key | commit of a one-column update |");
    line(page, "|---|---:|---:|---:|---:|");
    for point in &report.results.growth {
        let mut row = format!("| {} | {} |", point.peer, point.rows);
        for nanos in [point.bulk, point.read, point.commit] {
            // Writing to a string cannot fail.
            let _ = write!(row, " {} |", Unit::Nanoseconds.show(nanos));
        }
        line(page, &row);
    }
}
