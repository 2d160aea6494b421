//! Queries: which rows `distinct` keeps.

use folio::{Column, Database, Result, Schema, Table, count};

fn table(db: &Database, schema: folio::SchemaBuilder) -> Table {
    db.create_table(schema.build().unwrap()).unwrap()
}

/// Rows are equal in all columns, which they never are with a key, or in those of `columns`: not in what is aggregated.
#[test]
fn distinct_goes_before_aggregates_and_groups() -> Result<()> {
    let db = Database::in_memory();
    let schema = Schema::builder("people").column(Column::u64("id").primary_key()).column(Column::string("country"));
    let people = table(&db, schema.column(Column::i64("score")));
    people.insert_many([(1, "A", 5), (2, "A", 5), (3, "B", 5)])?;
    let (id, score) = (people.column::<u64>("id")?, people.column::<i64>("score")?);
    let distinct = || people.select().distinct();
    let by_country = || people.select().columns(["country"]).distinct();
    assert_eq!((distinct().sum(score)?, by_country().sum(score)?), (15, 10));
    assert_eq!((distinct().avg(score)?, by_country().order_by(id.desc()).min(id)?), (Some(5.0), Some(2)));
    assert_eq!((distinct().max(id)?, by_country().max(id)?), (Some(3), Some(3)));
    assert_eq!((distinct().count()?, by_country().count()?), (3, 2));
    assert_eq!(distinct().group_by(score).count()?, [(5, 3)]);
    assert_eq!(by_country().group_by(score).count()?, [(5, 2)]);
    assert_eq!(by_country().group_by(score).aggregate((count(), score.sum(), id.max()))?, [(5, (2, 10, 3))]);
    assert_eq!(by_country().group_by(score).fold(0, |sum, row| *sum += row.get(id))?, [(5, 1 + 3)]);
    // What is picked or read comes before what an aggregate looks at.
    assert_eq!((distinct().pick(score)?, by_country().fetch::<String>()?), (vec![5], vec!["A".into(), "B".into()]));

    let schema = Schema::builder("scores").column(Column::u64("id").primary_key());
    let scores = table(&db, schema.column(Column::i64("score")));
    scores.insert_many([(1, 1), (2, 1), (3, 2)])?;
    let score = scores.column::<i64>("score")?;
    assert_eq!(scores.select().distinct().limit(2).max(score)?, Some(1));
    assert_eq!(scores.select().columns([score]).distinct().limit(2).max(score)?, Some(2));
    assert_eq!(scores.select().columns([score]).distinct().offset(1).sum(score)?, 2);
    Ok(())
}
