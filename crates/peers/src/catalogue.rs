//! Every workload: its id on the command line and in files, how it is shown, and the target that it has.

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Time for one operation.
    Nanoseconds,
    /// One figure over another; more is better.
    Speedup,
    /// One figure over another; less is better.
    Slowdown,
    PerSecond,
    Percent,
    Bytes,
    BytesPerRow,
}

impl Unit {
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Unit::Speedup | Unit::PerSecond | Unit::Percent)
    }

    /// The figure with a unit that suits its size.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Nanoseconds => scaled(value, 1e3, &["ns", "µs", "ms", "s"]),
            Unit::PerSecond => scaled(value, 1e3, &["/s", "k/s", "M/s", "G/s"]),
            Unit::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB"]),
            Unit::BytesPerRow => format!("{value:.1} B"),
            Unit::Speedup | Unit::Slowdown => format!("{value:.2}x"),
            Unit::Percent => format!("{value:.0} %"),
        }
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut scaled = value;
    let mut position = 0;
    while scaled.abs() >= step && position + 1 < units.len() {
        scaled /= step;
        position += 1;
    }
    let decimals = if scaled.abs() >= 100.0 { 0 } else { 1 };
    format!("{scaled:.decimals$} {}", units[position])
}

/// Workloads shown together, in a table and a plot of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    PointReads,
    Writes,
    Queries,
    Versions,
    Concurrency,
    Memory,
    OnDisk,
}

impl Group {
    pub(crate) const ALL: [Group; 7] = [
        Group::PointReads,
        Group::Writes,
        Group::Queries,
        Group::Versions,
        Group::Concurrency,
        Group::Memory,
        Group::OnDisk,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Group::PointReads => "Point reads",
            Group::Writes => "Writes",
            Group::Queries => "Queries",
            Group::Versions => "Snapshots and forks",
            Group::Concurrency => "Readers beside a full-speed writer",
            Group::Memory => "Memory",
            Group::OnDisk => "On disk",
        }
    }

    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Group::PointReads => "point_reads",
            Group::Writes => "writes",
            Group::Queries => "queries",
            Group::Versions => "versions",
            Group::Concurrency => "concurrency",
            Group::Memory => "memory",
            Group::OnDisk => "on_disk",
        }
    }
}

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Workload {
    pub id: &'static str,
    pub title: &'static str,
    pub group: Group,
    pub unit: Unit,
    /// Numbers of rows, each with the figure that Folio has to reach there.
    pub targets: &'static [(usize, f64)],
}

impl Workload {
    pub(crate) fn target(&self, rows: usize) -> Option<f64> {
        self.targets.iter().find(|(at, _)| *at == rows).map(|(_, target)| *target)
    }

    /// Whether `value` is at least as good as `target`.
    pub(crate) fn meets(&self, value: f64, target: f64) -> bool {
        if self.unit.more_is_better() { value >= target } else { value <= target }
    }
}

const MILLION: usize = 1_000_000;

macro_rules! workloads {
    ($($group:ident { $($id:tt $title:literal $unit:ident $(=> $target:literal)?;)* })*) => {
        /// Every workload, in the order of the report.
        pub(crate) const WORKLOADS: &[Workload] = &[$($(
            Workload {
                id: $id,
                title: $title,
                group: Group::$group,
                unit: Unit::$unit,
                targets: workloads!(@targets $id $($target)?),
            },
        )*)*];
    };
    (@targets "get_by_id" $target:literal) => { &[(MILLION, $target), (10_000, 12.0)] };
    (@targets $id:tt $target:literal) => { &[(MILLION, $target)] };
    (@targets $id:tt) => { &[] };
}

workloads! {
    PointReads {
        "get_by_id" "get by auto-increment key" Nanoseconds => 60.0;
        "get_by_hash_key" "get by hash key (integer)" Nanoseconds => 95.0;
        "get_by_email" "get by unique string" Nanoseconds => 190.0;
        "get_many" "get_many(16), per key" Nanoseconds => 40.0;
        "two_readers" "two reader threads, throughput over one" Speedup => 1.9;
        "mixed" "YCSB-B: 95 % reads, 5 % updates, zipfian" Nanoseconds => 100.0;
    }
    Writes {
        "insert_key_only" "insert, auto-increment key only, one commit each" Nanoseconds => 300.0;
        "insert_indexed" "insert with unique, hash and ordered index, one commit each" Nanoseconds => 1_300.0;
        "bulk_key_only" "bulk insert, key only, per row" Nanoseconds => 150.0;
        "bulk_indexed" "bulk insert with those three, per row" Nanoseconds => 700.0;
        "update_each" "update an unindexed column, one commit each" Nanoseconds => 550.0;
        "update_grouped" "the same, 64 a commit, per row" Nanoseconds => 250.0;
        "update_score" "update that moves an ordered index entry" Nanoseconds => 1_500.0;
        "delete_indexed" "delete with three indexes, one commit each" Nanoseconds => 1_800.0;
    }
    Queries {
        "fetch_country" "fetch and sum one country's rows (1/200) by index" Nanoseconds => 100_000.0;
        "fetch_range" "100 rows by an ordered range" Nanoseconds => 3_000.0;
        "scan" "sum over all rows" Nanoseconds;
        "filter_predicate" "filter all rows by two columns, predicate" Nanoseconds => 1_500_000.0;
        "filter_closure" "filter all rows by two columns, closure" Nanoseconds => 4_500_000.0;
        "average_by_country" "average of score by country" Nanoseconds => 2_500_000.0;
        "top_by_score" "top 10 by score without an index" Nanoseconds => 2_000_000.0;
    }
    Versions {
        "snapshot" "snapshot taken and dropped" Nanoseconds => 100.0;
        "fork" "fork made and dropped" Nanoseconds => 10_000.0;
        "held_update_without" "updates, one commit each, no snapshot held" Nanoseconds;
        "held_update" "the same while one old snapshot is held" Nanoseconds;
        "held_bytes" "memory that the old snapshot then holds" Bytes;
        "held_read" "read at the old snapshot of rows updated since" Nanoseconds;
        "held_drop" "drop of the old snapshot" Nanoseconds;
        "diff" "diff after 1,000 updates" Nanoseconds;
    }
    Concurrency {
        "reader_alone_p50" "read alone, p50" Nanoseconds;
        "reader_alone_p999" "read alone, p99.9" Nanoseconds;
        "reader_beside_p50" "read beside the writer, p50" Nanoseconds;
        "reader_beside_p99" "read beside the writer, p99" Nanoseconds;
        "reader_beside_p999" "read beside the writer, p99.9" Nanoseconds => 2_000.0;
        "reader_slowdown" "mean read beside the writer over alone" Slowdown => 1.3;
        "writer_alone" "writer alone, commits" PerSecond;
        "writer_beside" "writer beside the reader, commits" PerSecond => 1_000_000.0;
        "scan_alone" "full scan alone" Nanoseconds;
        "scan_beside" "full scan beside the writer" Nanoseconds => 3_000_000.0;
        "writer_kept" "writer beside the scan, of its speed alone" Percent => 80.0;
    }
    Memory {
        "memory_key_only" "per row, key only" BytesPerRow => 64.0;
        "memory_email" "per row, with unique email" BytesPerRow => 75.0;
        "memory_indexed" "per row, with all three indexes" BytesPerRow => 105.0;
        "resident_key_only" "resident memory per row, key only" BytesPerRow;
        "resident_email" "resident memory per row, with unique email" BytesPerRow;
        "resident_indexed" "resident memory per row, with all three indexes" BytesPerRow;
    }
    OnDisk {
        "synced_insert" "commit of one row, on stable storage, one thread" Nanoseconds;
        "synced_insert_8" "the same, eight threads, per commit" Nanoseconds;
        "unsynced_insert" "commit of one row, not synced, one thread" Nanoseconds => 1_000.0;
        "unsynced_batches" "rows in commits of 1,000, not synced" PerSecond => 1_000_000.0;
        "reopen" "opening up to the first row read" Nanoseconds;
        "reopen_scan" "opening and reading every row once" Nanoseconds;
        "disk_bytes" "files, per row with all three indexes" BytesPerRow;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        for workload in WORKLOADS {
            assert_eq!(WORKLOADS.iter().filter(|other| other.id == workload.id).count(), 1, "{}", workload.id);
        }
    }

    #[test]
    fn one_target_depends_on_the_number_of_rows() {
        let find = |id| WORKLOADS.iter().find(|workload| workload.id == id);
        let target = |id, rows| find(id).and_then(|workload| workload.target(rows));
        assert_eq!((target("get_by_id", MILLION), target("get_by_id", 10_000)), (Some(60.0), Some(12.0)));
        assert_eq!((target("fork", MILLION), target("fork", 10_000)), (Some(10_000.0), None));
    }

    #[test]
    fn figures_get_fitting_units() {
        assert_eq!(Unit::Nanoseconds.show(61.24), "61.2 ns");
        assert_eq!(Unit::Nanoseconds.show(1_234_567.0), "1.2 ms");
        assert_eq!(Unit::PerSecond.show(2_500_000.0), "2.5 M/s");
        assert_eq!(Unit::Bytes.show(3.0 * 1024.0 * 1024.0), "3.0 MiB");
    }
}
