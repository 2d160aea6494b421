//! Queries: predicates, access paths, orders, aggregates. Reads views of tables, changes nothing, does no I/O.
//!
//! - `select`: the query as users write it; `predicate`, `bounds`, `closure`, `order`, `pick`, `number`, `aggregate`,
//!   `group`: what they write it with.
//! - `condition`: what a predicate means for a table. `test` and `mask`: running it on a page.
//! - `execute`: running a query. `sort`, `accumulate`: what is gathered on the way.

mod accumulate;
mod aggregate;
mod bounds;
mod closure;
mod condition;
mod execute;
mod group;
mod mask;
mod number;
mod order;
mod page;
mod pick;
mod predicate;
mod select;
mod sort;
mod test;
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregate, Avg, Count, Max, Min, Sum, count};
pub use bounds::IntoBounds;
pub use group::Groups;
pub use number::Number;
pub use order::{IntoOrder, OrderTerm};
pub use pick::{Pick, ReadOwned};
pub use predicate::{Filter, Predicate};
pub use select::Select;
