//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the repository")
}

/// A folder with `afterbay` and `sink-runtime`, built with the fault points.
///
/// Cargo builds them when the first test asks, unless `AFTERBAY_E2E_BIN` names a folder in which they stand. The tests
/// run copies: a build for something else, without the fault points, must not come between.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("AFTERBAY_E2E_BIN") {
            return folder.into();
        }
        build();
        let built = target().join("debug");
        let folder = target().join("e2e").join(format!("bin-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for the programs can be made");
        for program in ["afterbay", "sink-runtime"] {
            std::fs::copy(built.join(program), folder.join(program)).expect("cargo has built the programs");
        }
        remove_old(&folder);
        folder
    })
}

fn build() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(repository())
        .args(["build", "--quiet", "--bins", "-p", "operator", "-p", "sink-runtime"])
        .args(["--features", "sink-runtime/fault-points"])
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cargo cannot build the programs");
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Removes the copies of test processes that are gone.
fn remove_old(mine: &Path) {
    let Some(Ok(entries)) = mine.parent().map(std::fs::read_dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("bin-")?.parse().ok());
        if owner.is_some_and(|pid| !crate::processes::lives(pid)) {
            // Another test process may be doing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
