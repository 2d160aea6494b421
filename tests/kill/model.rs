//! What the transaction that makes a version does, as a function of a seed and that version: to a database, and to a
//! model of it.

use crate::random::Random;
use folio::{Column, Index, Result, Schema, Snapshot, Transaction};
use serde_json::json;
use std::collections::BTreeMap;

/// Events that are kept.
const EVENTS: u64 = 150;
const ACCOUNTS: u64 = 60;

/// One change, possible in every state.
#[derive(Debug, Clone)]
enum Op {
    /// Adds an event, which is numbered, and deletes the one that is too old.
    Event,
    Account {
        name: String,
        cents: i64,
        photo: Option<Vec<u8>>,
    },
    DropAccount {
        name: String,
    },
    Scratch {
        number: u64,
    },
    ClearScratch,
    /// Drops the table and makes it anew.
    RemakeScratch,
    /// Makes an index where there is none, or drops it.
    ToggleIndex,
}

fn ops(seed: u64, version: u64) -> Vec<Op> {
    let mut random = Random(seed.wrapping_mul(0x1_0000_0001).wrapping_add(version));
    let mut ops = vec![Op::Event];
    for _ in 0..random.below(5) {
        let name = format!("account {}", random.below(ACCOUNTS));
        // Now and then one that is no part of its page.
        let photo = (random.below(4) == 0).then(|| vec![version as u8; random.below(2_500) as usize]);
        ops.push(match random.below(8) {
            0 => Op::DropAccount { name },
            1 | 2 => Op::Scratch { number: random.below(1_000) },
            _ => Op::Account { name, cents: random.below(1_000) as i64 - 500, photo },
        });
    }
    match random.below(64) {
        0 | 1 => ops.push(Op::ClearScratch),
        2 => ops.push(Op::RemakeScratch),
        3 | 4 => ops.push(Op::ToggleIndex),
        _ => {}
    }
    ops.push(Op::Scratch { number: version });
    ops
}

fn events() -> Result<Schema> {
    Schema::builder("events")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::u64("version").unique())
        .build()
}

fn accounts() -> Result<Schema> {
    Schema::builder("accounts")
        .column(Column::string("name").primary_key())
        .column(Column::i64("cents"))
        .column(Column::string("tag").unique())
        .column(Column::bytes("photo").nullable())
        .index(Index::ordered(["cents"]))
        .build()
}

fn scratch() -> Result<Schema> {
    Schema::builder("scratch").column(Column::u64("number")).build()
}

/// Does what makes the next version, which is answered.
pub(crate) fn step(tx: &Transaction<'_>, seed: u64) -> Result<u64> {
    let version = tx.base_version()? + 1;
    if version == 1 {
        tx.create_table(events()?)?;
        tx.create_table(accounts()?)?;
        tx.create_table(scratch()?)?;
        return Ok(1);
    }
    for op in ops(seed, version) {
        apply(tx, version, op)?;
    }
    Ok(version)
}

fn apply(tx: &Transaction<'_>, version: u64, op: Op) -> Result<()> {
    match op {
        Op::Event => {
            let events = tx.table("events")?;
            let id = events.insert(&json!({ "version": version }))?;
            events.delete(id.saturating_sub(EVENTS)).map(drop)
        }
        Op::Account { name, cents, photo } => {
            let tag = format!("{name} at {version}");
            tx.table("accounts")?.upsert(&json!({ "name": name, "cents": cents, "tag": tag, "photo": photo })).map(drop)
        }
        Op::DropAccount { name } => tx.table("accounts")?.delete(&name).map(drop),
        Op::Scratch { number } => tx.table("scratch")?.insert(&(number,)).map(drop),
        Op::ClearScratch => tx.table("scratch")?.clear(),
        Op::RemakeScratch => {
            tx.drop_table("scratch")?;
            tx.create_table(scratch()?).map(drop)
        }
        Op::ToggleIndex => {
            match tx.table("scratch")?.schema()?.indexes().first().map(|index| index.name().to_owned()) {
                Some(name) => tx.drop_index("scratch", &name),
                None => tx.create_index("scratch", Index::ordered(["number"])),
            }
        }
    }
}

/// What a database has at a version.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) version: u64,
    events: BTreeMap<u64, u64>,
    events_given: u64,
    accounts: BTreeMap<String, (i64, String, Option<Vec<u8>>)>,
    scratch: Vec<u64>,
    is_indexed: bool,
}

impl State {
    pub(crate) fn go_to(&mut self, version: u64, seed: u64) {
        while self.version < version {
            self.version += 1;
            if self.version > 1 {
                ops(seed, self.version).into_iter().for_each(|op| self.apply(op));
            }
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Event => {
                self.events_given += 1;
                self.events.insert(self.events_given, self.version);
                self.events.remove(&self.events_given.saturating_sub(EVENTS));
            }
            Op::Account { name, cents, photo } => {
                let tag = format!("{name} at {}", self.version);
                self.accounts.insert(name, (cents, tag, photo));
            }
            Op::DropAccount { name } => drop(self.accounts.remove(&name)),
            Op::Scratch { number } => self.scratch.push(number),
            Op::ClearScratch => self.scratch.clear(),
            Op::RemakeScratch => (self.scratch, self.is_indexed) = (Vec::new(), false),
            Op::ToggleIndex => self.is_indexed = !self.is_indexed,
        }
    }

    /// Compares everything, row by row and by the indexes.
    pub(crate) fn compare(&self, db: &Snapshot, place: &str) {
        assert_eq!(db.version(), self.version, "{place}");
        if self.version == 0 {
            return assert_eq!(db.table_names().len(), 0, "{place}");
        }
        let events = db.table("events").unwrap();
        let found: Vec<(u64, u64)> = events.select().fetch().unwrap();
        assert_eq!(found, self.events.clone().into_iter().collect::<Vec<_>>(), "{place}: events");
        let accounts = db.table("accounts").unwrap();
        let mut found: Vec<(String, i64, String, Option<Vec<u8>>)> = accounts.select().fetch().unwrap();
        found.sort();
        let expected = self.accounts.clone().into_iter().map(|(name, (cents, tag, photo))| (name, cents, tag, photo));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{place}: accounts");
        for (name, (_, tag, _)) in &self.accounts {
            let row = accounts.find("tag", tag).unwrap();
            let row = row.map(|row| row.decode::<serde_json::Value>().unwrap()["name"].clone());
            assert_eq!(row, Some(json!(name)), "{place}: {tag}");
        }
        let scratch = db.table("scratch").unwrap();
        let found: Vec<(u64,)> = scratch.select().fetch().unwrap();
        assert!(found.iter().map(|row| row.0).eq(self.scratch.iter().copied()), "{place}: scratch");
        assert_eq!(scratch.schema().unwrap().indexes().len(), usize::from(self.is_indexed), "{place}");
    }
}
