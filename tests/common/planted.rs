//! Bugs planted one by one, each of which the harness must find.

use std::sync::Mutex;

/// A planted bug's name, and what looks for it: answers how it showed, if it did.
pub(crate) type Planted = (String, Box<dyn Fn() -> Option<String> + Send>);

/// A bug and what looks for it.
pub(crate) fn planted(bug: impl std::fmt::Debug, find: impl Fn() -> Option<String> + Send + 'static) -> Planted {
    (format!("{bug:?}"), Box::new(find))
}

/// Runs all, two at a time: a bug is planted for the thread that looks for it.
///
/// # Panics
/// If one is not found, or they are fewer than `floor`.
pub(crate) fn all_are_found(bugs: Vec<Planted>, floor: usize) {
    let count = bugs.len();
    let (left, missed) = (Mutex::new(bugs), Mutex::new(Vec::new()));
    let look = || {
        loop {
            let Some((name, find)) = left.lock().unwrap().pop() else { return };
            let found = find();
            println!("{name}: {}", found.as_deref().unwrap_or("MISSED"));
            if found.is_none() {
                missed.lock().unwrap().push(name);
            }
        }
    };
    // What they panic with is what is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| [scope.spawn(look), scope.spawn(look)].map(|thread| thread.join().unwrap()));
    let _ = std::panic::take_hook();
    println!("planted bugs: {count}");
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty() && count >= floor, "missed: {missed:?}");
}
