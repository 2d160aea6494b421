//! A history as its processes saw it: what each transaction appended and read, and when it began and ended.

/// A list.
pub(crate) type Key = u64;
/// What is appended: every element of a history is another number.
pub(crate) type Element = u64;

/// One step of a transaction, with what it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Append(Key, Element),
    Read(Key, Vec<Element>),
}

/// Whether the database said that the transaction took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
}

/// One transaction, as the process that ran it saw it.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// A reading of the history's clock before the transaction was asked for.
    pub(crate) start: u64,
    /// And one after it was answered.
    pub(crate) stop: u64,
    pub(crate) outcome: Outcome,
    pub(crate) steps: Vec<Step>,
}
