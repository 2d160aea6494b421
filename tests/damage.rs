//! Damage to a database on disk, met through the public face: every bit flipped, every length cut, blocks zeroed, swapped and
//! stale, files swapped, removed, emptied, renamed and doubled. What opens has the right data, what does not is a named
//! error that changed nothing, `verify_on` says the same beforehand, and `salvage_on` gives only what was once committed.
#![cfg(any(unix, windows))]

#[path = "damage/database.rs"]
mod database;
#[path = "common/directory.rs"]
mod directory;
#[path = "damage/log.rs"]
mod log;
#[path = "damage/versions.rs"]
mod versions;

use database::{Case, Left, State};
use directory::Directory;
use folio::storage::{FileEngine, Format, OpenReport};
use folio::testing::{Fault, FaultKind, Image, SimFiles};
use folio::{Database, Error, ErrorKind};
use log::{LIVE, Reading};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const BLOCK_BYTES: usize = 512;
const FLIPS_MIN: u64 = 131_072;
const CUTS_MIN: u64 = 16_384;
/// For an image: far above what any took on a machine with much else to do, far below what would not end.
const TIME_MAX: Duration = Duration::from_secs(100);
/// For the pages of a database of 16 KiB.
const PAGES_MAX: usize = 4 << 20;
/// For the whole process, with all its images.
#[cfg(target_os = "linux")]
const RESIDENT_KIB_MAX: u64 = 512 << 10;

/// A place in a file.
type Block = (usize, usize);

/// Files are named by their place in [`Case::names`].
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip {
        file: usize,
        bit: usize,
    },
    Cut {
        file: usize,
        length: usize,
    },
    Zeroed(Block),
    Swapped(Block, Block),
    /// As it was at an earlier time.
    StaleBlock(Block),
    Stale(usize),
    Removed(usize),
    Emptied(usize),
    Renamed(usize),
    Doubled(usize),
    FilesSwapped(usize, usize),
}

impl Damage {
    /// All damage to `case` that there is to try.
    fn all(case: &Case) -> Vec<Damage> {
        let (mut all, mut blocks) = (Vec::new(), Vec::new());
        for (file, name) in case.names.iter().enumerate() {
            let content = case.image.get(name).unwrap_or_default();
            // The objects are the same however the log was left: the second time one bit of each byte is enough of them.
            let is_seen = case.left == Left::Killed && !name.starts_with("wal/") && name != "manifest";
            let flips = (0..content.len() * 8).map(|bit| Damage::Flip { file, bit });
            let cuts = (0..content.len()).map(|length| Damage::Cut { file, length });
            all.extend(flips.chain(cuts).filter(|damage| !is_seen || damage.is_sampled()));
            blocks.extend((0..content.len()).step_by(BLOCK_BYTES).map(|at| (file, at)));
            all.extend([Damage::Removed(file), Damage::Emptied(file), Damage::Renamed(file), Damage::Doubled(file)]);
            all.extend((0..file).map(|other| Damage::FilesSwapped(file, other)));
            if case.earlier.get(name).is_some() {
                all.push(Damage::Stale(file));
            }
        }
        for (index, block) in blocks.iter().enumerate() {
            all.extend([Damage::Zeroed(*block), Damage::StaleBlock(*block)]);
            all.extend(blocks[..index].iter().map(|other| Damage::Swapped(*block, *other)));
        }
        all
    }

    /// The image with this damage.
    fn apply(self, case: &Case) -> Image {
        let (image, names) = (&case.image, &case.names);
        let content = |file: usize| image.get(&names[file]).unwrap_or_default().to_vec();
        let with = |file: usize, content| image.with(&names[file], Some(content));
        let range = |content: &[u8], at: usize| at..(at + BLOCK_BYTES).min(content.len());
        match self {
            Damage::Flip { file, bit } => {
                let mut content = content(file);
                content[bit / 8] ^= 1 << (bit % 8);
                with(file, content)
            }
            Damage::Cut { file, length } => with(file, content(file)[..length].to_vec()),
            Damage::Zeroed((file, at)) => {
                let mut content = content(file);
                let range = range(&content, at);
                content[range].fill(0);
                with(file, content)
            }
            Damage::Swapped((file, at), (other, from)) => {
                let (mut one, mut two) = (content(file), content(other));
                let length = range(&one, at).len().min(range(&two, from).len());
                let (a, b) = (one[at..at + length].to_vec(), two[from..from + length].to_vec());
                if file == other {
                    one[at..at + length].copy_from_slice(&b);
                    one[from..from + length].copy_from_slice(&a);
                    return with(file, one);
                }
                one[at..at + length].copy_from_slice(&b);
                two[from..from + length].copy_from_slice(&a);
                with(file, one).with(&names[other], Some(two))
            }
            Damage::StaleBlock((file, at)) => {
                let mut content = content(file);
                let range = range(&content, at);
                let stale = case.earlier.get(&names[file]).and_then(|earlier| earlier.get(at..)).unwrap_or_default();
                let length = stale.len().min(range.len());
                content[at..at + length].copy_from_slice(&stale[..length]);
                with(file, content)
            }
            Damage::Stale(file) => image.with(&names[file], case.earlier.get(&names[file]).map(<[u8]>::to_vec)),
            Damage::Removed(file) => image.with(&names[file], None),
            Damage::Emptied(file) => with(file, Vec::new()),
            Damage::Renamed(file) => {
                image.with(&names[file], None).with(&format!("{}.old", names[file]), Some(content(file)))
            }
            Damage::Doubled(file) => with(file, [content(file), content(file)].concat()),
            Damage::FilesSwapped(file, other) => with(file, content(other)).with(&names[other], Some(content(file))),
        }
    }

    /// One bit of each byte, each eighth length, and all that is not so many.
    fn is_sampled(self) -> bool {
        match self {
            Damage::Flip { bit, .. } => bit / 8 % 8 == bit % 8,
            Damage::Cut { length, .. } => length % 8 == 0,
            _ => true,
        }
    }

    /// Without a manifest nothing says whether an object's bytes are those that were written: what of them parses is salvaged.
    fn is_unchecked(self, case: &Case) -> bool {
        let is_manifest = |file: usize| case.names[file] == "manifest";
        matches!(self, Damage::Swapped((one, _), (other, _)) if one != other && (is_manifest(one) || is_manifest(other)))
    }

    /// Whether it is to bytes of the segment that was being written alone.
    fn is_of_live(self, case: &Case) -> bool {
        let is_live = |file: usize| case.names[file] == LIVE;
        match self {
            Damage::Flip { file, .. } | Damage::Cut { file, .. } => is_live(file),
            Damage::Zeroed((file, _)) | Damage::StaleBlock((file, _)) => is_live(file),
            Damage::Swapped((one, _), (other, _)) => is_live(one) && is_live(other),
            Damage::Stale(file) | Damage::Emptied(file) | Damage::Doubled(file) => is_live(file),
            Damage::Removed(_) | Damage::Renamed(_) | Damage::FilesSwapped(..) => false,
        }
    }
}

#[derive(Default)]
struct Tally {
    flips: AtomicU64,
    cuts: AtomicU64,
    others: AtomicU64,
    refused: AtomicU64,
    older: AtomicU64,
    salvaged: AtomicU64,
    /// Rows of salvaged databases.
    rows: AtomicU64,
    slowest_micros: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn is_named(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt || matches!(error, Error::NotADatabase { .. })
}

fn check(case: &Case, damage: Damage, tally: &Tally) {
    let start = Instant::now();
    let image = damage.apply(case);
    let files = SimFiles::mount(&image);
    let what = || format!("{damage:?} of {:?}, {:?} {:?}", case.names, case.format, case.left);
    let engine = || FileEngine::open_on(Arc::new(files.clone()), case.options);

    let verified = engine().and_then(|engine| Database::verify_on(Arc::new(engine)));
    if let Err(error) = &verified {
        assert!(is_named(error), "{}: verify: {error}", what());
    }
    // Salvaging reads all there is several times.
    if damage.is_sampled() {
        check_salvaged(case, damage, &files, tally, &what);
    }
    assert_eq!(files.operations(), 0, "{}: looking changed something", what());

    let builder = || Database::builder().checkpoint_bytes(None).memory_limit(PAGES_MAX);
    let opened = engine().and_then(|engine| builder().open_on(Arc::new(engine)));
    let reading = Reading::of(&image, case.format);
    match opened {
        Err(error) => {
            assert!(is_named(&error), "{}: {error}", what());
            assert_eq!(files.operations(), 0, "{}: an opening that fails changes nothing: {error}", what());
            let is_agreed = verified.as_ref().map_or(true, |damages| !damages.is_empty());
            assert!(is_agreed, "{}: verify has missed: {error}", what());
            // What nothing that can be read calls durable is left out, not refused.
            let is_lost = reading.is_none_or(|reading| reading.last < reading.durable);
            assert!(is_lost || !damage.is_of_live(case), "{}: {reading:?}, and {error}", what());
            add(&tally.refused, 1);
        }
        Ok(db) => {
            // Bytes that nothing names, such as filler, or objects that a later part took the place of, are not looked at.
            assert!(matches!(&verified, Ok(damages) if damages.is_empty()), "{}: {verified:?}", what());
            let opening = db.opening().expect("it was opened");
            let found = opening.version;
            assert_eq!(found, db.snapshot().version());
            // Never below what anything that can be read calls durable; and what is behind is reported.
            let reading = reading.unwrap_or_else(|| panic!("{}: opened without a header", what()));
            assert!(found == reading.last && found >= reading.durable, "{}: {reading:?}, {opening:?}", what());
            assert_eq!(matches!(opening.log, OpenReport::Clean), reading.is_clean, "{}: {opening:?}", what());
            assert!(found == case.last || case.left == Left::Killed, "{}: {opening:?}", what());
            let state = case.states.get(&found).unwrap_or_else(|| panic!("{}: version {found}", what()));
            assert_eq!(&State::of(&db.snapshot()), state, "{}: other data", what());
            add(&tally.older, u64::from(found < case.last));
        }
    }
    match damage {
        Damage::Flip { .. } => add(&tally.flips, 1),
        Damage::Cut { .. } => add(&tally.cuts, 1),
        _ => add(&tally.others, 1),
    }
    let elapsed = start.elapsed();
    assert!(elapsed < TIME_MAX, "{}: {elapsed:?}", what());
    tally.slowest_micros.fetch_max(elapsed.as_micros() as u64, Ordering::Relaxed);
}

fn check_salvaged(case: &Case, damage: Damage, files: &SimFiles, tally: &Tally, what: &dyn Fn() -> String) {
    match Database::salvage_on(Arc::new(files.clone())) {
        Err(error) => assert!(is_named(&error), "{}: salvage: {error}", what()),
        Ok(salvaged) => {
            let snapshot = salvaged.database.snapshot();
            let state = State::of(&snapshot);
            for row in state.rows() {
                assert!(
                    case.rows.contains(row) || damage.is_unchecked(case),
                    "{}: a row that never was: {row:?}",
                    what()
                );
            }
            if salvaged.lost.is_empty() {
                let version = snapshot.version();
                assert_eq!(Some(&state), case.states.get(&version), "{}: lost in silence", what());
                assert!(version == case.last || case.left == Left::Killed, "{}: {version}", what());
            }
            add(&tally.salvaged, 1);
            add(&tally.rows, state.rows().count() as u64);
        }
    }
}

/// Tries all damage to `case` on every core.
fn damage_everywhere(format: Format, left: Left) {
    let case = Case::new(format, left);
    let bytes: usize = case.names.iter().filter_map(|name| case.image.get(name)).map(<[u8]>::len).sum();
    let all = Damage::all(&case);
    let (next, tally) = (AtomicUsize::new(0), Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(damage) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(&case, *damage, &tally);
                }
            });
        }
    });
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (flips, cuts, others) = (get(&tally.flips), get(&tally.cuts), get(&tally.others));
    println!(
        "damage, {format:?} {left:?}: {bytes} bytes in {} files; {flips} flips, {cuts} cuts, {others} others: {} refused, {} \
         opened older; {} salvaged, {} rows a piece; slowest {} us",
        case.names.len(),
        get(&tally.refused),
        get(&tally.older),
        get(&tally.salvaged),
        get(&tally.rows) / get(&tally.salvaged).max(1),
        get(&tally.slowest_micros)
    );
    assert!(bytes >= 16 << 10 && (left == Left::Killed || flips >= FLIPS_MIN && cuts >= CUTS_MIN));
    assert!(case.left == Left::Closed || get(&tally.older) > 0, "the exceptions occur, or need not be stated");
    assert_memory();
}

fn assert_memory() {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("peak resident: {peak} KiB");
        assert!(peak < RESIDENT_KIB_MAX);
    }
}

/// The objects that the manifest names: file, and a place within.
fn objects(image: &Image) -> Vec<(String, usize)> {
    let body: serde_json::Value = serde_json::from_slice(&image.get("manifest").unwrap()[51..]).unwrap();
    let objects = body["objects"].as_array().unwrap().iter().map(|object| {
        let number = |field: &str| object[field].as_u64().unwrap() as usize;
        (object["file"].as_str().unwrap().to_owned(), number("offset") + number("length") / 2)
    });
    objects.collect()
}

#[test]
fn verify_names_damage_behind_damage() {
    for format in [Format::Binary, Format::JsonLines] {
        let case = Case::new(format, Left::Closed);
        let flip = |image: Image, file: &str, at: usize| {
            let mut content = image.get(file).unwrap().to_vec();
            content[at] ^= 1;
            image.with(file, Some(content))
        };
        let objects = objects(&case.image);
        let image = objects.iter().fold(case.image.clone(), |image, (file, at)| flip(image, file, *at));
        let engine = FileEngine::open_on(Arc::new(SimFiles::mount(&image)), case.options).unwrap();
        let damages = Database::verify_on(Arc::new(engine)).unwrap();
        for (place, (file, at)) in objects.iter().enumerate() {
            let is_named = |damage: &folio::storage::Damage| *damage.file == **file && damage.offset <= *at as u64;
            let named = damages.iter().filter(|damage| is_named(damage)).count();
            let before = objects[..=place].iter().filter(|(other, _)| other == file).count();
            assert!(named >= before, "{format:?}: {file} at {at}: {damages:?}");
        }
        // Without its log it cannot be opened, and what stands in the way is not all that is named.
        let parts = || objects.iter().filter(|(file, _)| file.starts_with("data/"));
        let image = parts().fold(flip(case.image.clone(), LIVE, 70), |image, (file, at)| flip(image, file, *at));
        let directory = Directory::new(&format!("damage-verify-{}", format.name()));
        for file in image.files() {
            let path = directory.0.join(&file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, image.get(&file).unwrap()).unwrap();
        }
        let damages = Database::verify_at(&directory).unwrap();
        for file in parts().map(|(file, _)| &**file).chain([LIVE]) {
            assert!(damages.iter().any(|damage| *damage.file == *file), "{format:?}: {file}: {damages:?}");
        }
    }
}

/// A device that reads nothing any more is damage to each file, and not one error instead of all that is known.
#[test]
fn what_cannot_be_read_is_listed_with_the_rest() {
    for format in [Format::Binary, Format::JsonLines] {
        let case = Case::new(format, Left::Closed);
        let files = SimFiles::mount(&case.image);
        let engine = FileEngine::open_on(Arc::new(files.clone()), case.options).unwrap();
        files.set_fault(Some(Fault { call: files.calls(), count: u64::MAX, kind: FaultKind::Error }));
        let damages = Database::verify_on(Arc::new(engine)).unwrap();
        for (file, _) in objects(&case.image) {
            assert!(damages.iter().any(|damage| *damage.file == *file), "{format:?}: {file}: {damages:?}");
        }
    }
}

#[test]
fn damage_to_a_closed_binary_database() {
    damage_everywhere(Format::Binary, Left::Closed);
}

#[test]
fn damage_to_a_killed_binary_database() {
    damage_everywhere(Format::Binary, Left::Killed);
}

#[test]
fn damage_to_a_closed_json_lines_database() {
    damage_everywhere(Format::JsonLines, Left::Closed);
}

#[test]
fn damage_to_a_killed_json_lines_database() {
    damage_everywhere(Format::JsonLines, Left::Killed);
}
