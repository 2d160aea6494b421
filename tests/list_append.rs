//! Isolation from outside: processes append to lists and read them, on threads, and a judge that knows nothing of
//! versions finds out whether that could have happened one transaction after the other, in the order of the clock.
//!
//! The soak: `FOLIO_HISTORIES=10000 cargo test --release --test list_append -- --nocapture`. One history again, as far
//! as threads can be had again: `FOLIO_SEED=<seed> cargo test --test list_append -- --nocapture`.

#[path = "list_append/checker.rs"]
mod checker;
#[path = "common/ending.rs"]
mod ending;
#[path = "list_append/history.rs"]
mod history;
#[path = "list_append/lists.rs"]
mod lists;
#[path = "list_append/processes.rs"]
mod processes;
#[path = "common/random.rs"]
mod random;

use checker::{Anomaly, Kind, check};
use history::{Outcome, Recorded, Step};
use processes::{Plant, Process, World};
use random::Random;
use std::thread;

/// What the normal run does at least.
const HISTORIES: u64 = 100;
const TRANSACTIONS_MIN: u64 = 200_000;
const TRANSACTIONS_PER_HISTORY: u64 = 2_400;

/// Lets threads fight over a few lists and gathers what they saw.
fn run(seed: u64, transactions: u64, plant: Plant) -> Vec<Recorded> {
    let mut random = Random(seed);
    let thread_count = 2 + random.below(7);
    // Of one list alone, some misuses would be others.
    let list_count = if plant == Plant::None { 1 + random.below(8) } else { 4 };
    let world = World::new(list_count, plant);
    let mut history = thread::scope(|scope| {
        let run = |seed| Process::new(&world, seed).run(transactions / thread_count);
        let seeds: Vec<u64> = (0..thread_count).map(|_| random.below(u64::MAX)).collect();
        let threads: Vec<_> = seeds.into_iter().map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    history.push(world.read_all());
    history
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[test]
fn transactions_are_strictly_serializable() {
    let seeds = match setting("FOLIO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + setting("FOLIO_HISTORIES").unwrap_or(HISTORIES),
    };
    let histories = seeds.end - seeds.start;
    let (mut transactions, mut reads, mut elements) = (0, 0, 0);
    for seed in seeds {
        let history = run(seed, TRANSACTIONS_PER_HISTORY, Plant::None);
        let anomalies = check(&history);
        let listed: Vec<String> = anomalies.iter().take(5).map(Anomaly::to_string).collect();
        assert!(anomalies.is_empty(), "FOLIO_SEED={seed}: {} anomalies\n{}", anomalies.len(), listed.join("\n"));
        // Those that were rolled back are there twice, once for what they read.
        let committed = history.iter().filter(|recorded| recorded.outcome == Outcome::Committed);
        transactions += committed.count() as u64;
        for list in history.iter().flat_map(|recorded| &recorded.steps) {
            let Step::Read(_, list) = list else { continue };
            reads += 1;
            elements += list.len();
        }
    }
    println!("transactions: {transactions} in {histories} histories, {reads} reads of {elements} elements");
    assert!(histories < HISTORIES || transactions >= TRANSACTIONS_MIN);
}

/// Every misuse is seen in every history, under its name.
#[test]
fn planted_anomalies_are_found() {
    let plants = [
        (Plant::TwoVersions, Kind::GSingle),
        (Plant::LostUpdate, Kind::GSingle),
        (Plant::WriteSkew, Kind::G2),
        (Plant::Halves, Kind::G1b),
        (Plant::Resurrected, Kind::G1a),
        (Plant::Forgotten, Kind::GSingle),
        (Plant::Stale, Kind::GSingle),
    ];
    for (plant, kind) in plants {
        for seed in 1..=10 {
            let anomalies = check(&run(seed, 400, plant));
            let named = anomalies.iter().any(|anomaly| {
                anomaly.kind == kind && (anomaly.real_time || !matches!(plant, Plant::Stale | Plant::Forgotten))
            });
            let found: Vec<_> = anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.real_time)).collect();
            assert!(named, "{plant:?} with seed {seed} is no {kind:?}: {found:?}");
        }
    }
}

/// One element that a history of the database itself did not have, or had elsewhere, is missed by its reader.
#[test]
fn a_history_changed_in_one_place_is_noticed() {
    let history = run(7, 2_000, Plant::None);
    assert!(check(&history).is_empty());
    let mut random = Random(11);
    let mut tried = 0;
    while tried < 300 {
        let mut changed = history.clone();
        let place = random.below(changed.len() as u64 - 1) as usize;
        let steps = &mut changed[place].steps;
        let Some(at) = steps.iter().position(|step| matches!(step, Step::Read(_, list) if list.len() > 1)) else {
            continue;
        };
        let Step::Read(_, list) = &mut steps[at] else { continue };
        match random.below(3) {
            0 => drop(list.remove(0)),
            1 => list.swap(0, 1),
            _ => list.push(u64::MAX),
        }
        let kinds: Vec<Kind> = check(&changed).iter().map(|anomaly| anomaly.kind).collect();
        let expected = [Kind::IncompatibleOrder, Kind::Garbage, Kind::Internal];
        assert!(kinds.iter().any(|kind| expected.contains(kind)), "{kinds:?} for T{place}");
        tried += 1;
    }
}

/// Histories by hand, the smallest that show each anomaly.
mod by_hand {
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;

    fn at(start: u64, stop: u64, steps: impl IntoIterator<Item = Step>) -> Recorded {
        Recorded { start, stop, outcome: Outcome::Committed, steps: steps.into_iter().collect() }
    }

    /// All at once: the clock says nothing.
    fn overlapping(steps: impl IntoIterator<Item = Step>) -> Recorded {
        at(0, 100, steps)
    }

    fn aborted(steps: impl IntoIterator<Item = Step>) -> Recorded {
        Recorded { outcome: Outcome::Aborted, ..overlapping(steps) }
    }

    fn append(key: u64, element: u64) -> Step {
        Step::Append(key, element)
    }

    fn read<const N: usize>(key: u64, list: [u64; N]) -> Step {
        Step::Read(key, list.to_vec())
    }

    #[track_caller]
    fn is(history: &[Recorded], expected: &[Kind]) {
        let anomalies = check(history);
        let kinds: Vec<Kind> = anomalies.iter().map(|anomaly| anomaly.kind).collect();
        let listed: Vec<String> = anomalies.iter().map(Anomaly::to_string).collect();
        assert_eq!(kinds, expected, "{}", listed.join("\n"));
    }

    #[test]
    fn what_can_be_put_in_an_order_is_right() {
        is(&[], &[]);
        let writer = overlapping([append(A, 1), read(A, [1]), append(A, 2), append(B, 3)]);
        is(
            &[writer.clone(), overlapping([read(A, []), read(B, [])]), overlapping([read(A, [1, 2]), read(B, [3])])],
            &[],
        );
        is(&[writer, aborted([append(A, 9)]), overlapping([read(B, [3]), append(B, 4), read(B, [3, 4])])], &[]);
        // A write that nobody has read yet is behind those that were read.
        is(&[overlapping([append(A, 1)]), overlapping([append(A, 2)]), overlapping([read(A, [1])])], &[]);
    }

    #[test]
    fn g0_dirty_write() {
        let writers = [overlapping([append(A, 1), append(B, 3)]), overlapping([append(A, 2), append(B, 4)])];
        let reads = [overlapping([read(A, [1, 2])]), overlapping([read(B, [4, 3])])];
        is(&[writers, reads].concat(), &[Kind::G0]);
    }

    #[test]
    fn g1a_aborted_read() {
        is(&[aborted([append(A, 1)]), overlapping([read(A, [1])])], &[Kind::G1a]);
    }

    #[test]
    fn g1b_intermediate_read() {
        let writer = overlapping([append(A, 1), append(A, 2)]);
        is(&[writer.clone(), overlapping([read(A, [1])]), overlapping([read(A, [1, 2])])], &[Kind::G1b, Kind::GSingle]);
    }

    #[test]
    fn g1c_circular_information_flow() {
        is(&[overlapping([append(A, 1), read(B, [2])]), overlapping([append(B, 2), read(A, [1])])], &[Kind::G1c]);
    }

    #[test]
    fn g_single_read_of_two_versions() {
        let writer = overlapping([append(A, 1), append(B, 2)]);
        is(&[writer, overlapping([read(A, []), read(B, [2])]), overlapping([read(A, [1])])], &[Kind::GSingle]);
    }

    #[test]
    fn g_single_lost_update() {
        let both = [overlapping([read(A, []), append(A, 1)]), overlapping([read(A, []), append(A, 2)])];
        is(&[&both[..], &[overlapping([read(A, [1, 2])])]].concat(), &[Kind::GSingle]);
        // Overwritten altogether.
        is(&[&both[..], &[overlapping([read(A, [2])])]].concat(), &[Kind::GSingle]);
    }

    #[test]
    fn g2_write_skew() {
        let both = [overlapping([read(A, []), append(B, 1)]), overlapping([read(B, []), append(A, 2)])];
        is(&[&both[..], &[overlapping([read(A, [2]), read(B, [1])])]].concat(), &[Kind::G2]);
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_is_noticed_by_the_clock() {
        is(&[at(0, 1, [append(A, 1)]), at(2, 3, [read(A, [])])], &[Kind::GSingle]);
        is(&[at(0, 2, [append(A, 1)]), at(1, 3, [read(A, [])])], &[]);
        assert!(check(&[at(0, 1, [append(A, 1)]), at(2, 3, [read(A, [])])])[0].real_time);
    }

    #[test]
    fn a_write_seen_before_it_began_is_noticed_by_the_clock() {
        is(&[at(0, 1, [read(A, [1])]), at(2, 3, [append(A, 1)])], &[Kind::G1c]);
    }

    #[test]
    fn writes_in_another_order_than_the_clocks_are_noticed() {
        is(&[at(0, 1, [append(A, 1)]), at(2, 3, [append(A, 2)]), at(4, 5, [read(A, [2, 1])])], &[Kind::G0]);
    }

    #[test]
    fn what_no_order_explains_has_names_of_its_own() {
        is(&[overlapping([read(A, [1])])], &[Kind::Garbage]);
        is(&[overlapping([append(A, 1)]), overlapping([append(A, 1)])], &[Kind::Duplicate]);
        is(&[overlapping([append(A, 1)]), overlapping([read(A, [1, 1])])], &[Kind::Duplicate]);
        is(&[overlapping([append(A, 1), read(A, [])])], &[Kind::Internal]);
        let writers = [overlapping([append(A, 1)]), overlapping([append(A, 2)])];
        is(&[&writers[..], &[overlapping([read(A, [1]), read(A, [1, 2])])]].concat(), &[Kind::Internal]);
        let reads = [overlapping([read(A, [1, 2])]), overlapping([read(A, [2])])];
        let kinds: Vec<Kind> = check(&[writers, reads].concat()).iter().map(|anomaly| anomaly.kind).collect();
        assert!(kinds.contains(&Kind::IncompatibleOrder), "{kinds:?}");
    }

    /// A chain far longer than a stack would bear.
    #[test]
    fn a_long_history_takes_linear_time() {
        let count = 200_000;
        let mut history: Vec<_> = (0..count).map(|n| at(2 * n, 2 * n + 1, [append(A, n)])).collect();
        history.push(at(2 * count, 2 * count + 1, [Step::Read(A, (0..count).collect())]));
        is(&history, &[]);
    }
}
