//! Random schemas, rows and changes for tests, and what must be true of every table.

use super::change::TableMut;
use super::definition::{IndexKind, TableDef};
use super::image::check_page;
use super::index::ordered::KeyRef;
use super::key::{IndexKey, index_key};
use super::row_page::PageRef;
use super::view::TableView;
use crate::schema::{Column, ColumnDef, Index, Schema, holds_nan};
use crate::value::{RowBuf, Type};
use std::ops::{Bound, ControlFlow};

/// SplitMix64: small, and the same numbers for a seed on every machine.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

const TYPES: [&str; 22] = [
    "i8",
    "i16",
    "i32",
    "i64",
    "u8",
    "u16",
    "u32",
    "u64",
    "f32",
    "f64",
    "bool",
    "string",
    "string",
    "bytes",
    "uuid",
    "timestamp",
    "json",
    "3xf32",
    "5xbool",
    "2xi64",
    "2xuuid",
    "300xf32",
];

pub(crate) fn random_schema(random: &mut Random, name: &str) -> Schema {
    loop {
        let mut builder = Schema::builder(name);
        let mut names = Vec::new();
        let key_form = random.below(5);
        if key_form < 2 {
            let ty = ["u64", "i64", "u32", "u8", "i16"][random.below(5) as usize];
            let key = Column::new("id", ty.parse::<Type>().unwrap()).auto_increment();
            builder = builder.column(ColumnDef::from(key)).primary_key(["id"]);
        }
        for place in 0..1 + random.below(7) {
            let ty: Type = TYPES[random.below(22) as usize].parse().unwrap();
            let name = format!("c\"{place}");
            let mut column = Column::new(&name, ty);
            let is_key = place == 0 && key_form == 2 && ty != Type::Json;
            if !is_key && random.one_in(3) {
                column = column.nullable();
            }
            builder = builder.column(ColumnDef::from(column));
            if is_key {
                builder = builder.primary_key([&name]);
            }
            if ty != Type::Json {
                names.push(name);
            }
        }
        for place in 0..random.below(4) {
            if names.is_empty() {
                break;
            }
            let columns: Vec<&String> =
                (0..1 + random.below(2)).map(|_| &names[random.below(names.len() as u64) as usize]).collect();
            let index = if random.one_in(2) { Index::hash(columns) } else { Index::ordered(columns) };
            let index = index.named(format!("x{place}"));
            builder = builder.index(if random.one_in(3) { index.unique() } else { index });
        }
        if let Ok(schema) = builder.build() {
            return schema;
        }
    }
}

/// The packed bytes of a value, mostly of few.
fn random_value(random: &mut Random, ty: Type, may_be_nan: bool) -> Vec<u8> {
    let mut value = random_bytes(random, ty);
    if !may_be_nan && holds_nan(ty, &value) {
        value.fill(0);
    }
    value
}

fn random_bytes(random: &mut Random, ty: Type) -> Vec<u8> {
    let length = match random.below(40) {
        0 => [1022, 1023, 1024, 1025, 5000, 200_000][random.below(6) as usize],
        _ => random.below(12) as usize,
    };
    match ty {
        Type::String => {
            let text: String = (0..length).map(|_| ['a', 'ß', '\n', '"', '…'][random.below(5) as usize]).collect();
            text.into_bytes()
        }
        Type::Bytes => (0..length).map(|_| random.next() as u8).collect(),
        Type::Json => match random.below(5) {
            0 => b"[1,\n2]".to_vec(),
            1 => b"{\"$text\":5}".to_vec(),
            2 => serde_json::to_vec(&"x".repeat(length)).unwrap(),
            3 => b"{\"a\":[null,1.50e3]}".to_vec(),
            _ => b"true".to_vec(),
        },
        Type::Bool => vec![random.below(2) as u8],
        Type::Array(array) => (0..array.len()).flat_map(|_| random_bytes(random, array.element().into())).collect(),
        ty => {
            let width = ty.fixed_width().unwrap();
            let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1];
            let special = special[random.below(6) as usize];
            let bytes: Vec<u8> = match (ty, random.below(4)) {
                (Type::F32, 0) => (special as f32).to_le_bytes().to_vec(),
                (Type::F64, 0) => special.to_le_bytes().to_vec(),
                (_, 1) => (0..width).map(|_| random.next() as u8).collect(),
                _ => std::iter::once(random.below(30) as u8).chain(std::iter::repeat_n(0, width - 1)).collect(),
            };
            bytes
        }
    }
}

pub(crate) fn random_row(random: &mut Random, def: &TableDef, row: &mut RowBuf) {
    let shape = def.schema.shape();
    row.reset(shape);
    for (index, column) in shape.columns().iter().enumerate() {
        if def.row_id == Some(index) {
            if random.one_in(10) {
                let is_far = random.one_in(5) && column.ty.fixed_width() == Some(8);
                row.set_id(index, random.below(if is_far { 1 << 40 } else { 128 }));
            }
        } else if column.nullable && random.one_in(3) {
            row.set_null(shape, index);
        } else {
            let may_be_nan = !def.indexes.iter().any(|plan| plan.columns.contains(&index));
            row.set(shape, index, &random_value(random, column.ty, may_be_nan)).unwrap();
        }
    }
}

/// A few changes; those that the table refuses do nothing.
pub(crate) fn random_changes(random: &mut Random, table: &mut TableMut<'_, '_>, count: u64) {
    let mut row = RowBuf::new();
    for _ in 0..count {
        let ids = table.entry.next_id.min(300) + 2;
        let id = random.below(ids);
        match random.below(100) {
            0 => table.clear().unwrap(),
            1..50 => {
                random_row(random, table.def, &mut row);
                let _ = table.insert(&mut row);
            }
            50..60 => {
                let rows = 1 + random.below(table.append_room() as u64);
                let mut rows: Vec<RowBuf> = (0..rows)
                    .map(|_| {
                        random_row(random, table.def, &mut row);
                        if let Some(column) = table.def.row_id {
                            row.unset(table.def.schema.shape(), column);
                        }
                        row.clone()
                    })
                    .collect();
                let _ = table.append(&mut rows);
            }
            60..80 => {
                random_row(random, table.def, &mut row);
                if random.one_in(2) {
                    // Of the other columns the row keeps what it has.
                    let shape = table.def.schema.shape();
                    (0..shape.len()).filter(|_| random.one_in(2)).for_each(|column| row.unset(shape, column));
                }
                let _ = table.replace(id, &mut row);
            }
            _ => drop(table.remove(id)),
        }
    }
}

/// Rows, their counts and all indexes agree, and every page is as pages are.
pub(crate) fn check_table(view: TableView<'_>) {
    let mut rows = 0;
    let mut entries = vec![Vec::new(); view.def.indexes.len()];
    let _ = view.rows().scan(0, u64::MAX, |number, block| {
        // What is between the columns is not of the page.
        let page = PageRef::new(block);
        let mut bytes = block.bytes().to_vec();
        bytes[view.def.layout.padding(page.has_large(), page.rows())].fill(0);
        check_page(view.def, number, &bytes, block.links().len()).unwrap();
        for position in 0..page.rows() {
            let row = page.row(&view.def.layout, number, position);
            assert_eq!(view.row(row.id()).unwrap().id(), row.id());
            for (plan, entries) in view.def.indexes.iter().zip(&mut entries) {
                match index_key(view.def, plan, &row) {
                    IndexKey::Absent => {}
                    key => entries.push((key, row.id())),
                }
            }
            rows += 1;
        }
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((view.len(), view.rows().rank(u64::MAX)), (rows, rows));
    for (index, mut entries) in entries.into_iter().enumerate() {
        let plan = &view.def.indexes[index];
        if plan.unique {
            for (key, id) in &entries {
                assert!(view.conflict(index, key, &view.row(*id).unwrap(), Some(*id)).is_none());
            }
        }
        if plan.kind == IndexKind::Hash {
            let hashes = view.hash_index(index).unwrap();
            assert_eq!(hashes.len(), entries.len() as u64);
            for (key, id) in entries {
                let IndexKey::Hash(hash) = key else { panic!("a hash") };
                assert!(hashes.candidates(hash).any(|found| found == id));
            }
            continue;
        }
        entries.sort_unstable();
        let mut found = Vec::new();
        let _ = view.ordered_index(index).unwrap().scan(Bound::Unbounded, Bound::Unbounded, false, |key, id| {
            let key = match (key, plan.kind) {
                (KeyRef::U64(word), IndexKind::HashMany) => IndexKey::Hash(word),
                (KeyRef::U64(word), _) => IndexKey::Word(word),
                (KeyRef::Bytes(bytes), _) => IndexKey::Bytes(bytes.to_vec()),
            };
            found.push((key, id));
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(found, entries);
    }
}
