//! The seeds of a fuzz target, for the ordinary tests.

use std::path::Path;

/// Runs the check on each seed of the target.
pub fn each(target: &str, check: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut checked = 0;
    for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let seed = std::fs::read(entry.expect("an entry").path()).expect("a readable seed");
        check(&seed);
        checked += 1;
    }
    assert!(checked > 5, "{}: only {checked} seeds", directory.display());
}
