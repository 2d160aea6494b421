//! A university: students, courses, and who is registered for what.
//!
//! ```sh
//! cargo run --release --example university
//! ```
//!
//! A few hundred invented rows, the same in every run; then queries, changes, every kind of constraint error, and
//! transactions with savepoints. What is printed is asserted too, so that this also is a test.

use folio::{
    Column, Database, Error, ErrorKind, Index, Predicate, Result, Row, Schema, Table, Timestamp, Transaction, count,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

const STUDENTS: u64 = 240;
const MAJORS: [&str; 5] = ["Biology", "Computing", "History", "Mathematics", "Music"];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Student {
    /// `None` in a new row: the table gives the number.
    id: Option<u64>,
    name: String,
    email: String,
    major: String,
    /// 1 to 4.
    year: u8,
    born: Timestamp,
    /// Null until the first grade.
    gpa: Option<f32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Course {
    code: String,
    title: String,
    department: String,
    credits: u8,
    seats: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Registration {
    student: u64,
    course: String,
    /// 0 to 4; null until the course is over.
    grade: Option<f32>,
}

/// The three tables. Handles are cheap to clone and good for the life of the database.
struct University {
    db: Database,
    students: Table,
    courses: Table,
    registrations: Table,
}

fn main() -> Result<()> {
    let university = University::create()?;
    university.seed()?;
    university.queries()?;
    university.updates_and_deletes()?;
    university.constraint_errors()?;
    university.transactions()?;
    university.savepoints()?;
    println!("\nAll of this was checked.");
    Ok(())
}

fn title(text: &str) {
    println!("\n{text}\n{}", "=".repeat(text.len()));
}

fn question(text: &str) {
    println!("\n{text}");
}

/// Where the invented data comes from: splitmix64, so that every run has the same rows.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

impl University {
    /// The schemas: constraints are the table's business, not that of each program that writes to it.
    fn create() -> Result<University> {
        let db = Database::in_memory();
        let students = db.create_table(
            Schema::builder("students")
                .column(Column::u64("id").primary_key().auto_increment())
                .column(Column::string("name").check("not blank", |name| !name.trim().is_empty()))
                .column(Column::string("email").unique().check("has an @", |email| email.contains('@')))
                .column(Column::string("major"))
                .column(Column::u8("year").default(1).check("1 to 4", |year| (1..=4).contains(year)))
                .column(Column::timestamp("born"))
                .column(Column::f32("gpa").nullable().check("0 to 4", |gpa| (0.0..=4.0).contains(gpa)))
                .index(Index::hash(["major"]))
                .index(Index::ordered(["gpa"]))
                .build()?,
        )?;
        let courses = db.create_table(
            Schema::builder("courses")
                .column(Column::string("code").primary_key())
                .column(Column::string("title"))
                .column(Column::string("department"))
                .column(Column::u8("credits").default(3))
                .column(Column::u16("seats"))
                .check("a course of many credits is small", |row| {
                    row.get::<u8>("credits") < Some(6) || row.get::<u16>("seats") <= Some(50)
                })
                .build()?,
        )?;
        let registrations = db.create_table(
            Schema::builder("registrations")
                .column(Column::u64("student"))
                .column(Column::string("course"))
                .column(Column::f32("grade").nullable().check("0 to 4", |grade| (0.0..=4.0).contains(grade)))
                // Of several columns: a student is registered for a course once.
                .primary_key(["student", "course"])
                .index(Index::hash(["student"]))
                .index(Index::hash(["course"]))
                .build()?,
        )?;
        title("The tables");
        for table in [&students, &courses, &registrations] {
            println!("{}", table.schema()?);
        }
        Ok(University { db, students, courses, registrations })
    }

    /// Invents rows. Everything is one transaction: nobody could see half of it.
    fn seed(&self) -> Result<()> {
        const FIRST: [&str; 12] =
            ["Ada", "Ben", "Cora", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jon", "Kira", "Leo"];
        const LAST: [&str; 10] = ["Ash", "Birch", "Cedar", "Dale", "Elm", "Field", "Grove", "Hill", "Isle", "Lake"];
        const LEVELS: [&str; 4] = ["Introduction to", "Methods of", "Topics in", "Seminar on"];

        let mut dice = Dice(2026);
        self.db.transaction(|tx| {
            let (students, courses, registrations) =
                (tx.table("students")?, tx.table("courses")?, tx.table("registrations")?);
            for department in MAJORS {
                for (level, name) in LEVELS.iter().enumerate() {
                    courses.insert(&Course {
                        code: format!("{}{}01", &department[..3].to_uppercase(), level + 1),
                        title: format!("{name} {department}"),
                        department: department.to_owned(),
                        credits: 3 + level as u8,
                        seats: if level == 3 { 40 } else { 60 },
                    })?;
                }
            }
            let codes: Vec<String> = courses.select().columns(["code"]).fetch()?;

            students.insert_many((1..=STUDENTS).map(|number| {
                let (first, last) = (dice.one_of(&FIRST), dice.one_of(&LAST));
                // Born on some day of the years 2003 to 2006.
                let born = 1_041_379_200 + 86_400 * dice.below(4 * 365) as i64;
                Student {
                    id: None,
                    name: format!("{first} {last}"),
                    email: format!("{}.{}{number}@example.edu", first.to_lowercase(), last.to_lowercase()),
                    major: dice.one_of(&MAJORS).to_owned(),
                    year: 1 + dice.below(4) as u8,
                    born: Timestamp::from_micros(born * 1_000_000),
                    gpa: None,
                }
            }))?;

            for student in 1..=STUDENTS {
                // Some register for nothing at all.
                let chosen: HashSet<usize> = (0..dice.below(6)).map(|_| dice.below(codes.len())).collect();
                let mut chosen: Vec<usize> = chosen.into_iter().collect();
                chosen.sort_unstable();
                for course in chosen {
                    let grade = (dice.below(4) > 0).then(|| dice.below(41) as f32 / 10.0);
                    registrations.insert(&Registration { student, course: codes[course].clone(), grade })?;
                }
            }
            set_gpas(tx)
        })?;

        title("What there is");
        let stats = self.db.stats();
        for table in &stats.tables {
            println!("{:<14} {:>4} rows, {:>6} bytes", table.name, table.rows, table.row_bytes + table.index_bytes);
        }
        assert_eq!((self.students.len()?, self.courses.len()?), (STUDENTS, 20));
        assert!((400..900).contains(&self.registrations.len()?));
        Ok(())
    }

    fn queries(&self) -> Result<()> {
        let University { students, courses, registrations, .. } = self;
        let (id, name) = (students.column::<u64>("id")?, students.column::<str>("name")?);
        let (major, year) = (students.column::<str>("major")?, students.column::<u8>("year")?);
        let (gpa, born) = (students.column::<Option<f32>>("gpa")?, students.column::<Timestamp>("born")?);
        let (code, credits) = (courses.column::<str>("code")?, courses.column::<u8>("credits")?);
        let course_title = courses.column::<str>("title")?;
        let (student, course) = (registrations.column::<u64>("student")?, registrations.column::<str>("course")?);
        let grade = registrations.column::<Option<f32>>("grade")?;
        let title_of = |code: &str| -> Result<String> {
            Ok(courses.get_with(code, |row| row.get(course_title).to_owned())?.unwrap_or_else(|| "?".into()))
        };

        title("Questions");

        question("1. The five best students (top-k, from the index on gpa)");
        let best = students.select().order_by((gpa.desc(), name.asc())).limit(5).pick((name, major, gpa))?;
        for (name, major, gpa) in &best {
            println!("   {name:<12} {major:<12} {:.2}", gpa.unwrap_or_default());
        }
        assert_eq!(best.len(), 5);
        assert!(best.is_sorted_by(|a, b| a.2 >= b.2), "from the best down");
        assert_eq!(best[0].2, students.select().max(gpa)?);

        question(
            "2. Music students in their third or fourth year whose name begins with A to D (closure and predicates)",
        );
        let found: Vec<Student> = students
            .select()
            .filter(major.eq("Music") & year.between(3..=4))
            .filter(|row: &Row| matches!(row.get(name).as_bytes().first(), Some(b'A'..=b'D')))
            .order_by(name)
            .fetch()?;
        found.iter().for_each(|student| println!("   {:<12} year {}", student.name, student.year));
        assert!(found.iter().all(|student| student.major == "Music" && student.year >= 3));

        question("3. Students by major: how many, mean and best gpa (one pass)");
        let by_major = students.select().group_by(major).aggregate((count(), gpa.avg(), gpa.max()))?;
        for (major, (count, mean, best)) in &by_major {
            println!("   {major:<12} {count:>3}  {:.2}  {:.2}", mean.unwrap_or_default(), best.unwrap_or_default());
        }
        assert_eq!(by_major.iter().map(|(_, (count, ..))| count).sum::<u64>(), STUDENTS);
        assert!(by_major.is_sorted_by_key(|(major, _)| major), "groups come in the order of their keys");

        question("4. Students by major and year");
        let by_both = students.select().group_by((major, year)).count()?;
        for major in MAJORS {
            let counts = by_both.iter().filter(|((of, _), _)| of == major);
            let counts: Vec<String> = counts.map(|((_, year), count)| format!("year {year}: {count:>2}")).collect();
            println!("   {major:<12} {}", counts.join("  "));
        }
        assert_eq!(by_both.len(), 20);

        question("5. The most popular courses, with their titles (group, then look up)");
        let mut popular = registrations.select().group_by(course).count()?;
        popular.sort_by_key(|(code, count)| (Reverse(*count), code.clone()));
        for (code, count) in popular.iter().take(3) {
            println!("   {count:>3}  {code}  {}", title_of(code)?);
        }
        assert_eq!(popular.iter().map(|(_, count)| count).sum::<u64>(), registrations.len()?);

        question("6. The hardest courses: mean grade, where at least ten have one");
        let graded = registrations.select().filter(grade.is_not_null());
        let mut hardest = graded.group_by(course).aggregate((count(), grade.avg()))?;
        hardest.retain(|(_, (count, _))| *count >= 10);
        hardest.sort_by(|(_, (_, a)), (_, (_, b))| a.unwrap_or_default().total_cmp(&b.unwrap_or_default()));
        for (code, (count, mean)) in hardest.iter().take(3) {
            println!("   {:.2} of {count:>2}  {}", mean.unwrap_or_default(), title_of(code)?);
        }

        question("7. The transcript of student 24 (registrations by the index, titles and credits by key)");
        let transcript = registrations.select().filter(student.eq(24)).order_by(course).pick((course, grade))?;
        for (code, grade) in &transcript {
            let of_course =
                courses.get_with(code.as_str(), |row| format!("{} ({})", row.get(course_title), row.get(credits)))?;
            let grade = grade.map_or("-".to_owned(), |grade| format!("{grade:.1}"));
            println!("   {grade:>3}  {}", of_course.expect("registrations are for courses that exist"));
        }
        assert!(!transcript.is_empty());

        question("8. Who carries most credits (join by look-up, then fold)");
        let credits_of: HashMap<String, u8> = courses.select().pick((code, credits))?.into_iter().collect();
        let mut loads = registrations.select().group_by(student).fold(0_u32, |sum, row| {
            *sum += credits_of.get(row.get(course)).copied().map_or(0, u32::from);
        })?;
        loads.sort_by_key(|&(student, credits)| (Reverse(credits), student));
        let names = students.get_many(loads.iter().take(3).map(|(student, _)| *student))?;
        for (row, (_, credits)) in names.iter().zip(&loads) {
            println!("   {credits:>2}  {}", row.as_ref().map_or("?", |row| row.get(name)));
        }
        drop(names);

        question("9. Students who are registered for nothing (anti-join)");
        let registered: HashSet<u64> = registrations.select().distinct().pick(student)?.into_iter().collect();
        let idle = students.select().filter(|row: &Row| !registered.contains(&row.get(id))).count()?;
        println!("   {idle} of {STUDENTS}");
        assert_eq!(idle + registered.len() as u64, STUDENTS);

        question("10. Students in both of two courses (intersection of two index look-ups)");
        let of = |code: &str| -> Result<HashSet<u64>> {
            Ok(registrations.select().filter(course.eq(code)).pick(student)?.into_iter().collect())
        };
        let both: HashSet<u64> = of("COM101")?.intersection(&of("MAT101")?).copied().collect();
        println!("   {} take both COM101 and MAT101", both.len());
        for student in &both {
            assert!(registrations.contains((*student, "COM101"))? && registrations.contains((*student, "MAT101"))?);
        }

        question("11. Which years there are (distinct), and the first names in use");
        let mut years = students.select().distinct().pick(year)?;
        years.sort_unstable();
        let first_names: HashSet<String> = students
            .select()
            .map(|row| row.get(name).split(' ').next().unwrap_or_default().to_owned())?
            .into_iter()
            .collect();
        println!("   years {years:?}; {} first names", first_names.len());
        assert_eq!((years.as_slice(), first_names.len()), ([1, 2, 3, 4].as_slice(), 12));

        question("12. The second page of ten, by name (order, offset, limit)");
        let page = students.select().order_by((name, id)).offset(10).limit(10).pick(name)?;
        println!("   {} .. {}", page[0], page[9]);
        assert_eq!(page, students.select().order_by((name, id)).pick(name)?[10..20]);

        question("13. Born in the summer of 2004, or no grade yet (ranges of time, null, or)");
        let summer = born.between("2004-06-01T00:00:00Z".."2004-09-01T00:00:00Z");
        let (young, either) = (
            students.select().filter(born.between("2004-06-01T00:00:00Z".."2004-09-01T00:00:00Z")).count()?,
            students.select().filter(summer | gpa.is_null()).count()?,
        );
        println!("   {young} born then, {either} with those without grade");
        assert!(young > 0 && either >= young);

        question("14. One student by e-mail (unique), one registration by its key of two columns");
        let by_place = students.nth(23)?.expect("there are 240");
        let email: String = by_place.decode::<Student>()?.email;
        let found = students.find("email", &email)?.expect("it was just read");
        println!("   {email} is {}", found.get(name));
        assert_eq!((found.get(id), by_place.id()), (24, 24));
        assert!(registrations.contains((24, transcript[0].0.as_str()))?);

        question("15. A closure in a predicate: no grade yet, or a name of nine letters");
        let nine = Predicate::from_fn(|row| row.get(name).len() == 9);
        println!("   {} students", students.select().filter(gpa.is_null() | nine).count()?);
        Ok(())
    }

    fn updates_and_deletes(&self) -> Result<()> {
        let University { students, courses, registrations, .. } = self;
        let (major, year) = (students.column::<str>("major")?, students.column::<u8>("year")?);
        let grade = registrations.column::<Option<f32>>("grade")?;
        let seats = courses.column::<u16>("seats")?;
        title("Changes");

        students.update(1, &json!({ "major": "Music" }))?;
        assert_eq!(students.get_with(1, |row| row.get(major).to_owned())?.as_deref(), Some("Music"));
        println!("student 1 now studies Music");

        let seats_now = courses.modify("COM401", |row| {
            let more = row.get(seats) + 5;
            row.set(seats, more)?;
            Ok(more)
        })?;
        println!("COM401 has {seats_now} seats");
        assert_eq!(seats_now, 45);

        let first_years = students.select().filter(year.eq(1)).count()?;
        let moved = students.update_where(year.eq(1), &json!({ "year": 2 }))?;
        println!("{moved} first-year students moved up");
        assert_eq!((moved, students.select().filter(year.eq(1)).exists()?), (first_years, false));

        let curved = registrations.modify_where(grade.lt(1.0), |row| {
            let raised = row.get(grade).map(|grade| grade + 0.5);
            row.set(grade, raised)
        })?;
        println!("{curved} low grades were raised");
        assert!(registrations.select().min(grade)? >= Some(0.5));

        // `upsert` replaces the row with that key, or stores a new one; `replace` wants it to be there.
        let courses_before = courses.len()?;
        let course = |title: &str| json!({ "code": "MUS501", "title": title, "department": "Music", "seats": 12 });
        courses.upsert(&course("Choir"))?;
        courses.upsert(&course("Great Choir"))?;
        courses.replace(&course("Chamber Choir"))?;
        let stored: Course = courses.get("MUS501")?.expect("just stored").decode()?;
        let Course { code, title, department, credits, .. } = &stored;
        println!("{code} is {title} of {department}, for {credits} credits by default");
        assert_eq!((title.as_str(), *credits, stored.seats), ("Chamber Choir", 3, 12));
        assert_eq!(courses.len()?, courses_before + 1);

        assert!(courses.delete("MUS501")?);
        assert!(!courses.delete("MUS501")?, "there is nothing left to delete");

        // Whoever leaves takes the registrations along; both happen or neither.
        let student = registrations.column::<u64>("student")?;
        let gone = self.db.transaction(|tx| {
            tx.table("students")?.delete(24)?;
            tx.table("registrations")?.delete_where(student.eq(24))
        })?;
        println!("student 24 left, and with them {gone} registrations");
        assert!(gone > 0 && students.get(24)?.is_none());
        assert!(!registrations.select().filter(student.eq(24)).exists()?);

        // A number that was given is never given again.
        let new = students.insert(&json!({
            "name": "New Comer", "email": "new@example.edu", "major": "History", "born": "2007-01-02T00:00:00Z",
        }))?;
        println!("a new student is number {new}");
        assert_eq!(new, STUDENTS + 1);
        Ok(())
    }

    /// Each mistake is refused by name, and leaves everything as it was.
    fn constraint_errors(&self) -> Result<()> {
        let University { db, students, courses, registrations } = self;
        title("Refused");
        let before = db.snapshot();
        let registration: Registration = registrations.nth(0)?.expect("there are some").decode()?;
        let born = "2005-05-05T00:00:00Z";
        let student = |name: &str, email: &str| json!({ "name": name, "email": email, "major": "Music", "born": born });

        let refusals = [
            ("unique-violation", students.insert(&student("Twin", "new@example.edu")).map(drop)),
            ("unique-violation", registrations.insert(&registration).map(drop)),
            ("check-violation", students.insert(&student("  ", "blank@example.edu")).map(drop)),
            ("check-violation", students.update(1, &json!({ "gpa": 4.5 }))),
            ("check-violation", courses.update("COM401", &json!({ "credits": 9, "seats": 200 }))),
            ("null-not-allowed", students.update(1, &json!({ "name": null }))),
            ("missing-field", students.insert(&json!({ "name": "Nobody", "major": "Music" })).map(drop)),
            ("unknown-field", students.update(1, &json!({ "majr": "Music" }))),
            ("wrong-type", students.update(1, &json!({ "year": "third" }))),
            ("out-of-range", students.update(1, &json!({ "year": 300 }))),
            ("invalid-value", students.update(1, &json!({ "born": "yesterday" }))),
            ("wrong-arity", registrations.insert(&(1, "COM101")).map(drop)),
            ("no-such-row", students.update(9_999, &json!({ "year": 3 }))),
            ("no-such-row", registrations.modify((1, "NONE"), |_| Ok(()))),
            ("invalid-key", registrations.delete(1).map(drop)),
            ("no-such-table", db.table("student").map(drop)),
            ("no-such-column", students.column::<str>("emial").map(drop)),
            ("wrong-handle", students.column::<f64>("gpa").map(drop)),
            // A batch names the row that is at fault; none of it is stored.
            (
                "check-violation",
                students.insert_many([student("Fine", "a@example.edu"), student("Bad", "b")]).map(drop),
            ),
            // A write inside a write would wait for itself for ever.
            ("reentrant-write", db.transaction(|_| students.delete(1)).map(drop)),
        ];
        for (code, refusal) in refusals {
            let error = refusal.expect_err(code);
            println!("{:<17} {error}", error.code());
            assert_eq!(error.code(), code);
        }

        // A schema is judged as a whole: all that is wrong with it, not only the first thing.
        let schema = Schema::builder("rooms")
            .column(Column::string("name").auto_increment())
            .column(Column::u16("name"))
            .column(Column::u16("seats").default(-1))
            .index(Index::ordered(["floor"]))
            .build();
        let error = schema.expect_err("four mistakes");
        println!("{:<17} {error}", error.code());
        assert!(matches!(&error, Error::InvalidSchema { problems, .. } if problems.len() >= 4));
        assert_eq!(error.kind(), ErrorKind::Schema);

        assert!(before.diff(&db.snapshot())?.is_empty(), "nothing of this left a trace");
        Ok(())
    }

    fn transactions(&self) -> Result<()> {
        let University { db, courses, registrations, .. } = self;
        title("Transactions");
        let (course, grade) = (registrations.column::<str>("course")?, registrations.column::<Option<f32>>("grade")?);

        // Changing courses: out of one and into another, or nothing. The other one is full.
        let taken = registrations.select().filter(course.eq("MUS401")).count()?;
        courses.update("MUS401", &json!({ "seats": taken }))?;
        let ungraded = registrations.select().filter(grade.is_null() & course.ne("MUS401")).first::<Registration>()?;
        let Registration { student, course: from, .. } = ungraded.expect("some have no grade yet");
        let moved = db.transaction(|tx| {
            tx.table("registrations")?.delete((student, from.as_str()))?;
            register(tx, student, "MUS401")
        });
        let error = moved.expect_err("no seat");
        println!("student {student} cannot go from {from} to MUS401: {error}");
        assert_eq!(error.kind(), ErrorKind::Aborted);
        assert!(registrations.contains((student, from.as_str()))?, "the delete was rolled back too");

        // A transaction reads its own writes; everybody else reads the version before, and waits for nobody.
        let all = registrations.len()?;
        db.transaction(|tx| {
            let inside = tx.table("registrations")?;
            inside.clear()?;
            println!("inside {} registrations, outside still {}", inside.len()?, registrations.len()?);
            assert_eq!((inside.len()?, registrations.len()?), (0, all));
            Err::<(), _>(Error::abort("only to show it"))
        })
        .expect_err("aborted");
        assert_eq!(registrations.len()?, all);

        // Schema changes belong to it as well.
        let undone = db.transaction(|tx| {
            tx.create_table(Schema::builder("rooms").column(Column::string("name").primary_key()).build()?)?;
            tx.drop_table("courses")?;
            Err::<(), _>(Error::abort("keep the courses"))
        });
        println!("tables after a rolled-back change of them: {:?} ({})", db.table_names(), undone.unwrap_err());
        assert_eq!(db.table_names(), ["courses", "registrations", "students"]);
        Ok(())
    }

    /// A new student's wishes, each in a savepoint: what fails is undone alone, the rest stays.
    fn savepoints(&self) -> Result<()> {
        title("Savepoints");
        let wishes = ["COM101", "MUS401", "NONE", "MAT101", "COM101", "HIS301"];
        let granted = self.db.transaction(|tx| {
            let student = tx.table("students")?.insert(&json!({
                "name": "Late Comer", "email": "late@example.edu", "major": "Computing", "born": "2006-07-08T00:00:00Z",
            }))?;
            let mut granted = Vec::new();
            for course in wishes {
                match tx.savepoint(|tx| register(tx, student, course)) {
                    Ok(()) => granted.push(course),
                    Err(error) => println!("{course}: {error}"),
                }
            }
            // They nest: the inner one is kept by itself, and goes with the outer one.
            let outer = tx.savepoint(|tx| {
                tx.savepoint(|tx| register(tx, student, "BIO101"))?;
                assert!(tx.table("registrations")?.contains((student, "BIO101"))?);
                Err::<(), _>(Error::abort("changed their mind"))
            });
            println!("BIO101: {}", outer.unwrap_err());
            Ok(granted)
        })?;
        println!("granted: {granted:?}");
        assert_eq!(granted, ["COM101", "MAT101", "HIS301"]);

        let late = self.students.find("email", "late@example.edu")?.expect("committed").id();
        let student = self.registrations.column::<u64>("student")?;
        let course = self.registrations.column::<str>("course")?;
        let stored = self.registrations.select().filter(student.eq(late)).order_by(course).pick(course)?;
        assert_eq!(stored, ["COM101", "HIS301", "MAT101"]);
        Ok(())
    }
}

/// Registers a student for a course, if the course exists and has a seat left.
fn register(tx: &Transaction<'_>, student: u64, code: &str) -> Result<()> {
    let (courses, registrations) = (tx.table("courses")?, tx.table("registrations")?);
    let seats = courses.column::<u16>("seats")?;
    let course = registrations.column::<str>("course")?;
    let Some(seats) = courses.get_with(code, |row| u64::from(row.get(seats)))? else {
        return Err(Error::abort(format!("there is no course {code}")));
    };
    let taken = registrations.select().filter(course.eq(code)).count()?;
    if taken >= seats {
        return Err(Error::abort(format!("{code} is full: {taken} of {seats} seats are taken")));
    }
    registrations.insert(&json!({ "student": student, "course": code })).map(drop)
}

/// Gives each student the mean of their grades, weighted by credits.
fn set_gpas(tx: &Transaction<'_>) -> Result<()> {
    let (students, courses, registrations) = (tx.table("students")?, tx.table("courses")?, tx.table("registrations")?);
    let (code, credits) = (courses.column::<str>("code")?, courses.column::<u8>("credits")?);
    let credits_of: BTreeMap<String, u8> = courses.select().pick((code, credits))?.into_iter().collect();
    let (student, course) = (registrations.column::<u64>("student")?, registrations.column::<str>("course")?);
    let grade = registrations.column::<Option<f32>>("grade")?;
    let gpa = students.column::<Option<f32>>("gpa")?;

    let sums = registrations.select().filter(grade.is_not_null()).group_by(student).fold((0.0, 0.0), |sum, row| {
        let credits = credits_of.get(row.get(course)).copied().map_or(0.0, f32::from);
        sum.0 += credits * row.get(grade).unwrap_or_default();
        sum.1 += credits;
    })?;
    for (student, (points, credits)) in sums {
        students.modify(student, |row| row.set(gpa, points / credits))?;
    }
    Ok(())
}
