//! Queries: predicates, access paths, orders, aggregates. Reads views of tables, changes nothing, does no I/O.
//!
//! What users write: `select`, with `predicate`, `bounds`, `closure`, `order`, `pick`, `number`, `aggregate`, `group`.
//!
//! How it runs, in steps:
//! 1. `condition`: what a predicate means for a table. All errors are found here.
//! 2. `access` and `plan`: the ways to find the rows, and the cheapest; `explain` prints it.
//! 3. `execute`, with `fetch` and `prefetch`: pages and masks of rows, tested by `test`, `text`, `search` and `mask`, in
//!    order by `sort`.
//! 4. What is made of them: `accumulate` for aggregates, else the methods of `select`.
//!
//! Between these steps rows are a page and a mask (`page`), 32 at a time, and closures run on what masks leave.

mod access;
mod accumulate;
mod aggregate;
mod bounds;
mod closure;
mod condition;
mod execute;
mod explain;
mod fetch;
mod group;
mod grouper;
mod mask;
#[cfg(test)]
mod model_tests;
mod number;
mod order;
mod page;
mod pick;
mod plan;
mod predicate;
mod prefetch;
mod search;
mod select;
mod sort;
mod test;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use aggregate::{Aggregate, Avg, Count, Max, Min, Sum, count};
pub use bounds::IntoBounds;
pub use group::Groups;
pub use number::Number;
pub use order::{IntoOrder, OrderTerm};
pub use pick::{Pick, ReadOwned};
pub use predicate::{Filter, Predicate};
pub use select::Select;

/// A seed for the hash tables of queries, so that keys from outside cannot be chosen to collide.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    thread_local!(static SEED: u64 = RandomState::new().hash_one(0u8));
    SEED.try_with(|seed| *seed).unwrap_or_default()
}
