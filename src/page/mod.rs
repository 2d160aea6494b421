//! Pages: persistent memory blocks, the versions made of them, and their reclamation. The only `unsafe` code of the
//! crate is in this folder, outside `tree`.

#![allow(unsafe_code)]

mod block;
mod chunks;
mod epoch;
mod heap;
mod reclaim;
mod store;
mod sync;
#[cfg(test)]
mod tests;
#[forbid(unsafe_code)]
mod tree;
mod writer;

pub(crate) use block::{BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, BlockRef, Link};
pub(crate) use heap::OutOfMemory;
pub(crate) use store::{BeginError, Guard, Held, Pinned, Store};
pub(crate) use tree::{Since, Tree, TreeRef};
pub(crate) use writer::{Busy, Committed, Donor, Pages, Savepoint, Transaction, Writer};
