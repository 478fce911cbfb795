//! The state directory of `afterbay run`: which Sinks have begun, where the workers are, and that there is one run only.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use afterbay_crds::names::ResourceName;
use afterbay_crds::plan::Plan;
use afterbay_crds::resolve::SecretFile;
use afterbay_crds::resolve::retirement::Known;
use anyhow::Context as _;
use secrecy::ExposeSecret as _;

/// The directory; held by one run at a time. What must not outlive the run is removed when this is dropped, so however the
/// run ends.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens it for a run, or says who holds it.
    pub fn hold(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot use the state directory {}", path.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(cannot)?;
        let path = path.canonicalize().with_context(cannot)?;
        let place = path.join("lock");
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&place)
            .with_context(cannot)?;
        if lock.try_lock().is_err() {
            let mut pid = String::new();
            // Who holds it has written its id there; without it the message is shorter.
            let _ = lock.read_to_string(&mut pid);
            anyhow::bail!(
                "the state directory {} is held by another afterbay run (process {}); end it, or give --state-dir",
                path.display(),
                pid.trim()
            );
        }
        lock.set_len(0).with_context(cannot)?;
        write!(lock, "{}", std::process::id()).with_context(cannot)?;
        let state = Self { path, _lock: lock };
        // Those of a run that was killed; or whatever else stands there, of which nothing is used.
        remove(&state.secrets()).with_context(cannot)?;
        Ok(state)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the secrets go.
    pub fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    /// The Sinks that are known to have committed.
    pub fn begun(&self) -> anyhow::Result<BTreeSet<ResourceName>> {
        let place = self.path.join("begun.json");
        let text = match fs::read(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", place.display())),
        };
        let names: BTreeSet<String> = serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged: it says which Sinks have committed before; restore it", place.display())
        })?;
        Ok(names
            .iter()
            .filter_map(|name| name.split_once('/'))
            .map(|(space, name)| ResourceName::new(space, name))
            .collect())
    }

    /// Keeps the Sinks that are known to have committed.
    pub fn keep_begun(&self, sinks: &BTreeSet<String>) -> anyhow::Result<()> {
        write_whole(&self.path.join("begun.json"), &serde_json::to_vec(sinks)?)
    }

    /// What has run from here.
    pub fn known(&self) -> anyhow::Result<Known> {
        let place = self.path.join("known.json");
        let text = match fs::read(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Known::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", place.display())),
        };
        serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged: it says what has run before; restore it, or remove it to have that forgotten",
                place.display()
            )
        })
    }

    /// Keeps what has run from here.
    pub fn keep_known(&self, known: &Known) -> anyhow::Result<()> {
        write_whole(&self.path.join("known.json"), &serde_json::to_vec_pretty(known)?)
    }

    /// Keeps what `afterbay status` shows.
    pub fn keep_status(&self, status: &impl serde::Serialize) -> anyhow::Result<()> {
        write_whole(&self.path.join("status.json"), &serde_json::to_vec(status)?)
    }

    /// Writes the files that hold secrets, for nobody else to read.
    pub fn keep_secrets(&self, secrets: &[SecretFile]) -> anyhow::Result<()> {
        for secret in secrets {
            if let Some(folder) = secret.path.parent() {
                let cannot = || format!("cannot make {}", folder.display());
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(cannot)?;
            }
            write_whole(&secret.path, secret.contents.expose_secret())?;
        }
        Ok(())
    }

    /// The plan that a worker was last started with, if there is one and this version can read it.
    pub fn last_plan(&self, stem: &str) -> Option<Plan> {
        serde_json::from_slice(&fs::read(self.path.join(plan_file(stem))).ok()?).ok()
    }

    /// Keeps the plan of a worker.
    pub fn keep_plan(&self, stem: &str, plan: &Plan) -> anyhow::Result<PathBuf> {
        self.keep(&plan_file(stem), &serde_json::to_vec_pretty(plan)?)
    }

    /// Writes a file of the run.
    pub fn keep(&self, name: &str, contents: &[u8]) -> anyhow::Result<PathBuf> {
        let place = self.path.join(name);
        write_whole(&place, contents)?;
        Ok(place)
    }

    /// Removes what must not outlive the run. The lock's file stays: were it removed, a run that has opened it but does
    /// not hold it yet would hold a file that is nowhere, beside another run that makes a new one.
    pub fn leave(&self) {
        for place in [self.secrets(), self.path.join("status.json")] {
            if let Err(error) = remove(&place) {
                tracing::error!("cannot remove {}: {error}; remove it by hand", place.display());
            }
        }
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        self.leave();
    }
}

fn plan_file(stem: &str) -> String {
    format!("{stem}.plan.json")
}

/// The process that holds a state directory, if one does.
pub fn holder(path: &Path) -> Option<String> {
    let mut lock = File::open(path.join("lock")).ok()?;
    if lock.try_lock_shared().is_ok() {
        return None;
    }
    let mut pid = String::new();
    lock.read_to_string(&mut pid).ok()?;
    Some(pid)
}

/// Removes a file, a directory or a symbolic link (never what that points to), if there is one.
fn remove(place: &Path) -> std::io::Result<()> {
    let removed = match fs::symlink_metadata(place) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(place),
        Ok(_) => fs::remove_file(place),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The whole file or the old one: never a half. Mode 0600, and never through a symbolic link.
fn write_whole(place: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let unfinished = place.with_extension("new");
    let write = || -> std::io::Result<()> {
        // A killed run may have left it.
        remove(&unfinished)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&unfinished, place)
    };
    write().with_context(|| format!("cannot write {}", place.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn secret(state: &StateDir) -> SecretFile {
        SecretFile { path: state.secrets().join("default.shop/password"), contents: b"hunter2".to_vec().into() }
    }

    #[test]
    fn secrets_go_to_new_files_that_nobody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        // Links that stood there before point elsewhere.
        symlink(elsewhere.path(), folder.path().join("secrets")).unwrap();
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let state = StateDir::hold(folder.path()).unwrap();
        let secret = secret(&state);
        state.keep_secrets(std::slice::from_ref(&secret)).unwrap();
        symlink(&victim, secret.path.with_extension("new")).unwrap();
        state.keep_secrets(std::slice::from_ref(&secret)).unwrap();
        assert_eq!(fs::read(&secret.path).unwrap(), b"hunter2");
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&secret.path), 0o600);
        assert!([state.secrets(), state.secrets().join("default.shop")].iter().all(|folder| mode(folder) == 0o700));
        assert!(fs::symlink_metadata(state.secrets()).unwrap().is_dir());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    }

    #[test]
    fn secrets_do_not_outlive_the_run_and_the_lock_s_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::hold(folder.path()).unwrap();
        state.keep_secrets(&[secret(&state)]).unwrap();
        state.keep_status(&"carrying").unwrap();
        assert!(state.secrets().exists() && holder(folder.path()).is_some());
        drop(state);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
        assert_eq!(holder(folder.path()), None);
        // What a killed run left is removed by the next.
        fs::create_dir_all(folder.path().join("secrets/default.shop")).unwrap();
        let next = StateDir::hold(folder.path()).unwrap();
        assert!(!next.secrets().exists());
    }

    #[test]
    fn one_run_holds_it_and_begun_sinks_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::hold(folder.path()).unwrap();
        let refused = StateDir::hold(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        assert!(state.begun().unwrap().is_empty());
        state.keep_begun(&["default/orders".to_owned()].into()).unwrap();
        assert_eq!(state.begun().unwrap(), [ResourceName::new("default", "orders")].into());
        let place = state.keep("plan.json", b"{}").unwrap();
        assert_eq!(fs::metadata(place).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(state.path().join("begun.json"), "{").unwrap();
        assert!(state.begun().unwrap_err().to_string().contains("damaged"));
    }
}
