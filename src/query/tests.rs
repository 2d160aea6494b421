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

#[test]
fn plans_use_what_fits() -> Result<()> {
    let db = Database::in_memory();
    let people = db.create_table(
        Schema::builder("people")
            .column(Column::u64("id").primary_key().auto_increment())
            .column(Column::string("email").unique())
            .column(Column::u16("country"))
            .column(Column::f64("score").nullable())
            .column(Column::bool("active"))
            .index(Index::hash(["country"]))
            .index(Index::ordered(["country", "score"]))
            .index(Index::ordered(["email"]))
            .build()?,
    )?;
    people
        .insert_many((0..2000u16).map(|i| (None::<u64>, format!("user{i:04}@x"), i % 100, f64::from(i), i % 2 == 0)))?;
    let (id, email) = (people.column::<u64>("id")?, people.column::<str>("email")?);
    let (country, score) = (people.column::<u16>("country")?, people.column::<Option<f64>>("score")?);
    let active = people.column::<bool>("active")?;
    let plan = |select: Select<'_>| select.explain().map(|text| text.replace('\n', "; "));
    let all = || people.select();
    assert_eq!(plan(all())?, "table people, 2000 rows; access: all pages, 2000 rows; order: row id");
    assert_eq!(plan(all().filter(id.eq(7)))?, "table people, 2000 rows; access: 1 row id; order: row id");
    assert_eq!(
        plan(all().filter(id.gt(64) & id.le(128) & active.eq(true)))?,
        "table people, 2000 rows; access: pages of row ids 65 to 128, at most 96 rows; filter: active = true; order: row id"
    );
    assert_eq!(
        plan(all().filter(email.eq("user0003@x")))?,
        "table people, 2000 rows; access: index people_by_email, 1 look-up; \
         filter: email = \"user0003@x\"; order: row id"
    );
    assert_eq!(
        plan(all().filter(country.is_in([3, 4, 3])))?,
        "table people, 2000 rows; access: index people_by_country_score, 2 ranges, at most 40 rows; order: row id"
    );
    assert_eq!(
        plan(all().filter(country.eq(3)).filter(|row: &Row| row.get(active)).order_by(score.desc()).limit(5))?,
        "table people, 2000 rows; access: index people_by_country_score, 1 range, at most 20 rows; filter: closure; \
         order: country desc, score desc, as the index has it; limit: 5"
    );
    assert_eq!(
        plan(all().filter(email.starts_with("user00") | active.eq(false)).order_by(score.desc()).offset(2).limit(5))?,
        "table people, 2000 rows; access: all pages, 2000 rows; \
         filter: (email starts with \"user00\" or active = false); \
         order: score desc, the first 7 kept in one pass; offset: 2; limit: 5"
    );
    assert_eq!(plan(all().filter(country.lt(0)))?, "table people, 2000 rows; access: nothing can match; order: row id");
    assert_eq!((all().max(email)?, all().min(email)?), (Some("user1999@x".into()), Some("user0000@x".into())));
    Ok(())
}

#[test]
fn the_ends_of_a_column_are_looked_up_in_an_index_that_begins_with_it() -> Result<()> {
    let db = Database::in_memory();
    let schema = Schema::builder("t").column(Column::i32("a").nullable()).column(Column::string("b").nullable());
    let table = db.create_table(schema.column(Column::u8("c")).index(Index::ordered(["a", "b", "c"])).build()?)?;
    table.insert_many((0..2000).map(|n| ((n % 3 > 0).then_some(n), (n % 5 > 0).then_some("x"), n as u8)))?;
    let (a, b) = (table.column::<Option<i32>>("a")?, table.column::<Option<&str>>("b")?);
    for greatest in [false, true] {
        let all = table.select();
        let plan = all.end_of_index(a.retyped(), greatest)?.unwrap().explain()?;
        assert!(plan.contains("access: index t_by_a_b_c, 1 range") && !plan.contains("filter"), "{plan}");
        assert!(plan.contains("as the index has it\nlimit: 1"), "{plan}");
        assert!(table.select().end_of_index(b.retyped(), greatest)?.is_none());
        assert!(table.select().limit(5).end_of_index(a.retyped(), greatest)?.is_none());
    }
    assert_eq!((table.select().min(a)?, table.select().max(a)?), (Some(1), Some(1999)));
    // A key that is the row's id is in order without an index.
    let schema = Schema::builder("keyed").column(Column::u32("id").primary_key().auto_increment());
    let keyed = db.create_table(schema.build()?)?;
    let id = keyed.column::<u32>("id")?;
    assert_eq!((keyed.select().min(id)?, keyed.select().max(id)?), (None, None));
    keyed.insert_many((10..2000_u32).map(|n| (n * 3,)))?;
    for greatest in [false, true] {
        let plan = keyed.select().end_of_index(id.retyped(), greatest)?.unwrap().explain()?;
        assert!(plan.contains("limit: 1") && !plan.contains("filter"), "{plan}");
    }
    assert_eq!((keyed.select().min(id)?, keyed.select().max(id)?), (Some(30), Some(5997)));
    assert_eq!(keyed.select().filter(id.lt(100)).max(id)?, Some(99));
    Ok(())
}

#[test]
fn what_does_not_fit_is_an_error_of_the_query() -> Result<()> {
    let (db, students) = students();
    let other = db.create_table(Schema::builder("others").column(Column::f64("gpa")).build()?)?;
    let (name, gpa) = (students.column::<str>("name")?, students.column::<f64>("gpa")?);
    let country = students.column::<Option<u16>>("country")?;
    let foreign = other.column::<f64>("gpa")?;
    let code = |filter: Predicate<'_>| students.select().filter(filter).count().map_err(|error| error.code());
    assert_eq!(code(gpa.eq("high")), Err("wrong-type"));
    assert_eq!(code(country.eq(1.5)), Err("wrong-type"));
    assert_eq!(code(country.eq(None::<u16>)), Err("invalid-query"));
    assert_eq!(code(gpa.starts_with("3")), Err("wrong-type"));
    assert_eq!(code(foreign.gt(1.0)), Err("foreign-handle"));
    assert_eq!(code(Predicate::from_fn(|row| row.get(foreign) > 1.0)), Err("foreign-handle"));
    assert_eq!(code(name.eq("Ann") & !gpa.between((1.0, "x"))), Err("wrong-type"));
    // Integers compare as numbers whatever the column can hold.
    assert_eq!((code(country.lt(1_000_000)), code(country.gt(-1)), code(country.eq(-1))), (Ok(3), Ok(3), Ok(0)));
    assert_eq!((code(gpa.gt(f64::NAN)), code(!gpa.gt(f64::NAN)), code(gpa.ne(f64::NAN))), (Ok(0), Ok(5), Ok(5)));
    assert!(matches!(students.select().order_by(foreign.asc()).ids(), Err(Error::ForeignHandle { .. })));
    assert!(matches!(students.select().columns(["nam"]).fetch::<String>(), Err(Error::NoSuchColumn { .. })));
    assert!(matches!(students.select().fetch::<Vec<u8>>(), Err(Error::Decode { .. })));
    let sums = students.select().map(|_| ())?.len();
    assert_eq!(sums, 5);
    Ok(())
}

#[test]
fn nesting_is_bounded_and_chains_are_not() -> Result<()> {
    let (_db, students) = students();
    let gpa = students.column::<f64>("gpa")?;
    let mut chain = gpa.gt(10.0);
    for _ in 0..20_000 {
        chain = chain | gpa.eq(3.1);
    }
    assert_eq!(students.select().filter(chain).count()?, 1);
    let mut nested = gpa.gt(0.0);
    for _ in 0..20_000 {
        nested = (nested & gpa.gt(0.0)) | gpa.lt(0.0);
    }
    assert!(matches!(students.select().filter(nested).count(), Err(Error::InvalidQuery { .. })));
    let mut doubled = gpa.gt(2.0);
    for _ in 0..20_001 {
        doubled = !doubled;
    }
    assert_eq!(students.select().filter(doubled).count()?, 1);
    Ok(())
}

#[test]
fn sums_that_do_not_fit_are_errors() -> Result<()> {
    let db = Database::in_memory();
    let table = db.create_table(Schema::builder("t").column(Column::u64("n")).column(Column::i64("m")).build()?)?;
    table.insert_many([(u64::MAX, i64::MIN), (1, i64::MAX), (0, 1)])?;
    let (n, m) = (table.column::<u64>("n")?, table.column::<i64>("m")?);
    assert!(matches!(table.select().sum(n), Err(Error::InvalidQuery { .. })));
    assert_eq!((table.select().sum(m)?, table.select().filter(n.gt(1)).sum(n)?), (0, u64::MAX));
    Ok(())
}

#[test]
fn a_failed_change_where_leaves_nothing() -> Result<()> {
    let (db, students) = students();
    let gpa = students.column::<f64>("gpa")?;
    let name = students.column::<str>("name")?;
    let failed = students.modify_where(gpa.gt(0.0), |row| {
        row.set(gpa, 9.0)?;
        if row.get(name) == "Abel" { Err(Error::abort("enough")) } else { Ok(()) }
    });
    assert!(failed.is_err());
    assert_eq!(students.select().filter(gpa.eq(9.0)).count()?, 0);
    db.transaction(|tx| {
        let inside = tx.table("students")?;
        assert!(inside.update_where(gpa.gt(0.0), &json!({"gpa": "x"})).is_err());
        assert!(inside.update_where(gpa.gt(100.0), &json!({"no_such": 1})).is_err());
        assert_eq!(inside.delete_where(gpa.lt(2.0))?, 1);
        Ok(())
    })?;
    assert_eq!(students.len()?, 4);
    Ok(())
}
