//! The query layer as a whole, through the public face.

use crate::*;
use serde_json::json;

#[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq, Clone)]
struct Student {
    name: String,
    gpa: f64,
    country: Option<u16>,
    active: bool,
}

fn students() -> (Database, Table) {
    let db = Database::in_memory();
    let students = db
        .create_table(
            Schema::builder("students")
                .column(Column::u64("id").primary_key().auto_increment())
                .column(Column::string("name"))
                .column(Column::f64("gpa"))
                .column(Column::u16("country").nullable())
                .column(Column::bool("active").default(true))
                .build()
                .unwrap(),
        )
        .unwrap();
    for (name, gpa, country) in
        [("Ann", 3.9, Some(7)), ("Bob", 3.1, Some(7)), ("Abel", 3.7, None), ("Al", 1.5, Some(9)), ("Zoe", 3.9, None)]
    {
        students.insert(&json!({"name": name, "gpa": gpa, "country": country})).unwrap();
    }
    (db, students)
}

#[test]
fn the_face_reads_as_promised() -> Result<()> {
    let (_db, students) = students();
    let (name, gpa) = (students.column::<str>("name")?, students.column::<f64>("gpa")?);
    let country = students.column::<Option<u16>>("country")?;
    let prefix = String::from("A");
    let top: Vec<Student> = students
        .select()
        .filter(|row: &Row| row.get(name).starts_with(&prefix))
        .filter(gpa.gt(3.5))
        .order_by(gpa.desc())
        .limit(3)
        .fetch()?;
    assert_eq!(top.iter().map(|student| &*student.name).collect::<Vec<_>>(), ["Ann", "Abel"]);
    let either = Predicate::from_fn(|row| row.get(gpa) < 2.0) | country.is_null();
    assert_eq!(students.select().filter(either).count()?, 3);
    assert_eq!(students.select().filter(|row: &Row<'_>| row.get(gpa) < 2.0).pick((name, gpa))?, [("Al".into(), 1.5)]);
    let names: Vec<String> = students.select().order_by((gpa.desc(), name.desc())).columns(["name"]).fetch()?;
    assert_eq!(names, ["Zoe", "Ann", "Abel", "Bob", "Al"]);
    assert_eq!(students.select().rows()?.map(|row| row.id()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(students.select().group_by(country).count()?, [(Some(7), 2), (Some(9), 1), (None, 2)]);
    assert_eq!((students.select().sum(country)?, students.select().max(name)?), (23, Some("Zoe".to_owned())));
    assert_eq!(students.update_where(country.eq(7), &json!({"active": false}))?, 2);
    assert_eq!(students.modify_where(gpa.ge(3.9), |row| row.set(gpa, 4.0))?, 2);
    assert_eq!(students.delete_where(|row: &Row| row.get(gpa) < 2.0)?, 1);
    let db = _db;
    db.transaction(|tx| {
        let students = tx.table("students")?;
        students.delete_where(gpa.lt(2.0))?;
        students.select().filter(gpa.gt(1)).count()
    })?;
    Ok(())
}
