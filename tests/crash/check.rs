//! What may be there after a crash, by the journal.

use super::model::{Kind, State, Table};
use super::workload::{Journal, Setting, abandon};
use folio::storage::OpenReport;
use folio::testing::{SimFiles, write_log};
use folio::{Database, Error, IndexDef, Schema, SnapshotTable};

/// The last version, at least and at most.
pub(crate) type Bounds = (u64, u64);

/// What an opening found: by the bytes of an image alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) version: u64,
    pub(crate) log: OpenReport,
}

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
            false => (self.handed, self.last()),
        }
    }

    /// Whether what was found may be there.
    pub(crate) fn judge(&self, found: Found, bounds: Bounds) -> Result<(), String> {
        match (bounds.0..=bounds.1).contains(&found.version) {
            true => Ok(()),
            false => Err(format!("version {}, not in {bounds:?}", found.version)),
        }
    }

    /// Opens what a crash left and compares it with the journal.
    pub(crate) fn check(
        &self,
        files: &SimFiles,
        setting: Setting,
        bounds: Bounds,
        depth: Depth,
    ) -> Result<Found, String> {
        let db = setting.open(files).map_err(message)?;
        let opening = db.opening().ok_or("no word of the opening")?;
        let found = Found { version: opening.version, log: opening.log };
        self.judge(found, bounds)?;
        let version = found.version;
        compare_to(&db, version, self.state(version), depth)?;
        if db.durable_version() != version {
            return Err("opened, and not all durable".into());
        }
        if depth == Depth::GoesOn {
            self.go_on(files, setting, db)?;
        } else {
            abandon(files, db);
        }
        Ok(found)
    }

    pub(crate) fn go_on(&self, files: &SimFiles, setting: Setting, db: Database) -> Result<(), String> {
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
        write_log(&db).map_err(message)?;
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

/// How much of what readers see is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// Every row of every table, and which indexes there are.
    Rows,
    /// That, the schemas, and every row by its key and some by each other index.
    Indexes,
    /// That; then it is verified, written to, and opened again.
    GoesOn,
}

/// Compares everything that readers see with a version of the model.
pub(crate) fn compare(db: &Database, version: u64, state: &State) -> Result<(), String> {
    compare_to(db, version, state, Depth::Indexes)
}

fn compare_to(db: &Database, version: u64, state: &State, depth: Depth) -> Result<(), String> {
    let snapshot = db.snapshot();
    if snapshot.version() != version {
        return Err(format!("version {}, not {version}", snapshot.version()));
    }
    if !snapshot.table_names().iter().map(String::as_str).eq(state.keys().copied()) {
        return Err(format!("version {version} has the tables {:?}", snapshot.table_names()));
    }
    for (name, model) in state {
        snapshot
            .table(name)
            .map_err(message)
            .and_then(|table| compare_table(&table, model, depth))
            .map_err(|error| format!("version {version}, table `{name}`: {error}"))?;
    }
    Ok(())
}

fn compare_table(table: &SnapshotTable, model: &Table, depth: Depth) -> Result<(), String> {
    let schema = table.schema().map_err(message)?;
    let names = |schema: &Schema| schema.indexes().iter().map(|index| index.name().to_owned()).collect::<Vec<_>>();
    if !schema.indexes().iter().map(IndexDef::name).eq(model.schema.indexes().iter().map(IndexDef::name)) {
        return Err(format!("the indexes {:?}, not {:?}", names(schema), names(&model.schema)));
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
        None if depth == Depth::Rows => return Ok(()),
        None => {}
    }
    let schema = serde_json::to_string(schema).map_err(|error| error.to_string())?;
    if *schema != *model.stored {
        return Err(format!("the schema {schema}, not {}", model.stored));
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
