//! What a run leaves behind: a Markdown page, the same as JSON with every sample, and a plot per group of workloads.
//!
//! Files are named by the number of rows, so that runs of different sizes stand beside each other.

mod json;
mod markdown;
mod plot;

use crate::catalogue::{Group, WORKLOADS, Workload};
use crate::peer::{Kind, Peer};
use crate::settings::Settings;
use crate::suite::Results;
use std::fs;
use std::io;
use std::path::Path;

/// Everything that a report draws on.
pub(crate) struct Report<'a> {
    pub settings: &'a Settings,
    pub peers: &'a [Box<dyn Peer>],
    pub results: &'a Results,
    pub machine: Machine,
    pub command: String,
}

/// Where the figures were measured.
pub(crate) struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory: String,
    pub system: String,
    /// The file system that holds the files, where there are any.
    pub files: Option<String>,
}

impl Machine {
    /// What the system tells; "unknown" where it does not.
    pub(crate) fn this(settings: &Settings) -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = field("/proc/meminfo", "MemTotal").and_then(|text| {
            let kibibytes: f64 = text.split_whitespace().next()?.parse().ok()?;
            Some(format!("{:.0} GiB", kibibytes / f64::from(1 << 20)))
        });
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory.unwrap_or_else(unknown),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            files: settings.durable.then(|| file_system(&settings.directory)),
        }
    }
}

/// The kind and the device of the file system at `path`.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && path.starts_with(fields[1]));
    let longest = holding.max_by_key(|fields| fields[1].len());
    longest.map_or_else(|| "unknown file system".into(), |fields| format!("{} on {}", fields[2], fields[0]))
}

impl Report<'_> {
    /// Writes all files of the report and returns the path of the Markdown page.
    pub(crate) fn write(&self) -> io::Result<std::path::PathBuf> {
        fs::create_dir_all(&self.settings.out)?;
        let name = self.name();
        for group in Group::ALL {
            if self.measured(group).next().is_some() {
                let path = self.settings.out.join(format!("{name}_{}.svg", group.file_name()));
                fs::write(path, plot::group(self, group))?;
            }
        }
        fs::write(self.settings.out.join(format!("{name}.json")), json::render(self))?;
        let page = self.settings.out.join(format!("{name}.md"));
        fs::write(&page, markdown::render(self))?;
        Ok(page)
    }

    /// The stem of the report's files.
    fn name(&self) -> String {
        if self.settings.durable { "durable".into() } else { format!("rows_{}", self.settings.rows) }
    }

    /// The workloads of a group that at least one peer answered.
    fn measured(&self, group: Group) -> impl Iterator<Item = &'static Workload> {
        WORKLOADS.iter().filter(move |workload| {
            workload.group == group && self.peers.iter().any(|peer| self.figure(workload, peer.name()).is_some())
        })
    }

    /// How a peer was set up in this run.
    fn setup(&self, peer: &dyn Peer) -> &'static str {
        if self.settings.durable { peer.setup_on_disk() } else { peer.setup() }
    }

    fn figure(&self, workload: &Workload, peer: &str) -> Option<f64> {
        self.results.get(workload.id, peer)?.median()
    }

    fn subject(&self) -> Option<&dyn Peer> {
        self.peers.iter().map(Box::as_ref).find(|peer| peer.kind() == Kind::Subject)
    }

    /// The database with the best figure, Folio aside.
    fn best_database(&self, workload: &Workload) -> Option<(&'static str, f64)> {
        let databases = self.peers.iter().filter(|peer| peer.kind() == Kind::Database);
        let figures = databases.filter_map(|peer| Some((peer.name(), self.figure(workload, peer.name())?)));
        let more_is_better = workload.unit.more_is_better();
        figures.reduce(|best, other| {
            let other_is_better = if more_is_better { other.1 > best.1 } else { other.1 < best.1 };
            if other_is_better { other } else { best }
        })
    }
}

/// How many times better `figure` is than `other`.
fn times_better(workload: &Workload, figure: f64, other: f64) -> f64 {
    if workload.unit.more_is_better() { figure / other } else { other / figure }
}
