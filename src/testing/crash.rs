//! Every image that a crash may leave.

use super::sim::{Entry, Image, Operation, Trace, overwrite};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How the last write was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// Its first bytes are there; behind them is what was before.
    Before(usize),
    /// Its first bytes are there, and zeros behind them.
    Zeroed(usize),
    /// Its first bytes are what was before; those behind are there.
    Behind(usize),
}

/// Which image, so that one that fails can be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashPoint {
    /// So many operations of the trace were begun.
    pub operations: usize,
    /// Bit *n* is set if the *n*-th operation that was not durable, the oldest first, is there nevertheless. Of more than
    /// 64, those from the 65th on are there if bit 63 is set.
    pub there: u64,
    /// What became of the last operation, if that was a write and is there.
    pub cut: Cut,
}

/// What is durable at a point of a trace, and what else was done.
struct Device<'a> {
    trace: &'a Trace,
    names: Vec<(Arc<str>, Option<usize>)>,
    contents: Vec<Arc<Vec<u8>>>,
    pending: Vec<usize>,
    /// Of those, the ones that a failed sync has left clean: no sync makes them durable any more.
    clean: BTreeSet<usize>,
    /// Of those, the ones that are durable, and come after clean ones of the same file or folder: they are done in order.
    settled: BTreeSet<usize>,
}

/// At most this many operations that are not durable are combined in all ways.
const COMBINED_MAX: usize = 6;
/// Of the combinations of more, so many are tried.
const SAMPLES: u64 = 64;

/// Builds the images of a crash after each operation of `trace` from `from` on: with none, all, and combinations of the
/// operations that were not durable; and with the last one, if it is a write, cut at every byte in every way. Answers how
/// many there were, until `visit` breaks.
///
/// `cut_step` is how far apart the cuts of a write are: 1 for every byte.
pub fn each_crash_image(
    trace: &Trace,
    from: usize,
    cut_step: usize,
    visit: &mut dyn FnMut(CrashPoint, Image) -> ControlFlow<()>,
) -> u64 {
    let mut device = Device::new(trace);
    let mut count = 0;
    for operations in 0..=trace.operations.len() {
        if let Some(last) = operations.checked_sub(1) {
            device.begin(last);
        }
        if operations < from {
            continue;
        }
        let ended = device.points(operations, cut_step).try_for_each(|point| {
            count += 1;
            visit(point, device.image(point))
        });
        if ended.is_break() {
            break;
        }
    }
    count
}

impl Trace {
    /// What readers saw after the first `operations`.
    pub fn image_after(&self, operations: usize) -> Image {
        let mut device = Device::new(self);
        for operation in &self.operations[..operations] {
            if let Operation::Create { file, .. } = operation {
                device.contents.resize_with((*file + 1).max(device.contents.len()), Arc::default);
            }
            apply(operation, Cut::Whole, &mut device.names, |file| Arc::make_mut(&mut device.contents[file]));
        }
        let content = |file: Option<usize>| file.map(|file| Arc::clone(&device.contents[file]));
        Image { entries: device.names.iter().map(|(path, file)| (Arc::clone(path), content(*file))).collect() }
    }
}

impl<'a> Device<'a> {
    fn new(trace: &'a Trace) -> Self {
        let (mut names, mut contents) = (Vec::new(), Vec::new());
        for (path, content) in &trace.base.entries {
            let file = content.as_ref().map(|content| {
                contents.push(Arc::clone(content));
                contents.len() - 1
            });
            names.push((Arc::clone(path), file));
        }
        Self { trace, names, contents, pending: Vec::new(), clean: BTreeSet::new(), settled: BTreeSet::new() }
    }

    fn begin(&mut self, index: usize) {
        match &self.trace.operations[index] {
            Operation::Sync { file, failed } => self.settle(*failed, |operation| match operation {
                Operation::Write { file: other, .. } | Operation::SetLength { file: other, .. } => other == file,
                _ => false,
            }),
            Operation::SyncFolder { folder, failed } => self.settle(*failed, |operation| match operation {
                Operation::Create { path, .. }
                | Operation::CreateFolder { path }
                | Operation::RemoveFolder { path }
                | Operation::Rename { to: path, .. }
                | Operation::Remove { path, .. } => path.rsplit_once('/').map_or("", |(parent, _)| parent) == &**folder,
                _ => false,
            }),
            Operation::Create { file, .. } => {
                // Its bytes are its own, whether its name is there or not.
                self.contents.resize_with((*file + 1).max(self.contents.len()), Arc::default);
                self.pending.push(index);
            }
            _ => self.pending.push(index),
        }
    }

    /// A sync of what `covers` answers for.
    fn settle(&mut self, failed: bool, covers: impl Fn(&Operation) -> bool) {
        let operations = &self.trace.operations;
        let is_behind_clean = self.clean.iter().any(|index| covers(&operations[*index]));
        for index in std::mem::take(&mut self.pending) {
            let is_open = !self.clean.contains(&index) && covers(&operations[index]);
            if is_open && !failed && !is_behind_clean {
                apply(&operations[index], Cut::Whole, &mut self.names, |file| Arc::make_mut(&mut self.contents[file]));
                continue;
            }
            self.pending.push(index);
            if is_open && failed && !self.settled.contains(&index) {
                self.clean.insert(index);
            } else if is_open && !failed {
                self.settled.insert(index);
            }
        }
    }

    /// What may be there or not, in order.
    fn optional(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.pending.iter().copied().filter(|index| !self.settled.contains(index))
    }

    fn points(&self, operations: usize, cut_step: usize) -> impl Iterator<Item = CrashPoint> + use<> {
        let pending = self.optional().count();
        let all = if pending >= 64 { u64::MAX } else { (1 << pending) - 1 };
        let mut there: Vec<u64> = Vec::new();
        if pending <= COMBINED_MAX {
            there.extend(0..=all);
        } else {
            there.extend([0, all]);
            there.extend((1..SAMPLES - 1).map(|sample| mix(operations as u64 * SAMPLES + sample) & all));
        }
        let mut points: Vec<CrashPoint> =
            there.iter().map(|there| CrashPoint { operations, there: *there, cut: Cut::Whole }).collect();
        let last = operations.checked_sub(1).filter(|last| self.optional().next_back() == Some(*last));
        if let Some(Operation::Write { bytes, .. }) = last.map(|last| &self.trace.operations[last])
            && pending <= 64
        {
            let alone = 1 << (pending - 1);
            // Filler is the same wherever it is cut.
            let is_uniform = bytes.iter().all(|byte| *byte == bytes[0]);
            let step = if is_uniform { (bytes.len() / 2).max(1) } else { cut_step.max(1) };
            for cut in (0..bytes.len()).step_by(step) {
                for there in if pending == 1 { vec![all] } else { vec![all, alone] } {
                    let cuts = [Cut::Before(cut), Cut::Zeroed(cut), Cut::Behind(cut)];
                    points.extend(cuts.map(|cut| CrashPoint { operations, there, cut }));
                }
            }
        }
        points.into_iter()
    }

    fn image(&self, point: CrashPoint) -> Image {
        let mut names = self.names.clone();
        let mut changed: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut bit = 0_usize;
        for index in &self.pending {
            if !self.settled.contains(index) {
                bit += 1;
                if point.there >> (bit - 1).min(63) & 1 == 0 {
                    continue;
                }
            }
            let cut = if *index + 1 == point.operations { point.cut } else { Cut::Whole };
            apply(&self.trace.operations[*index], cut, &mut names, |file| {
                let found = changed.iter().position(|(other, _)| *other == file).unwrap_or_else(|| {
                    changed.push((file, self.contents[file].to_vec()));
                    changed.len() - 1
                });
                &mut changed[found].1
            });
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(names.len());
        for (path, file) in &names {
            let is_reachable =
                path.split_once('/').is_none_or(|(folder, _)| names.iter().any(|(name, _)| **name == *folder));
            if is_reachable {
                let content = file.map(|file| match changed.iter_mut().find(|(other, _)| *other == file) {
                    Some((_, content)) => Arc::new(std::mem::take(content)),
                    None => Arc::clone(&self.contents[file]),
                });
                entries.push((Arc::clone(path), content));
            }
        }
        Image { entries }
    }
}

/// Does an operation to names and contents.
fn apply<'c>(
    operation: &Operation,
    cut: Cut,
    names: &mut Vec<(Arc<str>, Option<usize>)>,
    content: impl FnOnce(usize) -> &'c mut Vec<u8>,
) {
    let set = |names: &mut Vec<(Arc<str>, Option<usize>)>, path: &Arc<str>, file| match names
        .binary_search_by(|(entry, _)| entry.cmp(path))
    {
        Ok(index) => names[index].1 = file,
        Err(index) => names.insert(index, (Arc::clone(path), file)),
    };
    match operation {
        Operation::Write { file, offset, bytes } => {
            let content = content(*file);
            match cut {
                Cut::Whole => overwrite(content, *offset, bytes),
                Cut::Before(at) => overwrite(content, *offset, &bytes[..at]),
                Cut::Behind(at) => overwrite(content, *offset + at as u64, &bytes[at..]),
                Cut::Zeroed(at) => {
                    overwrite(content, *offset, &vec![0; bytes.len()]);
                    overwrite(content, *offset, &bytes[..at]);
                }
            }
        }
        Operation::SetLength { file, length } => content(*file).resize(*length as usize, 0),
        Operation::Create { path, file } => set(names, path, Some(*file)),
        Operation::CreateFolder { path } => set(names, path, None),
        Operation::Rename { from, to, file } => {
            names.retain(|(path, node)| path != from || *node != Some(*file));
            set(names, to, Some(*file));
        }
        Operation::RemoveFolder { path } => names.retain(|(entry, node)| entry != path || node.is_some()),
        Operation::Remove { path, file } => names.retain(|(entry, node)| entry != path || *node != Some(*file)),
        Operation::Sync { .. } | Operation::SyncFolder { .. } => {}
    }
}

/// Spreads a number over all bits (splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
