//! The judge: finds out, from what processes saw and nothing else, whether transactions ran one after the other.
//!
//! After Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020). Every
//! element names its writer, and a list names the order of its writers; so reads tell which transaction came before
//! which:
//!
//! - `ww`: one appended right behind the other;
//! - `wr`: one read what the other appended last;
//! - `rw`: one read a list that the other appended to next;
//! - `rt`: one had ended before the other began.
//!
//! Transactions were strictly serializable if these have no cycle. A cycle, and what no order could explain, is named as
//! Adya names it. Time and memory are linear in the history, but for the search of the shortest cycle of a wrong one.

use crate::history::{Element, Key, Outcome, Recorded, Step};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// An element was appended twice, or read twice in one list.
    Duplicate,
    /// An element that nobody appended.
    Garbage,
    /// A transaction does not see what it read or appended before.
    Internal,
    /// Two reads of a list, of which neither begins with the other.
    IncompatibleOrder,
    /// Dirty write: a cycle of `ww`.
    G0,
    /// Aborted read: an element of a transaction that was rolled back.
    G1a,
    /// Intermediate read: a list between two appends of one transaction.
    G1b,
    /// Circular information flow: a cycle of `ww` and `wr`.
    G1c,
    /// Read skew and lost update: a cycle with one `rw`.
    GSingle,
    /// Write skew and phantoms: a cycle with several `rw`.
    G2,
}

/// One thing that is wrong, and who was involved.
#[derive(Debug, Clone)]
pub(crate) struct Anomaly {
    pub(crate) kind: Kind,
    /// Whether it takes the clock to see it.
    pub(crate) real_time: bool,
    pub(crate) message: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}: {}", self.kind, if self.real_time { " in real time" } else { "" }, self.message)
    }
}

/// Why one transaction comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Ww(Key),
    Wr(Key),
    Rw(Key),
    Rt,
}

impl Why {
    /// Edges that a search of level `level` follows: each level has those of the one before it.
    fn is_within(self, level: usize) -> bool {
        match self {
            Why::Ww(_) => true,
            Why::Wr(_) => level >= 1,
            Why::Rw(_) => level >= 2,
            Why::Rt => level >= 3,
        }
    }

    fn is_rw(self) -> bool {
        matches!(self, Why::Rw(_))
    }
}

/// All that is wrong with a history; nothing, if it was strictly serializable.
pub(crate) fn check(history: &[Recorded]) -> Vec<Anomaly> {
    let mut checker = Checker { history, ..Checker::default() };
    checker.writers();
    checker.reads();
    checker.orders();
    checker.edges();
    checker.real_time();
    checker.cycles();
    checker.anomalies
}

/// A read of one transaction, without what the transaction itself had appended before.
struct External {
    reader: usize,
    key: Key,
    /// How many elements of the list were there.
    len: usize,
}

#[derive(Default)]
struct Checker<'a> {
    history: &'a [Recorded],
    anomalies: Vec<Anomaly>,
    writers: HashMap<(Key, Element), usize>,
    /// The last element that a transaction appended to a list.
    last_of: HashMap<(usize, Key), Element>,
    /// Reads as they were, to be held against the order of their list.
    reads: Vec<(usize, Key, &'a [Element])>,
    externals: Vec<External>,
    order: BTreeMap<Key, &'a [Element]>,
    /// By transaction, then by reading of the clock.
    edges: Vec<Vec<(usize, Why)>>,
}

impl<'a> Checker<'a> {
    fn report(&mut self, kind: Kind, message: String) {
        self.anomalies.push(Anomaly { kind, real_time: false, message });
    }

    /// Notes who appended what.
    fn writers(&mut self) {
        for (writer, recorded) in self.history.iter().enumerate() {
            for step in &recorded.steps {
                let Step::Append(key, element) = *step else { continue };
                if let Some(other) = self.writers.insert((key, element), writer) {
                    self.report(Kind::Duplicate, format!("T{other} and T{writer} append {element} to list {key}"));
                }
                self.last_of.insert((writer, key), element);
            }
        }
    }

    /// Replays each committed transaction by itself, and keeps what it saw of others.
    fn reads(&mut self) {
        for (reader, recorded) in self.history.iter().enumerate() {
            if recorded.outcome != Outcome::Committed {
                continue;
            }
            // What a list must be from the first read on, and what was appended to it before that.
            let mut known: HashMap<Key, Vec<Element>> = HashMap::new();
            let mut appended: HashMap<Key, Vec<Element>> = HashMap::new();
            for step in &recorded.steps {
                match step {
                    Step::Append(key, element) => match known.get_mut(key) {
                        Some(list) => list.push(*element),
                        None => appended.entry(*key).or_default().push(*element),
                    },
                    Step::Read(key, list) => {
                        self.reads.push((reader, *key, list));
                        let own = appended.get(key).map_or(&[][..], Vec::as_slice);
                        let (sees_own, expected) = match known.get(key) {
                            Some(known) => (known == list, known.as_slice()),
                            None => (list.ends_with(own), own),
                        };
                        if !sees_own {
                            let message = format!("T{reader} reads {list:?} in list {key}, not {expected:?}");
                            self.report(Kind::Internal, message);
                        } else if !known.contains_key(key) {
                            self.externals.push(External { reader, key: *key, len: list.len() - own.len() });
                            known.insert(*key, list.clone());
                        }
                    }
                }
            }
        }
    }

    /// The longest read of a list is its order; all others begin it.
    fn orders(&mut self) {
        for &(_, key, list) in &self.reads {
            let longest = self.order.entry(key).or_default();
            if list.len() > longest.len() {
                *longest = list;
            }
        }
        let mut wrong = Vec::new();
        for (key, list) in &self.order {
            let mut seen = HashSet::new();
            for element in *list {
                if !seen.insert(element) {
                    wrong.push((Kind::Duplicate, format!("list {key} has {element} twice: {list:?}")));
                }
            }
        }
        for &(reader, key, list) in &self.reads {
            let order = self.order[&key];
            if !order.starts_with(list) {
                wrong.push((
                    Kind::IncompatibleOrder,
                    format!("T{reader} reads {list:?} in list {key}, others {order:?}"),
                ));
            }
            for element in list {
                match self.writers.get(&(key, *element)) {
                    None => wrong.push((Kind::Garbage, format!("T{reader} reads {element} in list {key}"))),
                    Some(&writer) if self.history[writer].outcome == Outcome::Aborted => {
                        let message = format!("T{reader} reads {element} in list {key}, of T{writer}, which aborted");
                        wrong.push((Kind::G1a, message));
                    }
                    _ => {}
                }
            }
        }
        for External { reader, key, len } in &self.externals {
            let Some(last) = self.order[key].get(..*len).and_then(<[_]>::last) else { continue };
            let Some(writer) = self.writers.get(&(*key, *last)).filter(|writer| *writer != reader) else { continue };
            if self.last_of.get(&(*writer, *key)) != Some(last) {
                let message = format!("T{reader} reads list {key} up to {last}, and T{writer} appended more");
                wrong.push((Kind::G1b, message));
            }
        }
        wrong.into_iter().for_each(|(kind, message)| self.report(kind, message));
    }

    /// Which transaction came before which, by what they read.
    fn edges(&mut self) {
        self.edges = vec![Vec::new(); self.history.len()];
        let mut read: HashSet<(Key, Element)> = HashSet::new();
        for (key, list) in &self.order {
            read.extend(list.iter().map(|element| (*key, *element)));
        }
        // Committed, and seen by nobody: behind all that were.
        let mut unread: HashMap<Key, Vec<usize>> = HashMap::new();
        for (&(key, element), &writer) in &self.writers {
            if self.history[writer].outcome == Outcome::Committed && !read.contains(&(key, element)) {
                unread.entry(key).or_default().push(writer);
            }
        }
        for (&key, list) in &self.order {
            for pair in list.windows(2) {
                let writer = |element| self.writers.get(&(key, element)).copied();
                if let Some((earlier, later)) = writer(pair[0]).zip(writer(pair[1])) {
                    add(&mut self.edges, earlier, later, Why::Ww(key));
                }
            }
            let Some(writer) = list.last().and_then(|last| self.writers.get(&(key, *last)).copied()) else { continue };
            for &behind in unread.get(&key).into_iter().flatten() {
                add(&mut self.edges, writer, behind, Why::Ww(key));
            }
        }
        for &External { reader, key, len } in &self.externals {
            let (before, after) = self.order[&key].split_at(len.min(self.order[&key].len()));
            let writer = |element: &Element| self.writers.get(&(key, *element)).copied();
            if let Some(writer) = before.last().and_then(writer) {
                add(&mut self.edges, writer, reader, Why::Wr(key));
            }
            match after.iter().filter_map(writer).find(|writer| *writer != reader) {
                Some(next) => add(&mut self.edges, reader, next, Why::Rw(key)),
                None => {
                    for &next in unread.get(&key).into_iter().flatten() {
                        add(&mut self.edges, reader, next, Why::Rw(key));
                    }
                }
            }
        }
    }

    /// One node for each end of a transaction, in a chain: so that what had ended before what began takes a number of
    /// edges that is linear in the history.
    fn real_time(&mut self) {
        let committed = |(_, recorded): &(usize, &Recorded)| recorded.outcome == Outcome::Committed;
        let mut events: Vec<(u64, bool, usize)> = Vec::new();
        for (place, recorded) in self.history.iter().enumerate().filter(committed) {
            events.push((recorded.start, false, place));
            events.push((recorded.stop, true, place));
        }
        events.sort_unstable();
        let mut newest: Option<usize> = None;
        for (_, is_stop, place) in events {
            if is_stop {
                let node = self.edges.len();
                self.edges.push(Vec::new());
                self.edges[place].push((node, Why::Rt));
                newest.into_iter().for_each(|newest| self.edges[newest].push((node, Why::Rt)));
                newest = Some(node);
            } else if let Some(newest) = newest {
                self.edges[newest].push((place, Why::Rt));
            }
        }
    }

    /// Names each knot of transactions by the least that explains it.
    fn cycles(&mut self) {
        let mut explained: HashSet<usize> = HashSet::new();
        for level in 0..4 {
            for component in components(&self.edges, level) {
                if component.iter().any(|node| explained.contains(node)) {
                    continue;
                }
                explained.extend(&component);
                let cycle = self.shortest_cycle(&component, level);
                let count = |is: fn(Why) -> bool| cycle.iter().filter(|(_, why)| is(*why)).count();
                let kind = match count(Why::is_rw) {
                    0 if count(|why| matches!(why, Why::Wr(_))) == 0 => Kind::G0,
                    0 => Kind::G1c,
                    1 => Kind::GSingle,
                    _ => Kind::G2,
                };
                let message = self.describe(&cycle);
                self.anomalies.push(Anomaly { kind, real_time: level == 3, message });
            }
        }
    }

    /// The cycle with the fewest `rw` (one, if one will do), and the shortest of those, as far as one start shows.
    fn shortest_cycle(&self, component: &[usize], level: usize) -> Vec<(usize, Why)> {
        let within: HashSet<usize> = component.iter().copied().collect();
        let starts = || {
            let edges = |from: &usize| self.edges[*from].iter().map(|edge| (*from, *edge)).collect::<Vec<_>>();
            let inside = |(_, (to, why)): &(usize, (usize, Why))| within.contains(to) && why.is_within(level);
            component.iter().flat_map(edges).filter(inside).take(20_000)
        };
        // A cycle with one `rw` first: the way back has none.
        for (from, (to, why)) in starts().filter(|(_, (_, why))| why.is_rw() || level < 2) {
            let back = self.path(to, from, &|node, why| within.contains(&node) && why.is_within(level) && !why.is_rw());
            if let Some(mut back) = back {
                back.insert(0, (from, why));
                return back;
            }
        }
        for (from, (to, why)) in starts() {
            if let Some(mut back) = self.path(to, from, &|node, why| within.contains(&node) && why.is_within(level)) {
                back.insert(0, (from, why));
                return back;
            }
        }
        Vec::new()
    }

    /// The shortest way along edges that are `allowed`: each node but the last with the edge that leaves it.
    fn path(&self, from: usize, to: usize, allowed: &dyn Fn(usize, Why) -> bool) -> Option<Vec<(usize, Why)>> {
        let mut came: HashMap<usize, (usize, Why)> = HashMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            if node == to {
                let (mut path, mut at) = (Vec::new(), to);
                while at != from {
                    let (before, why) = came[&at];
                    path.push((before, why));
                    at = before;
                }
                path.reverse();
                return Some(path);
            }
            for &(next, why) in &self.edges[node] {
                if next != from && allowed(next, why) && !came.contains_key(&next) {
                    came.insert(next, (node, why));
                    queue.push_back(next);
                }
            }
        }
        None
    }

    fn describe(&self, cycle: &[(usize, Why)]) -> String {
        let mut text = String::new();
        for (node, why) in cycle {
            let name = if *node < self.history.len() { format!("T{node}") } else { "·".to_owned() };
            text.push_str(&format!("{name} -{why:?}-> "));
        }
        text.push_str("back");
        for (node, _) in cycle.iter().filter(|(node, _)| *node < self.history.len()).take(6) {
            text.push_str(&format!("\n    T{node}: {:?}", self.history[*node]));
        }
        text
    }
}

fn add(edges: &mut [Vec<(usize, Why)>], from: usize, to: usize, why: Why) {
    if from != to {
        edges[from].push((to, why));
    }
}

/// The sets of more than one node in which each leads to each other, along edges of `level`: Tarjan's algorithm, with a
/// stack of its own, as a chain of a history is longer than a thread's.
fn components(edges: &[Vec<(usize, Why)>], level: usize) -> Vec<Vec<usize>> {
    const UNSEEN: usize = usize::MAX;
    let (mut index, mut low) = (vec![UNSEEN; edges.len()], vec![0; edges.len()]);
    let mut is_open = vec![false; edges.len()];
    let (mut open, mut calls, mut found) = (Vec::new(), Vec::<(usize, usize)>::new(), Vec::new());
    let mut next_index = 0;
    for root in 0..edges.len() {
        if index[root] != UNSEEN {
            continue;
        }
        calls.push((root, 0));
        while let Some((node, place)) = calls.pop() {
            if place == 0 {
                index[node] = next_index;
                low[node] = next_index;
                next_index += 1;
                open.push(node);
                is_open[node] = true;
            }
            let unseen = edges[node][place..].iter().position(|&(to, why)| {
                if !why.is_within(level) {
                    return false;
                }
                if is_open[to] {
                    low[node] = low[node].min(index[to]);
                }
                index[to] == UNSEEN
            });
            if let Some(skipped) = unseen {
                let at = place + skipped;
                // Comes back to this edge, which then counts what was found behind it.
                calls.push((node, at + 1));
                calls.push((edges[node][at].0, 0));
                continue;
            }
            if low[node] == index[node] {
                let from = open.iter().rposition(|open| *open == node).unwrap_or(0);
                let component = open.split_off(from);
                component.iter().for_each(|node| is_open[*node] = false);
                if component.len() > 1 {
                    found.push(component);
                }
            }
            if let Some(&(parent, _)) = calls.last() {
                low[parent] = low[parent].min(low[node]);
            }
        }
    }
    found
}
