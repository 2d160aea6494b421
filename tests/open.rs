//! Databases in real directories, from outside: who may open what, what is there again, and what goes on at once.
#![cfg(any(unix, windows))]

#[path = "open/behind.rs"]
mod behind;
#[path = "open/beside.rs"]
mod beside;
#[path = "open/closing.rs"]
mod closing;
#[path = "open/copies.rs"]
mod copies;
#[cfg(target_os = "linux")]
#[path = "open/descriptors.rs"]
mod descriptors;
#[path = "common/directory.rs"]
mod directory;
#[path = "open/inside.rs"]
mod inside;
#[path = "open/locks.rs"]
mod locks;
#[path = "open/places.rs"]
mod places;
#[path = "open/reopening.rs"]
mod reopening;

use directory::{Directory, copy_folder};
use folio::{Column, Schema};
use std::fs;
use std::path::{Path, PathBuf};

/// A table of numbered names.
fn names() -> Schema {
    Schema::builder("names")
        .column(Column::u64("id").primary_key().auto_increment())
        .column(Column::string("name").unique())
        .build()
        .unwrap()
}

/// What the end of the process would leave at this moment, if nobody writes meanwhile: a copy of its files.
fn killed(directory: &Directory) -> Directory {
    let copy = Directory(directory.0.with_extension("killed"));
    let _ = fs::remove_dir_all(&copy);
    copy_folder(&directory.0, &copy.0);
    copy
}

/// Every file below, sorted, with its content.
fn tree(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}
