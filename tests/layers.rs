//! The layers of ARCHITECTURE.md hold: no file imports from a layer above its own.

use std::fs;
use std::path::{Path, PathBuf};

/// From low to high. `page` and `value` import nothing of each other's, `storage` knows nothing of tables and is known by
/// none of theirs; the rest may import what is below.
const LAYERS: [&str; 11] =
    ["page", "value", "error", "schema", "storage", "table", "query", "transaction", "database", "exchange", "testing"];
/// What `storage` may import beside itself: to it, batches and objects are bytes.
const BELOW_STORAGE: [&str; 3] = ["value", "error", "storage"];
/// Layers that must not know of storage.
const BESIDE_STORAGE: [&str; 2] = ["table", "query"];

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|known| *known == layer)
}

#[test]
fn imports_go_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let (mut imports, mut upward) = (0, Vec::new());
    for file in &files {
        let within = file.strip_prefix(&src).unwrap();
        let first = within.components().next().unwrap().as_os_str().to_str().unwrap();
        let Some(own) = rank(first.trim_end_matches(".rs")) else { continue };
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            for path in line.split("crate::").skip(1) {
                let layer: String = path.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let Some(other) = rank(&layer) else { continue };
                imports += 1;
                let page_and_value = (first == "page" && other != own) || (first == "value" && layer == "page");
                let storage_and_tables = (first == "storage" && !BELOW_STORAGE.contains(&layer.as_str()))
                    || (BESIDE_STORAGE.contains(&first) && layer == "storage");
                if other > own || page_and_value || storage_and_tables {
                    upward.push(format!("{}: {line}", within.display()));
                }
            }
        }
    }
    println!("files: {}, imports: {imports}", files.len());
    assert!(imports > 100, "the test has found the imports");
    assert!(upward.is_empty(), "upward imports:\n{}", upward.join("\n"));
}

#[test]
fn unsafe_code_is_in_the_page_layer_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for file in files.iter().filter(|file| !file.starts_with(src.join("page"))) {
        let text = fs::read_to_string(file).unwrap();
        let code = text.lines().filter(|line| !line.trim().starts_with("//"));
        assert!(code.into_iter().all(|line| !line.contains("unsafe ")), "{} has unsafe code", file.display());
    }
}
