//! Databases against replicas that get their payloads, and payloads that are damaged.

use super::*;
use crate::error::Error;
use crate::schema::{Column, Index};
use crate::table::change::ROWS_MAX;
use crate::table::samples::{Random, check_table, random_changes, random_schema};
use crate::transaction::clock::Clock;
use crate::transaction::core::Core;
use crate::transaction::tx::Transaction;
use crate::value::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

const FORMATS: [Format; 2] = [Format::Binary, Format::JsonLines];

/// Commits what `body` does, and answers it as a payload of each format.
fn commit(core: &Core, body: impl FnOnce(&Transaction<'_>) -> Result<()>) -> [Vec<u8>; 2] {
    let tx = core.begin().unwrap();
    body(&tx).unwrap();
    let payloads = FORMATS.map(|format| {
        // What another write has left there is not told again.
        let mut out = b"before".to_vec();
        tx.encode_redo(format, &mut out).unwrap();
        out
    });
    tx.commit().unwrap();
    payloads
}

fn try_apply(core: &Core, format: Format, payload: &[u8]) -> Result<(), RedoError> {
    let tx = core.begin().unwrap();
    apply(&tx, format, payload, &mut Bases::default())?;
    tx.commit().unwrap();
    Ok(())
}

fn replay_on(core: &Core, format: Format, payload: &[u8]) {
    if let Err(error) = try_apply(core, format, payload) {
        panic!("{error:?} of {}", String::from_utf8_lossy(payload));
    }
}

fn fields(view: TableView<'_>, row: Option<RowRef<'_>>) -> Option<(u64, Vec<Option<Vec<u8>>>)> {
    use crate::value::Columns;
    let columns = 0..view.def.layout.columns().len();
    row.map(|row| (row.id(), columns.map(|column| row.column_bytes(column).map(<[u8]>::to_vec)).collect()))
}

fn check_sound(core: &Core) {
    let (pinned, catalog) = core.snapshot();
    let root = pinned.root();
    for listed in catalog.tables.values() {
        let view = TableView::present(root, listed.slot, &listed.def).unwrap();
        check_table(view);
    }
}

fn assert_same(a: &Core, b: &Core) {
    check_sound(b);
    let ((a, catalog_a), (b, catalog_b)) = (a.snapshot(), b.snapshot());
    let describe = |catalog: &Catalog| -> Vec<(String, usize)> {
        catalog.tables.values().map(|listed| (lines::schema_text(&listed.def.schema).unwrap(), listed.slot)).collect()
    };
    assert_eq!(describe(&catalog_a), describe(&catalog_b));
    for (a_listed, b_listed) in catalog_a.tables.values().zip(catalog_b.tables.values()) {
        let view_a = TableView::new(a.root(), a_listed.slot, &a_listed.def);
        let view_b = TableView::new(b.root(), b_listed.slot, &b_listed.def);
        let mut differing = Vec::new();
        diff_rows(view_a, view_b, &mut |old, new| differing.push((fields(view_a, old), fields(view_b, new))));
        assert_eq!(differing, []);
        assert_eq!((view_a.len(), view_a.next_id()), (view_b.len(), view_b.next_id()));
    }
}

fn change_somewhere(random: &mut Random, tx: &Transaction<'_>) -> Result<()> {
    let names = tx.table_names();
    let name = format!("t\"{}", random.below(4));
    if !names.contains(&name) {
        return tx.create_table(random_schema(random, &name)).map(drop);
    }
    let (slot, state) = tx.find(&name)?;
    let is_json = |column: &crate::schema::ColumnDef| column.ty() == crate::value::Type::Json;
    match random.below(20) {
        0 => tx.drop_table(&name),
        1 | 2 => {
            let columns = state.def.schema.columns();
            let column = &columns[random.below(columns.len() as u64) as usize];
            let index = format!("i{}", random.below(3));
            let index = if random.one_in(2) { Index::hash([column.name()]) } else { Index::ordered([column.name()]) }
                .named(index);
            // What does not fit is refused, and nothing has happened.
            if !is_json(column) {
                let _ = tx.create_index(&name, if random.one_in(3) { index.unique() } else { index });
            }
            Ok(())
        }
        3 => {
            let _ = tx.drop_index(&name, &format!("i{}", random.below(3)));
            Ok(())
        }
        4 => {
            let undone = tx.savepoint(|tx| {
                tx.change_table(slot, &state, |table| {
                    random_changes(random, table, 10);
                    Ok(())
                })?;
                Err::<(), _>(Error::Reentrant)
            });
            assert!(undone.is_err());
            Ok(())
        }
        _ => {
            let count = [1, 1, 3, 60][random.below(4) as usize];
            tx.change_table(slot, &state, |table| {
                random_changes(random, table, count);
                Ok(())
            })
        }
    }
}

#[test]
fn a_replica_becomes_what_the_database_is() {
    for seed in 0..300 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let database = Core::new().unwrap();
        let replicas = FORMATS.map(|format| (format, Core::new().unwrap()));
        for _ in 0..12 {
            let payloads =
                commit(&database, |tx| (0..random.below(5)).try_for_each(|_| change_somewhere(&mut random, tx)));
            for ((format, replica), payload) in replicas.iter().zip(&payloads) {
                replay_on(replica, *format, payload);
                assert_same(&database, replica);
            }
            assert!(payloads[1].is_empty() || payloads[1].ends_with(b"\n"));
        }
    }
}

fn people(name: &str) -> Schema {
    Schema::builder(name)
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .column(Column::f64("size").nullable())
        .column(Column::bool("on").nullable())
        .column(Column::json("more").nullable())
        .column(Column::bytes("raw").nullable())
        .index(Index::ordered(["size"]))
        .build()
        .unwrap()
}

/// What one transaction of a test does.
type Body<'a> = &'a dyn Fn(&Transaction<'_>) -> Result<()>;

/// Runs transactions on a database and on replicas, and answers the lines of the last.
fn lines_of(bodies: &[Body<'_>]) -> String {
    let database = Core::new().unwrap();
    let replicas = FORMATS.map(|format| (format, Core::new().unwrap()));
    let mut last = Vec::new();
    for body in bodies {
        let payloads = commit(&database, body);
        for ((format, replica), payload) in replicas.iter().zip(&payloads) {
            replay_on(replica, *format, payload);
            assert_same(&database, replica);
        }
        last = payloads[1].clone();
    }
    String::from_utf8(last).unwrap()
}

fn create_people(tx: &Transaction<'_>) -> Result<()> {
    let people = tx.create_table(people("people"))?;
    for name in ["Ada", "Bob", "Cy"] {
        people.insert(&json!({ "name": name, "size": 1.5 }))?;
    }
    Ok(())
}

#[test]
fn unique_values_are_swapped() {
    let swap = |tx: &Transaction<'_>| {
        let people = tx.table("people")?;
        for (id, name) in [(1u64, "?"), (2, "Ada"), (3, "Bob"), (1, "Cy")] {
            people.update(id, &json!({ "name": name }))?;
        }
        Ok(())
    };
    assert_eq!(lines_of(&[&create_people, &swap]).lines().count(), 3);
}

#[test]
fn a_value_goes_from_a_deleted_row_to_another() {
    let give = |tx: &Transaction<'_>| {
        let people = tx.table("people")?;
        people.delete(3u64)?;
        people.update(1u64, &json!({ "name": "Cy" }))
    };
    let lines = lines_of(&[&create_people, &give]);
    assert!(lines.ends_with("{\"table\":\"people\",\"delete\":3}\n"), "{lines}");
}

#[test]
fn a_table_is_dropped_and_made_again() {
    let again = |tx: &Transaction<'_>| {
        tx.drop_table("people")?;
        tx.create_table(people("others"))?;
        create_people(tx)
    };
    let lines = lines_of(&[&create_people, &again]);
    assert!(lines.starts_with("{\"drop\":\"people\"}\n{\"create\":{\"name\":\"others\""), "{lines}");
}

#[test]
fn slots_are_the_same_though_others_were_used_between() {
    let create = |tx: &Transaction<'_>| {
        create_people(tx)?;
        tx.create_table(people("a"))?;
        tx.create_table(people("b"))?;
        tx.drop_table("people")?;
        tx.drop_table("a")
    };
    let lines = lines_of(&[&create, &create_people]);
    assert!(lines.contains(",\"slot\":0}"), "{lines}");
}

#[test]
fn a_cleared_table_takes_one_record() {
    let clear = |tx: &Transaction<'_>| tx.table("people")?.clear();
    let refill = |tx: &Transaction<'_>| {
        clear(tx)?;
        tx.table("people")?.insert(&json!({ "name": "Ada" })).map(drop)
    };
    assert_eq!(lines_of(&[&create_people, &clear]), "{\"table\":\"people\",\"clear\":true}\n");
    assert_eq!(
        lines_of(&[&create_people, &refill]),
        "{\"table\":\"people\",\"clear\":true}\n{\"table\":\"people\",\"put\":4,\"row\":{\"id\":4,\"name\":\"Ada\",\
         \"size\":null,\"on\":null,\"more\":null,\"raw\":null}}\n"
    );
}

#[test]
fn rows_meet_only_indexes_that_stay() {
    let looser = |tx: &Transaction<'_>| {
        tx.create_index("people", Index::hash(["size", "on"]).named("one"))?;
        tx.table("people")?.update(1u64, &json!({ "size": 2.0 }))?;
        tx.table("people")?.update(2u64, &json!({ "size": 3.0 }))?;
        tx.create_index("people", Index::hash(["size"]).named("two").unique())
    };
    // Rows that `two` refuses on both sides, with another index of its name between and behind.
    let other = |tx: &Transaction<'_>| {
        tx.drop_index("people", "two")?;
        tx.table("people")?.update(1u64, &json!({ "size": 3.0 }))?;
        tx.create_index("people", Index::ordered(["size", "on"]).named("two"))
    };
    let back = |tx: &Transaction<'_>| {
        other(tx)?;
        tx.table("people")?.update(1u64, &json!({ "size": 7.0 }))?;
        tx.drop_index("people", "two")?;
        tx.drop_index("people", "one")?;
        tx.create_index("people", Index::hash(["size"]).named("two").unique())?;
        tx.create_index("people", Index::hash(["size", "on"]).named("one"))
    };
    assert_eq!(lines_of(&[&create_people, &looser, &other]).lines().count(), 3);
    lines_of(&[&create_people, &looser, &back]);
}

#[test]
fn what_changed_nothing_is_nothing() {
    let nothing = |tx: &Transaction<'_>| {
        let people = tx.table("people")?;
        people.update(1u64, &json!({ "name": "?" }))?;
        people.update(1u64, &json!({ "name": "Ada" }))?;
        tx.create_table(self::people("gone"))?;
        tx.drop_table("gone")
    };
    assert_eq!(lines_of(&[&create_people, &nothing]), "");
    let given = |tx: &Transaction<'_>| {
        let people = tx.table("people")?;
        let id = people.insert(&json!({ "name": "Di" }))?;
        people.delete(id).map(drop)
    };
    assert_eq!(lines_of(&[&create_people, &given]), "{\"table\":\"people\",\"next_id\":5}\n");
}

#[test]
fn large_values_go_through() {
    let large = |tx: &Transaction<'_>| {
        let people = tx.table("people")?;
        for (id, len) in [(1u64, 100usize), (2, 1 << 14), (3, 3 << 20)] {
            let raw = Value::from((0..len).map(|at| at as u8).collect::<Vec<u8>>());
            people.update(id, &BTreeMap::from([("raw", raw)]))?;
            people.update(id, &json!({ "more": { "text": "x".repeat(len) } }))?;
        }
        Ok(())
    };
    lines_of(&[&create_people, &large]);
}

#[test]
fn a_large_value_that_stays_is_not_told_again() {
    let long = "x".repeat(INLINE_MAX);
    let large = |tx: &Transaction<'_>| {
        create_people(tx)?;
        (1..4u64).try_for_each(|id| tx.table("people")?.update(id, &json!({ "more": long })))
    };
    let lines = |body: Body<'_>| lines_of(&[&large, body]);
    let update = |id: u64, patch: serde_json::Value| move |tx: &Transaction<'_>| tx.table("people")?.update(id, &patch);
    let changes = [
        (json!({ "size": 2.5 }), r#"{"size":2.5}"#),
        (json!({ "size": null, "on": true }), r#"{"size":null,"on":true}"#),
        (json!({ "raw": [1, 2] }), r#"{"raw":"0102"}"#),
    ];
    for (patch, told) in changes {
        assert_eq!(lines(&update(2, patch)), format!("{{\"table\":\"people\",\"update\":2,\"row\":{told}}}\n"));
    }
    // Rows without one are told whole, as are those whose large value or whose unique one changes.
    let whole = [json!({ "more": "short" }), json!({ "more": format!("{long}y") }), json!({ "name": "Eve" })];
    for patch in whole {
        assert!(lines(&update(2, patch)).starts_with("{\"table\":\"people\",\"put\":2,\"row\":{\"id\":2,"));
    }
    // Beside rows that swap what is unique, which are all taken out first.
    let several = |tx: &Transaction<'_>| {
        update(2, json!({ "size": 2.5 }))(tx)?;
        [(1, "?"), (3, "Ada"), (1, "Cy")].into_iter().try_for_each(|(id, name)| update(id, json!({ "name": name }))(tx))
    };
    let kinds: Vec<String> = lines(&several).lines().map(|line| line[19..22].into()).collect();
    assert_eq!(kinds, ["put", "upd", "put"]);
    // In a table that was emptied, and made anew, there is nothing that stays.
    let cleared = |tx: &Transaction<'_>| {
        tx.table("people")?.clear()?;
        tx.table("people")?.insert(&json!({ "name": "Ada", "more": long })).map(drop)
    };
    assert!(lines(&cleared).contains("\"put\":4"));
    // The key is the row's id: another row then.
    assert!(lines(&update(2, json!({ "id": 9 }))).contains("\"put\":9"));
}

fn fork(core: &Core) -> Core {
    let (pinned, catalog) = core.snapshot();
    Core::fork(pinned, catalog, Arc::clone(&core.lineage), Clock::SYSTEM)
}

/// So many rows take too long to store: the table is told that it has them.
fn pretend_full(core: &Core) {
    let tx = core.begin().unwrap();
    let (slot, state) = tx.find("people").unwrap();
    tx.change_table(slot, &state, |table| {
        table.entry.rows = ROWS_MAX;
        Ok(())
    })
    .unwrap();
    tx.commit().unwrap();
}

#[test]
fn a_full_table_takes_a_row_for_one_that_goes_later() {
    // With an index that is unique all old rows go first, whatever comes.
    let schema = Schema::builder("people").column(Column::u64("id").primary_key().auto_increment()).build().unwrap();
    let database = Core::new().unwrap();
    commit(&database, |tx| {
        let people = tx.create_table(schema)?;
        (5..8u64).try_for_each(|id| people.insert(&(id,)).map(drop))
    });
    let add = |tx: &Transaction<'_>| tx.table("people")?.insert(&(1u64,)).map(drop);
    let swap = |tx: &Transaction<'_>| {
        tx.table("people")?.delete(7u64)?;
        add(tx)
    };
    for (at, format) in FORMATS.into_iter().enumerate() {
        let full = || {
            let full = fork(&database);
            pretend_full(&full);
            full
        };
        let swapped = commit(&fork(&database), swap);
        replay_on(&full(), format, &swapped[at]);
        let added = commit(&fork(&database), add);
        assert!(matches!(try_apply(&full(), format, &added[at]), Err(RedoError::Mismatch(_))));
    }
}

/// A payload with all kinds of records, and a database that it fits.
fn small_payloads() -> (Core, [Vec<u8>; 2]) {
    let database = Core::new().unwrap();
    commit(&database, |tx| {
        create_people(tx)?;
        tx.table("people")?.insert(&json!({ "name": "Long", "raw": vec![7; INLINE_MAX + 1] }))?;
        tx.create_table(people("cleared"))?.insert(&json!({ "name": "Eve" }))?;
        tx.create_table(people("dropped")).map(drop)
    });
    let origin = fork(&database);
    let payloads = commit(&database, |tx| {
        tx.drop_table("dropped")?;
        tx.create_table(Schema::builder("new").column(Column::i8("n").nullable()).build()?)?;
        tx.table("cleared")?.clear()?;
        let people = tx.table("people")?;
        people.update(1u64, &json!({ "name": "é", "on": true, "more": [1, "a"], "size": 0.1 }))?;
        people.delete(2u64)?;
        people.update(3u64, &json!({ "name": "Ada" }))?;
        people.update(4u64, &json!({ "size": null, "on": true, "more": "é" }))?;
        let gone = people.insert(&json!({ "name": "gone" }))?;
        people.delete(gone)?;
        tx.drop_index("people", "people_by_size")?;
        tx.create_index("people", Index::hash(["on"]).named("h"))
    });
    (origin, payloads)
}

/// An error, or a database that is sound.
fn check_damaged(origin: &Core, format: Format, payload: &[u8]) -> bool {
    let replica = fork(origin);
    match try_apply(&replica, format, payload) {
        Ok(()) => {
            check_sound(&replica);
            true
        }
        Err(RedoError::Mismatch(mismatch)) => {
            assert!(mismatch.to_string().len() < 3000, "{mismatch}");
            assert_same(origin, &replica);
            false
        }
        Err(RedoError::Other(error)) => panic!("{error}"),
    }
}

#[test]
fn no_damage_makes_a_database_that_is_not_sound() {
    let (origin, payloads) = small_payloads();
    for (format, payload) in FORMATS.into_iter().zip(payloads) {
        assert!(check_damaged(&origin, format, &payload));
        let cuts = (1..payload.len()).filter(|&len| check_damaged(&origin, format, &payload[..len])).count();
        assert!(cuts < 12, "only cuts between records fit");
        for at in 0..payload.len() {
            for flipped in [1, 2, 0x80, 0xFF, payload[at]] {
                let mut damaged = payload.clone();
                damaged[at] ^= flipped;
                check_damaged(&origin, format, &damaged);
            }
        }
        let mut random = Random(7);
        for _ in 0..2000 {
            let mut damaged = payload.clone();
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
            check_damaged(&origin, format, &damaged);
        }
    }
}

/// The bits of an update are of its columns alone: of six, the first of which is the row's id, and four may be null.
#[test]
fn bits_of_no_column_that_changed_are_refused() {
    let (origin, _) = small_payloads();
    let update = |changes: &[u8]| {
        let payload = [&[4, 0, 9, 4, changes.len() as u8], changes].concat();
        try_apply(&fork(&origin), Format::Binary, &payload)
    };
    for taken in [&[0, 0][..], &[0b100, 0b1], &[0b1100, 0b1, 1], &[0b10_0000, 0b1000], &[0b10_0000, 0, 2, 7, 7]] {
        assert!(update(taken).is_ok(), "{taken:?}");
    }
    let refused: [&[u8]; 8] =
        [&[], &[0], &[1, 0], &[0b100_0000, 0], &[0, 0b1], &[0b100, 0b10], &[0, 0b1_0000], &[0b100, 0b1, 0]];
    for changes in refused {
        assert!(matches!(update(changes), Err(RedoError::Mismatch(_))), "{changes:?}");
    }
}

#[test]
fn what_no_table_holds_is_refused() {
    let (origin, _) = small_payloads();
    let refused = |line: &str, why: &str| {
        let replica = fork(&origin);
        match try_apply(&replica, Format::JsonLines, format!("{line}\n").as_bytes()) {
            Err(RedoError::Mismatch(mismatch)) => {
                assert!(mismatch.to_string().contains(why), "{line}: {mismatch}");
            }
            answer => panic!("{line}: {answer:?}"),
        }
    };
    let put = |id: &str, name: &str, size: &str| {
        format!(
            r#"{{"table":"people","put":{id},"row":{{"id":{id},"name":{name},"size":{size},"on":null,"more":null,"raw":null}}}}"#
        )
    };
    refused(&put("9", "\"Ada\"", "1.0"), "Ada");
    refused(&put("9", "null", "1.0"), "name");
    refused(&put("9", "\"new\"", "\"NaN\""), "NaN");
    let update = |row: &str| format!(r#"{{"table":"people","update":4,"row":{row}}}"#);
    refused(&update(r#"{"name":"Ada"}"#), "Ada");
    refused(&update(r#"{"name":null}"#), "name");
    refused(&update(r#"{"size":"NaN"}"#), "NaN");
    refused(&update(r#"{"id":4}"#), "key");
    refused(&update(r#"{"on":true,"on":true}"#), "on");
    refused(&update(r#"{"off":true}"#), "off");
    refused(&update("{}").replace('4', "9"), "row");
    refused(&format!("{}\n{}", update("{}"), update("{}")), "order");
    refused(&format!("{}\n{}", put("9", "\"x\"", "1.0"), put("9", "\"y\"", "1.0")), "order");
    refused(r#"{"table":"people","delete":9}"#, "row");
    refused(r#"{"table":"people","next_id":2}"#, "next id");
    refused(r#"{"table":"nobody","clear":true}"#, "nobody");
    refused(r#"{"drop":"nobody"}"#, "nobody");
    refused(r#"{"create":{"name":"x","columns":[{"name":"a","type":"u8"}]},"slot":0}"#, "slot");
    refused(r#"{"create":{"name":"x","columns":[{"name":"a","type":"u8"}]},"slot":4096}"#, "slot");
    refused(r#"{"create":{"name":"people","columns":[{"name":"a","type":"u8"}]},"slot":9}"#, "people");
    refused(r#"{"alter":{"name":"people","columns":[{"name":"a","type":"u8"}]}}"#, "people");
}
