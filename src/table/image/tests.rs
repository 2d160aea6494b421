//! Tables against what is restored from their parts, and parts that are damaged.

use super::check::check_page;
use super::restore::Restore;
use super::*;
use crate::page::{BlockRef, Guard, Store};
use crate::schema::{Column, Index, Schema};
use crate::table::change::{ROWS_MAX, TableMut, new_index_block};
use crate::table::definition::TableDef;
use crate::table::diff::diff_rows;
use crate::table::layout::{INLINE_MAX, PAGE_SHIFT, Place};
use crate::table::row_page::PageRef;
use crate::table::samples::{Random, check_table, random_changes, random_schema};
use crate::table::sequence::Sequence;
use crate::table::version::{Entry, root_bytes};
use crate::value::{Columns, HashSeed, RowBuf, Type};
use std::sync::Arc;

/// A store whose root has one table.
struct Database {
    store: Arc<Store>,
    def: TableDef,
    sequence: Sequence,
}

impl Database {
    fn new(schema: Schema, seed: u64) -> Self {
        let store = Store::new(2, &[0; root_bytes(1)]).unwrap();
        let def = TableDef::new(schema, HashSeed::fixed(seed));
        let database = Self { store, def, sequence: Sequence::default() };
        let (id, next_id) = (database.def.id, database.def.first_id());
        database.change(|table| {
            *table.indexes = new_index_block(table.pages, table.def).unwrap();
            *table.entry = Entry { def: id, next_id, ..Entry::default() };
        });
        database
    }

    fn try_change<R, E>(&self, change: impl FnOnce(&mut TableMut<'_, '_>) -> Result<R, E>) -> Result<R, E> {
        let transaction = self.store.begin().unwrap();
        let answer = transaction.write(|writer| {
            let mut root = writer.pages.make_mut(&mut writer.root).unwrap();
            let (links, bytes) = root.parts();
            let mut entry = Entry::read(bytes, 0);
            let [rows, indexes] = links else { panic!("two links") };
            let (Self { def, sequence, .. }, pages) = (self, &mut writer.pages);
            let answer = change(&mut TableMut { def, sequence, pages, rows, indexes, entry: &mut entry });
            entry.write(bytes, 0);
            answer
        });
        let answer = answer.unwrap()?;
        transaction.commit();
        Ok(answer)
    }

    fn change<R>(&self, change: impl FnOnce(&mut TableMut<'_, '_>) -> R) -> R {
        let Ok(answer) = self.try_change(|table| Ok::<R, std::convert::Infallible>(change(table)));
        answer
    }

    fn part(&self, since: u64, format: Format) -> Vec<u8> {
        let guard = self.store.pin();
        let mut bytes = Vec::new();
        write_part(view(&guard, &self.def), since, format, &mut |chunk| {
            assert!(chunk.len() <= 64 << 10);
            bytes.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
        bytes
    }

    /// The table that these parts make.
    fn restored(schema: &Schema, parts: &[(Format, Vec<u8>)], random: &mut Random) -> Result<Self, PartError> {
        let database = Self::new(schema.clone(), random.next());
        database.try_change(|table| {
            let TableMut { def, sequence, pages, rows, indexes, entry } = table;
            let mut restore = Restore::new(TableMut { def, sequence, pages, rows, indexes, entry });
            for (format, bytes) in parts {
                let mut rest = &bytes[..];
                restore.apply(*format, &mut |room| {
                    let most = rest.len().min(room.len());
                    let count = if random.one_in(3) { most.min(1 + random.below(500) as usize) } else { most };
                    let (now, later) = rest.split_at(count);
                    room[..count].copy_from_slice(now);
                    rest = later;
                    Ok(count)
                })?;
            }
            restore.finish()
        })?;
        Ok(database)
    }

    fn assert_no_leak(&self) {
        self.store.reclaim_all();
        assert_eq!(self.store.memory_use().blocks, reachable(self.store.pin().root()));
    }
}

fn reachable(block: BlockRef<'_>) -> usize {
    1 + block.links().iter().flatten().map(|link| reachable(link.block())).sum::<usize>()
}

fn view<'g>(guard: &'g Guard<'_>, def: &'g TableDef) -> TableView<'g> {
    TableView::new(guard.root(), 0, def)
}

fn assert_same(a: &Database, b: &Database) {
    let (guard_a, guard_b) = (a.store.pin(), b.store.pin());
    let (view_a, view_b) = (view(&guard_a, &a.def), view(&guard_b, &b.def));
    let mut differing = Vec::new();
    diff_rows(view_a, view_b, &mut |old, new| {
        let describe = |row: Option<crate::table::row_page::RowRef<'_>>| {
            row.map(|row| {
                (
                    row.id(),
                    (0..a.def.layout.columns().len())
                        .map(|c| row.column_bytes(c).map(<[u8]>::to_vec))
                        .collect::<Vec<_>>(),
                )
            })
        };
        differing.push((describe(old), describe(new)));
    });
    assert_eq!(differing, []);
    assert_eq!((view_a.len(), view_a.next_id()), (view_b.len(), view_b.next_id()));
    check_table(view_b);
}

#[test]
fn parts_make_the_table_again() {
    for seed in 0..400 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let schema = random_schema(&mut random, "things");
        let database = Database::new(schema.clone(), seed);
        let (mut binary, mut lines, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        let mut since = 0;
        for _ in 0..1 + random.below(5) {
            let count = random.below(120);
            database.change(|table| random_changes(&mut random, table, count));
            binary.push((Format::Binary, database.part(since, Format::Binary)));
            lines.push((Format::JsonLines, database.part(since, Format::JsonLines)));
            mixed.push(if random.one_in(2) {
                binary[binary.len() - 1].clone()
            } else {
                lines[lines.len() - 1].clone()
            });
            since = database.store.pin().root().birth();
        }
        let whole = vec![(Format::Binary, database.part(0, Format::Binary))];
        for parts in [binary, lines, mixed, whole] {
            let restored = Database::restored(&schema, &parts, &mut random).unwrap();
            assert_same(&database, &restored);
            restored.assert_no_leak();
            // It is worked with as any table is: both take the same changes.
            let twin = Database::restored(&schema, &parts, &mut random).unwrap();
            let mut same = random.clone();
            restored.change(|table| random_changes(&mut random, table, 40));
            twin.change(|table| random_changes(&mut same, table, 40));
            assert_same(&restored, &twin);
        }
    }
}

/// All bytes of the blocks from this one on.
fn blocks(block: BlockRef<'_>) -> Vec<u8> {
    let mut all = block.bytes().to_vec();
    block.links().iter().flatten().for_each(|link| all.extend(blocks(link.block())));
    all
}

/// The blocks of the indexes that `def` has over the rows, or why it can have none.
fn indexes_made(database: &Database, def: &TableDef, threads: usize) -> Result<Vec<u8>, String> {
    let made = database.try_change(|table| {
        *table.indexes = new_index_block(table.pages, def)?;
        let TableMut { sequence, pages, rows, indexes, entry, .. } = table;
        let mut table = TableMut { def, sequence, pages, rows, indexes, entry };
        (0..def.indexes.len()).try_for_each(|index| table.build_index_on(index, threads))?;
        Ok::<_, Error>(table.indexes.as_ref().map_or_else(Vec::new, |link| blocks(link.block())))
    });
    made.map_err(|error| error.to_string())
}

#[test]
fn indexes_are_the_same_however_many_threads_make_them() {
    let (mut made, mut refused) = (0, 0);
    for seed in 0..200 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let database = Database::new(random_schema(&mut random, "things"), seed);
        database.change(|table| random_changes(&mut random, table, 300));
        let schema = database.def.schema.clone();
        let columns: Vec<String> = schema.columns().iter().map(|column| column.name().to_string()).collect();
        let unique = columns.iter().filter_map(|column| {
            let index = Index::hash([column]).named("again").unique();
            let index = if random.one_in(2) { index } else { Index::ordered([column]).named("again").unique() };
            schema.with_index(index).ok()
        });
        let others: Vec<TableDef> = unique.map(|schema| database.def.with_schema(schema)).collect();
        for def in others.iter().chain([&database.def]) {
            let expected = indexes_made(&database, def, 1);
            for threads in [2, 3, 8] {
                assert_eq!(indexes_made(&database, def, threads), expected, "{threads} threads");
            }
            match expected {
                Ok(_) => made += 1,
                Err(_) => refused += 1,
            }
        }
        check_table(view(&database.store.pin(), &database.def));
    }
    println!("{made} tables with indexes, {refused} that could have none");
    assert!(made >= 200 && refused >= 100);
}

#[test]
fn an_unchanged_table_has_an_empty_part() {
    let database = Database::new(random_schema(&mut Random(1), "things"), 1);
    database.change(|table| random_changes(&mut Random(1), table, 50));
    let since = database.store.pin().root().birth();
    let lines = String::from_utf8(database.part(since, Format::JsonLines)).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

#[test]
fn parts_one_behind_the_other_are_told_apart() {
    let database = small_table();
    for format in [Format::Binary, Format::JsonLines] {
        let parts = [0, database.store.pin().root().birth(), 0].map(|since| database.part(since, format));
        let lengths = parts.each_ref().map(|part| part.len() as u64);
        let all = parts.concat();
        for length in 0..=all.len() {
            let mut rest = &all[..length];
            let found = part_lengths(format, &mut |into| Ok(std::io::Read::read(&mut rest, into).unwrap())).unwrap();
            let whole = (0..=3).rev().find(|count| lengths[..*count].iter().sum::<u64>() <= length as u64).unwrap();
            assert_eq!(found, lengths[..whole]);
        }
    }
}

fn small_schema() -> Schema {
    Schema::builder("things")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .column(Column::bool("on").nullable())
        .column(Column::f32("size").nullable())
        .column(Column::json("more").nullable())
        .column(Column::bytes("raw"))
        .column(Column::new("wide", "300xf32".parse::<Type>().unwrap()).nullable())
        .column(Column::new("pair", "2xbool".parse::<Type>().unwrap()))
        .index(Index::ordered(["size"]))
        .index(Index::hash(["on", "name"]))
        .build()
        .unwrap()
}

/// A table of few bytes with all that pages have: gaps, nulls, large values.
fn small_table() -> Database {
    let database = Database::new(small_schema(), 5);
    database.change(|table| {
        let shape = table.def.schema.shape();
        for id in [3u64, 4, 70, 71] {
            let mut row = RowBuf::new();
            row.reset(shape);
            row.set_id(0, id);
            row.set(shape, 1, format!("é{id}").as_bytes()).unwrap();
            row.set(shape, 2, &[(id % 2) as u8]).unwrap();
            row.set_null(shape, 3);
            row.set_null(shape, 4);
            row.set(shape, 5, &vec![7; if id == 70 { 1100 } else { 2 }]).unwrap();
            row.set_null(shape, 6);
            row.set(shape, 7, &[1, 0]).unwrap();
            if id < 71 {
                row.set(shape, 3, &(id as f32 / 3.0).to_le_bytes()).unwrap();
                row.set(shape, 4, b"{\"a\":[1]}").unwrap();
            }
            if id == 71 {
                row.set(shape, 6, &[0; 1200]).unwrap();
            }
            table.insert(&mut row).unwrap();
        }
        table.remove(3).unwrap();
    });
    database
}

/// One byte after the other, each by what it is there for.
#[test]
fn every_rule_of_a_page_is_checked() {
    let database = small_table();
    let (def, guard) = (&database.def, database.store.pin());
    let layout = &def.layout;
    let page = |number| {
        let block = view(&guard, def).rows().get(number).unwrap();
        let (mut bytes, links) = (block.bytes().to_vec(), block.links().len());
        // In memory anything may stand there.
        bytes[layout.padding(links > 0, PageRef::new(block).rows())].fill(0);
        (bytes, links)
    };
    let ((plain, none), (large, two)) = (page(0), page(2));
    assert_eq!((none, two), (0, 2));
    let refused = |number, bytes: &[u8], links| {
        let fault = check_page(def, number, bytes, links).err().expect("refused");
        (fault.at, fault.expected)
    };
    let with = |bytes: &[u8], at: usize, flipped: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= flipped;
        bytes
    };
    let begins = |(at, expected): (usize, String), place: usize, text: &str| {
        assert!(at == place && expected.starts_with(text), "{at} {expected} for {place} {text}");
    };
    for number in [0, 7, u64::MAX >> PAGE_SHIFT] {
        assert_eq!(check_page(def, number, &plain, 0).unwrap().live, 1 << 4);
        let shape = check_page(def, number, &large, 2).unwrap();
        assert_eq!((shape.live, shape.large.len()), (0b11 << 6, 2));
    }
    begins(refused((u64::MAX >> PAGE_SHIFT) + 1, &plain, 0), 0, "a page with rows");
    begins(refused(0, &[&[0; 4], &plain[4..]].concat(), 0), 0, "a page with rows");
    begins(refused(0, &with(&plain, 4, 1), 0), 4, "the flags");
    begins(refused(2, &large, 0), 4, "the flags");
    begins(refused(2, &large, 3), 0, "2 large values");
    begins(refused(0, &plain[..layout.values_at(false, 1) - 1], 0), 0, "at least");
    begins(refused(0, &[&plain[..], b"x"].concat(), 0), plain.len(), "the end of the page");

    let mask_rule = "a mask of rows that may be in it";
    for at in (0..layout.masks().len()).map(|mask| layout.mask_at(mask)) {
        begins(refused(2, &with(&large, at, 1 << 2), 2), at, mask_rule);
    }
    // What is null is neither true, nor has it a value, nor a large one.
    let places = layout.columns();
    let (on, size) = (&places[2], &places[3]);
    let Place::Bool { mask } = on.place else { panic!("a bool is a mask") };
    begins(refused(2, &with(&large, layout.mask_at(on.nulls.unwrap()), 1 << 1), 2), layout.mask_at(mask), mask_rule);
    let Place::Fixed { before, width: 4 } = size.place else { panic!("a float of 4 bytes") };
    let size_at = layout.columns_at(true) + before * 2 + 4;
    for at in size_at..size_at + 4 {
        begins(refused(2, &with(&large, at, 1), 2), at, "zero");
    }
    for (index, at) in (0..layout.variable_columns().len()).map(|index| (index, layout.large_mask_at(index))) {
        begins(refused(2, &with(&large, at, 1 << 2), 2), at, mask_rule);
        // Of the wide arrays the first is null, and the second cannot be but large.
        if index == 3 {
            begins(refused(2, &with(&large, at, 1), 2), at, mask_rule);
            begins(refused(2, &with(&large, at, 1 << 1), 1), at, mask_rule);
        }
    }
    let heads = layout.mask_at(layout.masks().len())..layout.columns_at(false);
    let large_heads = layout.large_mask_at(layout.variable_columns().len())..layout.columns_at(true);
    let mut padding: Vec<usize> = heads.chain(large_heads).collect();
    padding.extend(layout.padding(true, 2));
    assert!(padding.len() > 2);
    for at in padding {
        begins(refused(2, &with(&large, at, 1), 2), at, "zero");
    }
    let Place::Fixed { before, width: 2 } = places[7].place else { panic!("two bytes") };
    let pair_at = layout.columns_at(true) + before * 2;
    begins(refused(2, &with(&large, pair_at + 3, 2), 2), pair_at, "bools of 0 or 1");

    // Ends rise, by nothing where there is no value, and values are of their types.
    let (ends_at, values_at) = (layout.ends_at(true, 2), layout.values_at(true, 2));
    let width = layout.offset_bytes();
    let end = |ordinal: usize| ends_at + width * ordinal;
    for ordinal in 0..8 {
        begins(refused(2, &with(&large, end(ordinal) + 1, 0xFF), 2), end(ordinal), "an end of");
    }
    let start_of = |ordinal: usize| large[end(ordinal) - width];
    for (ordinal, what) in [(3, "null"), (4, "large"), (6, "null"), (7, "large")] {
        let mut longer = large.clone();
        (ordinal..8).for_each(|later| longer[end(later)] += 1);
        longer.push(b'x');
        let start = start_of(ordinal);
        assert_eq!(refused(2, &longer, 2), (end(ordinal), format!("an end of {start} to {start}")), "{what}");
    }
    begins(refused(2, &with(&large, end(1), 8 ^ 3), 2), end(1), "an end of 4 to");
    begins(refused(2, &with(&large, values_at, 0x40), 2), values_at, "UTF-8");
    begins(refused(2, &with(&large, end(0), 4 ^ 5), 2), end(0), "the end of a text");
    begins(refused(2, &with(&large, values_at + 8, 1), 2), values_at + 8, "a JSON document");
    // Up to the longest that may stand in a page.
    let (raw, values_at) = (layout.ends_at(false, 1) + 2 * width, layout.values_at(false, 1));
    let start = usize::from(plain[raw - width]);
    let of_length = |length: usize| {
        let mut page = plain.clone();
        for at in [raw, raw + width] {
            page[at..at + 2].copy_from_slice(&((start + length) as u16).to_le_bytes());
        }
        page.resize(values_at + start + length, b'x');
        page
    };
    assert!(check_page(def, 0, &of_length(INLINE_MAX), 0).is_ok());
    begins(refused(0, &of_length(INLINE_MAX + 1), 0), raw, "an end of");
}

/// An error, or a table that is sound.
fn check_damaged(schema: &Schema, format: Format, bytes: Vec<u8>) -> bool {
    match Database::restored(schema, &[(format, bytes)], &mut Random(9)) {
        Ok(database) => {
            check_table(view(&database.store.pin(), &database.def));
            database.part(0, Format::JsonLines);
            true
        }
        Err(PartError::Mismatch(mismatch)) => {
            assert!(mismatch.to_string().len() < 2000, "{mismatch}");
            false
        }
        Err(PartError::Other(Error::UnsupportedFormat { .. })) => false,
        Err(PartError::Other(error)) => panic!("{error}"),
    }
}

#[test]
fn no_damage_makes_a_table_that_is_not_sound() {
    let (schema, database) = (small_schema(), small_table());
    for format in [Format::Binary, Format::JsonLines] {
        let part = database.part(0, format);
        assert!(check_damaged(&schema, format, part.clone()));
        for len in 0..part.len() {
            assert!(!check_damaged(&schema, format, part[..len].to_vec()), "cut to {len} bytes");
        }
        for at in 0..part.len() {
            for flipped in [1, 0x80, 0xFF, part[at]] {
                let mut damaged = part.clone();
                damaged[at] ^= flipped;
                check_damaged(&schema, format, damaged);
            }
        }
        let mut random = Random(3);
        for _ in 0..3000 {
            let mut damaged = part.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(damaged.len() as u64) as usize;
                let len = (random.below(9) as usize).min(damaged.len() - at);
                match random.below(3) {
                    0 => drop(damaged.drain(at..at + len)),
                    1 => damaged[at..at + len].fill(random.next() as u8),
                    _ => damaged.extend_from_within(at..at + len),
                }
                if damaged.is_empty() {
                    break;
                }
            }
            check_damaged(&schema, format, damaged);
        }
    }
}

/// As many rows as there can be take too long to store: the table is told that it has them.
#[test]
fn a_full_table_is_restored() {
    // Without indexes, for which room would be made.
    let schema = Schema::builder("things").column(Column::string("s")).build().unwrap();
    let database = Database::new(schema.clone(), 5);
    database.change(|table| random_changes(&mut Random(5), table, 50));
    for format in [Format::Binary, Format::JsonLines] {
        let part = database.part(0, format);
        let restore = |before: u64| {
            Database::new(schema.clone(), 5).try_change(|table| {
                let TableMut { def, sequence, pages, rows, indexes, entry } = table;
                let mut restore = Restore::new(TableMut { def, sequence, pages, rows, indexes, entry });
                // The second time, each page is put in the place of one with as many rows.
                for rows in [None, Some(before)] {
                    if let Some(rows) = rows {
                        restore.pretend_rows(rows);
                    }
                    let mut rest = &part[..];
                    restore.apply(format, &mut |room| std::io::Read::read(&mut rest, room).map_err(|_| panic!()))?;
                }
                restore.finish()
            })
        };
        restore(ROWS_MAX).unwrap();
        let Err(PartError::Mismatch(refused)) = restore(ROWS_MAX + 1) else { panic!("too many rows") };
        assert!(refused.expected.contains("4294967295 rows"), "{refused}");
    }
}

/// Indexes are built over keys that begin alike, in runs of thousands and of a few, and that end where others go on.
#[test]
fn keys_that_begin_alike_are_sorted() {
    for is_unique in [false, true] {
        let index = Index::ordered(["name", "n"]);
        let schema = Schema::builder("things")
            .column(Column::string("name").nullable())
            .column(Column::u64("n"))
            .index(if is_unique { index.unique() } else { index })
            .index(Index::ordered(["name"]))
            .build()
            .unwrap();
        let database = Database::new(schema.clone(), 3);
        let mut random = Random(4);
        let mut row = RowBuf::new();
        database.change(|table| {
            let shape = table.def.schema.shape();
            for n in 0..12_000u64 {
                row.reset(shape);
                let prefix = ["", "https://www.example.org/", "a\0", "a", "ab"][random.below(5) as usize];
                let middle = "\0b".repeat(random.below(3) as usize * 7);
                match random.below(9) {
                    0 => row.set_null(shape, 0),
                    1 => row.set(shape, 0, format!("{prefix}{middle}{}", random.below(900)).as_bytes()).unwrap(),
                    _ => row.set(shape, 0, format!("{prefix}{middle}").as_bytes()).unwrap(),
                }
                row.set(shape, 1, &n.to_le_bytes()).unwrap();
                table.insert(&mut row).unwrap();
            }
        });
        let parts = [(Format::Binary, database.part(0, Format::Binary))];
        assert_same(&database, &Database::restored(&schema, &parts, &mut random).unwrap());
    }
}

#[test]
fn rows_that_do_not_fit_the_indexes_are_refused() {
    let schema = |index: Option<Index>| {
        let builder = Schema::builder("things").column(Column::string("name").nullable()).column(Column::f64("size"));
        index.into_iter().fold(builder, |builder, index| builder.index(index)).build().unwrap()
    };
    let database = Database::new(schema(None), 3);
    let mut row = RowBuf::new();
    database.change(|table| {
        let shape = table.def.schema.shape();
        for n in 0..3000 {
            row.reset(shape);
            row.set(shape, 0, format!("name {}", n % 2990).as_bytes()).unwrap();
            row.set(shape, 1, &(if n == 77 { f64::NAN } else { f64::from(n) }).to_le_bytes()).unwrap();
            table.insert(&mut row).unwrap();
        }
    });
    for format in [Format::Binary, Format::JsonLines] {
        let parts = [(format, database.part(0, format))];
        let refused = |index: Index| match Database::restored(&schema(Some(index)), &parts, &mut Random(1)) {
            Err(PartError::Mismatch(mismatch)) => mismatch.to_string(),
            _ => panic!("refused"),
        };
        for unique in [Index::hash(["name"]), Index::ordered(["name"])] {
            let message = refused(unique.named("x").unique());
            assert!(message.starts_with("expected rows for the index `x`, found \"name "), "{message}");
        }
        assert!(refused(Index::ordered(["size"])).contains("NaN"));
        let other = Schema::builder("things").column(Column::string("name")).column(Column::f64("size"));
        assert_eq!(
            Database::restored(&other.build().unwrap(), &parts, &mut Random(1)).is_ok(),
            format == Format::JsonLines,
            "no row has a null, which only the binary format says before"
        );
    }
}
