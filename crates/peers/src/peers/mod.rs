//! One file per peer, and the list of them.
//!
//! Folio's own file is `folio.rs`, and it stands first in [`all`]. The report compares the other columns with the peer
//! whose kind is [`crate::peer::Kind::Subject`], and leaves that comparison out where there is none.

mod codec;
mod disk;
mod fjall;
mod folio;
mod hash_map;
mod imbl;
mod lmdb;
mod papaya;
mod redb;
mod spacetimedb;
mod sqlite;
mod surrealmx;

use crate::peer::Peer;

/// Every peer, in the order of the report's columns.
pub(crate) fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(folio::FolioPeer),
        Box::new(hash_map::HashMapPeer),
        Box::new(papaya::PapayaPeer),
        Box::new(imbl::ImblPeer),
        Box::new(spacetimedb::SpacetimePeer),
        Box::new(surrealmx::SurrealPeer),
        Box::new(lmdb::LmdbPeer),
        Box::new(redb::RedbPeer),
        Box::new(sqlite::SqlitePeer),
    ]
}

/// Those that store what they hold, those that can do nothing else, and the disk itself.
pub(crate) fn on_disk() -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = all().into_iter().filter(|peer| !peer.setup_on_disk().is_empty()).collect();
    peers.push(Box::new(fjall::FjallPeer));
    peers.push(Box::new(disk::DiskPeer::PREALLOCATED));
    peers.push(Box::new(disk::DiskPeer::APPENDED));
    peers
}
