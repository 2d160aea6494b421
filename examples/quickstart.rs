//! Folio in five minutes: a table, rows, queries, a transaction, a snapshot, a fork.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! Everything printed is asserted as well, so that this file cannot promise what the crate does not do.

use folio::{Change, Column, Database, Error, Index, Result, Row, Schema, count};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A row to insert. Columns that it leaves out get their defaults, the key its next number.
#[derive(Serialize)]
struct NewStudent<'a> {
    name: &'a str,
    email: &'a str,
    gpa: f64,
}

/// A row as it is stored. The fields' names are the columns'.
#[derive(Debug, PartialEq, Deserialize)]
struct Student {
    id: u64,
    name: String,
    email: String,
    gpa: f64,
    advisor: Option<String>,
}

fn main() -> Result<()> {
    // 1. A database, and a table in it. `build` finds everything that is wrong with a schema, and names it.
    let db = Database::in_memory();
    let students = db.create_table(
        Schema::builder("students")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::string("name"))
            .column(Column::string("email").unique())
            .column(Column::f64("gpa").default(0.0).check("between 0 and 4", |gpa| (0.0..=4.0).contains(gpa)))
            .column(Column::string("advisor").nullable())
            .index(Index::ordered(["gpa"]))
            .build()?,
    )?;
    println!("{}\n", students.schema()?);

    // 2. Rows are anything serde can serialize: structs, `json!`, maps, tuples in column order. A key comes back.
    let alice = students.insert(&NewStudent { name: "Alice", email: "alice@university.edu", gpa: 3.8 })?;
    let bob = students.insert(&json!({ "name": "Bob", "email": "bob@university.edu" }))?;
    let more = [
        NewStudent { name: "Amir", email: "amir@university.edu", gpa: 3.6 },
        NewStudent { name: "Anna", email: "anna@university.edu", gpa: 3.4 },
        NewStudent { name: "Chloe", email: "chloe@university.edu", gpa: 3.7 },
        NewStudent { name: "Ada", email: "ada@university.edu", gpa: 4.0 },
    ];
    let stored = students.insert_many(&more)?; // one transaction: all of them or none
    println!("inserted Alice as {alice}, Bob as {bob}, and {stored} more");
    assert_eq!((alice, bob, students.len()?), (1, 2, 6));

    // A row that does not fit is an error that says why, and nothing has changed.
    let refused = students.insert(&json!({ "name": "Eve", "email": "bob@university.edu" })).unwrap_err();
    println!("refused: {refused}");
    assert!(matches!(refused, Error::Unique { .. }));
    let refused = students.insert(&json!({ "nmae": "Eve", "email": "eve@university.edu" })).unwrap_err();
    println!("refused: {refused}");
    assert_eq!(refused.code(), "unknown-field");
    assert_eq!(students.len()?, 6);

    // 3. Updates name only the columns that change.
    students.update(alice, &json!({ "gpa": 3.9 }))?;

    // 4. Handles are checked once, against the schema. Reading through one then costs a load, and text is borrowed.
    let (name, gpa) = (students.column::<str>("name")?, students.column::<f64>("gpa")?);
    let advisor = students.column::<Option<&str>>("advisor")?;
    let row = students.get(alice)?.expect("just inserted");
    println!("row {alice}: {} has {}, advisor {:?}", row.get(name), row.get(gpa), row.get(advisor));
    assert_eq!((row.get(name), row.get(gpa), row.get(advisor)), ("Alice", 3.9, None));

    // Or take the whole row as a type of yours. `find` goes by a unique column.
    let as_struct: Student = row.decode()?;
    drop(row); // a row is not copied: while it is held, it keeps its version in memory
    let found: Student = students.find("email", "alice@university.edu")?.expect("just inserted").decode()?;
    assert_eq!(found, as_struct);

    // Changes that depend on the row's values go through a closure.
    let (old, new) = students.modify(bob, |row| {
        let old = row.get(gpa);
        row.set(gpa, old + 2.0)?;
        Ok((old, row.get(gpa)))
    })?;
    println!("Bob went from {old} to {new}");
    assert_eq!((old, new), (0.0, 2.0));

    // 5. Queries. Filters are closures over rows, or predicates over handles, which may use an index; both kinds mix.
    let top: Vec<Student> = students
        .select()
        .filter(|row: &Row| row.get(name).starts_with('A'))
        .filter(gpa.gt(3.5))
        .order_by(gpa.desc())
        .limit(2)
        .fetch()?;
    let names: Vec<&str> = top.iter().map(|student| student.name.as_str()).collect();
    println!("the best two with an A: {names:?}");
    assert_eq!(names, ["Ada", "Alice"]);

    // `pick` takes columns out by their handles; aggregates run over all rows, or over groups.
    let weak = students.select().filter(gpa.lt(3.5)).order_by(name).pick((name, gpa))?;
    assert_eq!(weak, [("Anna".to_owned(), 3.4), ("Bob".to_owned(), 2.0)]);
    let mean = students.select().avg(gpa)?.expect("there are rows");
    println!("the mean of {} students is {mean:.2}", students.len()?);
    assert!((mean - 20.6 / 6.0).abs() < 1e-12);
    let by_advisor = students.select().group_by(advisor).aggregate((count(), gpa.max()))?;
    assert_eq!(by_advisor, [(None, (6, 4.0))]);

    // 6. A transaction: everything in it becomes visible at once, or, on an error or a panic, nothing does.
    db.transaction(|tx| {
        let students = tx.table("students")?;
        students.delete_where(gpa.lt(2.5))?;
        students.insert(&json!({ "name": "Carol", "email": "carol@university.edu", "gpa": 3.1 }))
    })?;
    assert_eq!(students.len()?, 6); // Bob went, Carol came

    let rolled_back = db.transaction(|tx| {
        let students = tx.table("students")?;
        students.clear()?;
        assert!(students.is_empty()?); // a transaction reads its own writes; nobody else does
        Err::<(), _>(Error::abort("on second thoughts"))
    });
    println!("rolled back: {}; there are still {} students", rolled_back.unwrap_err(), students.len()?);
    assert_eq!(students.len()?, 6);

    // 7. A snapshot is a version, kept. Taking it costs O(1), and it never changes.
    let before = db.snapshot();
    students.update_where(gpa.ge(3.5), &json!({ "advisor": "Dr. Gray" }))?;
    let old_students = before.table("students")?; // the same read methods as the table, on the old version
    assert_eq!(old_students.select().filter(advisor.is_not_null()).count()?, 0);
    assert_eq!(students.select().filter(advisor.is_not_null()).count()?, 4);

    // 8. A fork is a whole database that starts from here, also in O(1). Neither sees what the other does.
    let what_if = db.fork();
    what_if.table("students")?.clear()?;
    println!("in the fork: {} students; here: {}", what_if.table("students")?.len()?, students.len()?);
    assert_eq!((what_if.table("students")?.len()?, students.len()?), (0, 6));

    // 9. What changed between two versions costs O(changes), whatever the size of the database.
    let after = db.snapshot();
    let diff = before.diff(&after)?;
    println!("since the snapshot, {} rows changed:", diff.len());
    for change in diff.table("students")? {
        if let Change::Updated { old, new } = change {
            println!("  {}: advisor {:?} -> {:?}", new.get(name), old.get(advisor), new.get(advisor));
            assert_eq!((old.get(advisor), new.get(advisor)), (None, Some("Dr. Gray")));
        }
    }
    assert_eq!(diff.len(), 4);
    Ok(())
}
