//! The fuzz targets of `fuzz/`, over their corpus and over mutations of it that are the same in every run.
//!
//! `FOLIO_FUZZ_MUTATIONS` is how many for each target. What fails is written to `target/tmp` and told. The seeds are made
//! by `cargo test --test fuzz_corpus -- --ignored`, which leaves other files of the corpus alone.

#[path = "common/random.rs"]
mod random;
#[path = "../fuzz/src/targets.rs"]
#[allow(unreachable_pub)] // it is public to the crate of the fuzzer
mod targets;

use folio::storage::{Format, MemoryEngine, MemoryStorage, StorageEngine};
use folio::{Database, Index, Result, Schema};
use random::Random;
use serde_json::json;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// For each target; together with the corpus above 10,000.
const MUTATIONS: u64 = 1_500;
const INPUTS_MIN: u64 = 10_000;
const INPUT_BYTES_MAX: usize = 1 << 14;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn feed(target: &str, run: targets::Target, input: &[u8], origin: &str) -> u64 {
    let taken = catch_unwind(AssertUnwindSafe(|| run(input)));
    taken.map(u64::from).unwrap_or_else(|panic| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}.input"));
        fs::write(&path, input).unwrap();
        println!("target {target} failed on {origin}: the input is in {}", path.display());
        std::panic::resume_unwind(panic)
    })
}

/// Changes an input a few times, in one of the ways that have found faults in readers before.
fn mutate(input: &mut Vec<u8>, others: &[(String, Vec<u8>)], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() as u64 + 1) as usize;
        let end = at + random.below((input.len() - at).min(64) as u64 + 1) as usize;
        match random.below(9) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.below(256) as u8,
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 => drop(input.splice(at..at, (0..random.below(8)).map(|_| random.below(256) as u8).collect::<Vec<_>>())),
            6 => {
                // The head of this one, the tail of another.
                let other = &others[random.below(others.len() as u64) as usize].1;
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() as u64 + 1) as usize..]);
            }
            7 => {
                // A number at the edge of a width.
                let number = [0, 1, 127, 128, 255, 65_535, 1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX];
                let bytes = number[random.below(10) as usize].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4) as usize];
                input.iter_mut().skip(at).zip(&bytes[..width]).for_each(|(old, new)| *old = *new);
            }
            _ => {
                // A digit, or a letter, of a text.
                let texts = input.iter_mut().skip(at).filter(|byte| byte.is_ascii_alphanumeric());
                texts.take(1).for_each(|byte| *byte = b"019ax"[random.below(5) as usize]);
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
}

#[test]
fn the_corpus_and_mutations_of_it_break_nothing() {
    let count = std::env::var("FOLIO_FUZZ_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    let mut inputs = 0;
    for (target, run) in targets::TARGETS {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{target} has no seeds");
        for (origin, input) in &corpus {
            feed(target, run, input, origin);
        }
        let mut taken = 0;
        for seed in 0..count {
            let mut random = Random(seed);
            let (origin, input) = &corpus[random.below(corpus.len() as u64) as usize];
            let mut input = input.clone();
            mutate(&mut input, &corpus, &mut random);
            taken += feed(target, run, &input, &format!("mutation {seed} of {origin}"));
        }
        println!("{target}: {} seeds, {count} mutations, of which {taken} were taken", corpus.len());
        // It comes far enough to find faults, and near enough to make them.
        assert!((count / 200..count).contains(&taken));
        inputs += corpus.len() as u64 + count;
    }
    assert!(inputs >= INPUTS_MIN || count < MUTATIONS, "{inputs} inputs");
}

fn save(target: &str, name: &str, content: &[u8]) {
    fs::create_dir_all(folder(target)).unwrap();
    fs::write(folder(target).join(name), content).unwrap();
}

fn prefixed(first: u8, content: &[u8]) -> Vec<u8> {
    [&[first], content].concat()
}

#[test]
#[ignore = "writes the seeds of the corpus"]
fn writes_the_seeds() {
    for (place, format) in [Format::Binary, Format::JsonLines].into_iter().enumerate() {
        let (place, name) = (place as u8, format.name());
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}-1"));
        let read = |path: &str| fs::read(golden.join(path)).unwrap();
        save("log", name, &prefixed(place, &read("wal/transaction.log")));
        let updates = golden.with_file_name(format!("{name}-1-updates")).join("wal/transaction.log");
        save("log", &format!("{name}-updates"), &prefixed(place, &fs::read(updates).unwrap()));
        let file = read("manifest");
        save("manifest", name, &prefixed(place, &file));
        save("manifest", &format!("{name}-body"), &prefixed(place | 2, &file[51..]));
        for table in ["types", "people", "%50airs%2f%ce%b2"] {
            save("schema", table, &read(&format!("schema/{table}.schema.json")));
        }
        for (at, edits) in edits().iter().enumerate() {
            save("directory", &format!("{name}-{at}"), &prefixed(place, edits));
        }
        stored_seeds(format).unwrap();
    }
    import_seeds().unwrap();
}

/// Exports of every form.
fn import_seeds() -> Result<()> {
    let db = Database::in_memory();
    targets::fill(&db)?;
    work(&db)?;
    let people = db.table("people")?;
    type Export<'a> = &'a dyn Fn(&mut Vec<u8>) -> Result<()>;
    let exports: [Export<'_>; 5] = [
        &|out| db.export_json(out).map(drop),
        &|out| db.export_json_lines(out).map(drop),
        &|out| people.export_json(out).map(drop),
        &|out| people.export_json_lines(out).map(drop),
        &|out| people.export_csv(out).map(drop),
    ];
    for (how, export) in (0..).zip(exports) {
        let mut out = vec![how];
        export(&mut out)?;
        save("import", &format!("stop-{how}"), &out);
        out[0] |= 8;
        save("import", &format!("skip-{how}"), &out);
    }
    Ok(())
}

/// Edits of a directory: none, each file gone, bytes behind each, bytes over each.
fn edits() -> Vec<Vec<u8>> {
    let gone = |file| vec![file, 3, 0, 0];
    let behind = |file| vec![file, 1, 3, 0, 1, 2, 3];
    let over = |file| vec![file, 2, 4, 0, 77, 0, 5, 6];
    let edits = (0..20).flat_map(|file| [gone(file), behind(file), over(file)]);
    std::iter::once(Vec::new()).chain(edits.step_by(5)).collect()
}

/// Parts and batches as a database writes them.
fn stored_seeds(format: Format) -> Result<()> {
    let (target, batches, place) = match format {
        Format::Binary => ("checkpoint", "batch", None),
        Format::JsonLines => ("json_lines", "json_lines", Some(2)),
    };
    let engine = Arc::new(MemoryEngine::open(&MemoryStorage::default(), format)?);
    let db = Database::builder().checkpoint_bytes(None).open_on(Arc::clone(&engine) as Arc<dyn StorageEngine>)?;
    targets::fill(&db)?;
    let first = db.checkpoint()? + 1;
    let objects = engine.manifest().map(|manifest| manifest.checkpoint.objects).unwrap_or_default();
    for (table, pair) in (0..).zip(objects.chunks(2)) {
        let part = engine.open_object(&pair[1])?.read_to_end()?;
        save(target, &format!("part-{}", pair[1].table()), &prefixed(table, &part));
    }
    work(&db)?;
    engine.read_from(first, &mut |batch| {
        let payload = place.map_or(batch.payload.to_vec(), |place| prefixed(place, batch.payload));
        save(batches, &format!("batch-{}", batch.first - first), &payload);
        Ok(())
    })
}

/// Changes of every kind.
fn work(db: &Database) -> Result<()> {
    let people = db.table("people")?;
    people.insert(&json!({ "name": "new", "email": "new", "score": -1.5, "photo": vec![1; 1_500] }))?;
    people.delete(3)?;
    people.update(4, &json!({ "name": "another", "notes": "text", "place": null }))?;
    db.transaction(|tx| {
        let people = tx.table("people")?;
        people.update(1, &json!({ "email": "aside" }))?;
        people.update(2, &json!({ "email": "e0" }))?;
        people.update(1, &json!({ "email": "e1" }))?;
        tx.table("pairs")?.upsert(&(-20, "b0", 9)).map(drop)
    })?;
    db.transaction(|tx| {
        tx.create_index("people", Index::ordered(["since"]))?;
        tx.drop_index("pairs", "pairs_by_n")
    })?;
    db.transaction(|tx| {
        tx.drop_table("pairs")?;
        let schema = Schema::builder("pairs").column(folio::Column::u64("n").primary_key().auto_increment()).build()?;
        tx.create_table(schema)?.insert(&(None::<u64>,)).map(drop)
    })?;
    people.clear()?;
    people.insert(&json!({ "name": "after" })).map(drop)
}
