//! The seeds of a fuzz target, for the ordinary tests.

use std::path::Path;

/// Runs the check on each seed of the target.
pub fn each(target: &str, check: fn(&[u8])) {
    for seed in all(target) {
        check(&seed);
    }
}

/// All seeds of the target.
pub fn all(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.expect("an entry").path());
    let seeds: Vec<_> = entries.map(|entry| read(entry).expect("a readable seed")).collect();
    assert!(seeds.len() > 5, "{}: only {} seeds", directory.display(), seeds.len());
    seeds
}
