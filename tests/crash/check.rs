//! What may be there after a crash, by the journal.

use super::model::{Kind, State, Table};
use super::workload::{Journal, Setting, abandon};
use folio::storage::OpenReport;
use folio::testing::SimFiles;
use folio::{Database, Error, Opening, SnapshotTable};

/// The last version, at least and at most.
pub(crate) type Bounds = (u64, u64);

impl Journal {
    /// For a crash after the first `operations` of the device.
    pub(crate) fn bounds(&self, operations: usize) -> Bounds {
        let durable = self.durable.iter().take_while(|(at, _)| *at <= operations);
        let durable = durable.map(|(_, version)| *version).max().unwrap_or(0);
        let begun = self.versions.partition_point(|version| version.began <= operations) as u64 - 1;
        (durable, begun.max(durable))
    }

    /// For the end of the process alone: all that was accepted.
    pub(crate) fn all(&self) -> Bounds {
        match self.poisoned {
            true => self.bounds(usize::MAX),
            false => (self.last(), self.last()),
        }
    }

    /// Opens what a crash left and compares it with the journal; `goes_on` then also checks, writes, opens again.
    pub(crate) fn check(
        &self,
        files: &SimFiles,
        setting: Setting,
        bounds: Bounds,
        goes_on: bool,
    ) -> Result<Opening, String> {
        let db = setting.open(files).map_err(message)?;
        let opening = db.opening().cloned().ok_or("no word of the opening")?;
        let version = opening.version;
        if version < bounds.0 || version > bounds.1 {
            return Err(format!("version {version}, not in {bounds:?}"));
        }
        compare(&db, version, self.state(version))?;
        if db.durable_version() != version {
            return Err("opened, and not all durable".into());
        }
        if goes_on {
            self.go_on(files, setting, db)?;
        } else {
            abandon(files, db);
        }
        Ok(opening)
    }

    fn go_on(&self, files: &SimFiles, setting: Setting, db: Database) -> Result<(), String> {
        let version = db.snapshot().version();
        check_whole(&db)?;
        let mut state = self.state(version).clone();
        let mut made = version;
        for table in self.state(version).values() {
            let edit = super::model::Edit::Insert(table.kind, None, newcomer(table.kind));
            db.transaction(|tx| super::model::apply(&edit, tx, &mut state)).map_err(message)?;
            made += 1;
        }
        if state.is_empty() {
            db.transaction(|tx| super::model::apply(&super::model::Edit::Create(Kind::Bare), tx, &mut state))
                .map_err(message)?;
            made += 1;
        }
        compare(&db, made, &state)?;
        if version.is_multiple_of(2) {
            db.checkpoint().map_err(message)?;
        }
        check_whole(&db)?;
        let next = files.next_process();
        abandon(files, db);
        let db = setting.open(&next).map_err(message)?;
        compare(&db, made, &state)?;
        check_whole(&db)?;
        if db.opening().is_none_or(|opening| opening.log != OpenReport::Clean) {
            return Err(format!("after going on: {:?}", db.opening()));
        }
        abandon(&next, db);
        Ok(())
    }
}

fn message(error: Error) -> String {
    error.to_string()
}

/// A row that no table of the workload has.
fn newcomer(kind: Kind) -> super::model::Record {
    super::model::Record { id: 7, name: format!("newcomer {kind:?}"), score: 7, note: None }
}

fn check_whole(db: &Database) -> Result<(), String> {
    match db.verify().map_err(message)?.first() {
        None => Ok(()),
        Some(damage) => Err(damage.to_string()),
    }
}

/// Compares everything that readers see with a version of the model.
pub(crate) fn compare(db: &Database, version: u64, state: &State) -> Result<(), String> {
    let snapshot = db.snapshot();
    if snapshot.version() != version {
        return Err(format!("version {}, not {version}", snapshot.version()));
    }
    if snapshot.table_names() != state.keys().map(|name| name.to_string()).collect::<Vec<_>>() {
        return Err(format!("version {version} has the tables {:?}", snapshot.table_names()));
    }
    for (name, model) in state {
        snapshot
            .table(name)
            .map_err(message)
            .and_then(|table| compare_table(&table, model))
            .map_err(|error| format!("version {version}, table `{name}`: {error}"))?;
    }
    Ok(())
}

fn compare_table(table: &SnapshotTable, model: &Table) -> Result<(), String> {
    let schema = serde_json::to_string(table.schema().map_err(message)?).map_err(|error| error.to_string())?;
    if *schema != *model.stored {
        return Err(format!("the schema {schema}, not {}", model.stored));
    }
    let (id, name) = (table.column::<u64>("id").map_err(message)?, table.column::<str>("name").map_err(message)?);
    let score = table.column::<i64>("score").map_err(message)?;
    let note = table.column::<Option<String>>("note").map_err(message)?;
    let (mut count, mut wrong) = (0, None);
    let read = table.select().for_each(|row| {
        count += 1;
        let found = (row.get(id), row.get(name), row.get(score), row.get(note));
        let is_same = model
            .rows
            .get(&row.id())
            .is_some_and(|expected| (expected.id, &*expected.name, expected.score, expected.note.as_deref()) == found);
        if !is_same {
            wrong.get_or_insert_with(|| format!("row {}: {found:?}, not {:?}", row.id(), model.rows.get(&row.id())));
        }
    });
    read.map_err(message)?;
    match wrong {
        Some(wrong) => return Err(wrong),
        None if count != model.rows.len() => return Err(format!("{count} rows, not {}", model.rows.len())),
        None => {}
    }
    look_up(table, model)
}

/// Looks rows up by each index: every row by its key, and some value in each other index with all its rows.
fn look_up(table: &SnapshotTable, model: &Table) -> Result<(), String> {
    let (name, score) = (table.column::<str>("name").map_err(message)?, table.column::<i64>("score").map_err(message)?);
    let note = table.column::<Option<String>>("note").map_err(message)?;
    for (row_id, row) in &model.rows {
        let found = table.get(model.key(*row_id)).map_err(message)?;
        if found.is_none_or(|found| found.id() != *row_id || found.get(name) != row.name) {
            return Err(format!("row {row_id} is not found by its key"));
        }
    }
    let Some((row_id, row)) = model.rows.iter().nth(model.next as usize % model.rows.len().max(1)) else {
        return Ok(());
    };
    if table.schema().map_err(message)?.column("name").is_some_and(|column| column.is_unique()) {
        let found = table.find("name", &*row.name).map_err(message)?;
        if found.is_none_or(|found| found.id() != *row_id) {
            return Err(format!("row {row_id} is not found by its unique name"));
        }
    }
    let by_score = table.select().filter(score.eq(row.score)).ids().map_err(message)?;
    let by_name = table.select().filter(name.eq(&*row.name) & score.eq(row.score)).ids().map_err(message)?;
    let by_note = match &row.note {
        Some(text) => table.select().filter(note.eq(&**text)).ids().map_err(message)?,
        None => table.select().filter(note.is_null()).ids().map_err(message)?,
    };
    let expected = |is_wanted: &dyn Fn(&super::model::Record) -> bool| {
        let wanted = model.rows.iter().filter(|(_, row)| is_wanted(row));
        wanted.map(|(id, _)| *id).collect::<Vec<u64>>()
    };
    for (what, mut found, wanted) in [
        ("score", by_score, expected(&|other| other.score == row.score)),
        ("name and score", by_name, expected(&|other| other.score == row.score && other.name == row.name)),
        ("note", by_note, expected(&|other| other.note == row.note)),
    ] {
        found.sort_unstable();
        if found != wanted {
            return Err(format!("rows {found:?} by {what}, not {wanted:?}"));
        }
    }
    Ok(())
}
