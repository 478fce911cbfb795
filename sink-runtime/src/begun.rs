//! Which Sinks have committed before, as a file beside the plan tells it (`--begun FILE`).
//!
//! It stands beside the plan, and not in it, because it changes while the worker runs: a plan that changed would be another
//! plan, for another process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use afterbay_crds::plan::Plan;

/// Why it is not known which Sinks have committed before. Without that a Sink whose record is lost would send all rows again,
/// so nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum BegunError {
    /// There is no such file, or it cannot be read.
    #[error("cannot read {}, which says which Sinks have committed before: give the file that was written with the plan", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a JSON list of names.
    #[error(
        "{} is damaged: it says which Sinks have committed before, as a JSON list of names like \"shop/orders\"; restore it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads the file.
pub fn read(path: &Path) -> Result<BTreeSet<String>, BegunError> {
    let text = std::fs::read(path).map_err(|source| BegunError::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| BegunError::Damaged { path: path.to_owned(), source })
}

/// These Sinks of the plan have committed before. What the plan itself knows of others stays.
pub fn apply(plan: &mut Plan, begun: &BTreeSet<String>) {
    for sink in &mut plan.sinks {
        sink.begun |= begun.contains(&sink.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of its own for each test, which goes with the directory of the build.
    fn check(name: &str, contents: Option<&str>) -> Result<BTreeSet<String>, String> {
        let folder = std::env::temp_dir().join(format!("afterbay-begun-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("begun.json");
        if let Some(contents) = contents {
            std::fs::write(&path, contents).unwrap();
        }
        let found = read(&path).map_err(|error| error.to_string());
        std::fs::remove_dir_all(folder).unwrap();
        found
    }

    #[test]
    fn a_list_of_names_is_read_and_nothing_else() {
        assert_eq!(check("none", Some("[]")), Ok(BTreeSet::new()));
        assert_eq!(check("one", Some(r#"["shop/orders"]"#)), Ok(["shop/orders".to_owned()].into()));
        assert!(check("missing", None).unwrap_err().contains("cannot read"));
        for damaged in ["", "{", r#"["shop/ord"#, r#"{"shop/orders": true}"#, "[1]"] {
            assert!(check("damaged", Some(damaged)).unwrap_err().contains("is damaged"), "{damaged}");
        }
    }
}
