//! Files of secrets, for as long as the operator's own clients read them.

use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use afterbay_crds::resolve::SecretFile;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::context::Failure;

/// Where folders of secrets are made: best in memory.
pub struct Scratch(PathBuf);

/// A folder of secrets that nobody else can read. It goes, with all that it holds, when it is dropped.
pub struct Folder(TempDir);

/// How the names of folders begin.
const PREFIX: &str = "afterbay-scratch-";

impl Scratch {
    /// Below this directory.
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Removes what one before, that was killed, has left in a directory that is this operator's alone.
    pub fn clean(&self) -> Result<(), Failure> {
        let told = |error| Failure::Scratch { path: self.0.clone(), error };
        for entry in std::fs::read_dir(&self.0).map_err(told)? {
            let entry = entry.map_err(told)?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                std::fs::remove_dir_all(entry.path()).map_err(told)?;
            }
        }
        Ok(())
    }

    /// A new folder.
    pub fn folder(&self) -> Result<Folder, Failure> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
        let made = builder.tempdir_in(&self.0).map(Folder);
        made.map_err(|error| Failure::Scratch { path: self.0.clone(), error })
    }
}

impl Folder {
    /// Where it is: the `secrets_dir` of what is resolved for these clients.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes files, all of which lie in this folder.
    pub fn keep(&self, files: &[SecretFile]) -> Result<(), Failure> {
        for file in files {
            write(file).map_err(|error| Failure::Scratch { path: file.path.clone(), error })?;
        }
        Ok(())
    }
}

fn write(file: &SecretFile) -> std::io::Result<()> {
    if let Some(parent) = file.path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file.path)?;
    open.write_all(file.contents.expose_secret())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretSlice;

    use super::*;

    #[test]
    fn files_are_closed_to_others_and_go_with_their_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Scratch::new(dir.path()).folder().unwrap();
        let path = folder.path().join("default.shop/password");
        folder.keep(&[SecretFile { path: path.clone(), contents: SecretSlice::from(b"geheim".to_vec()) }]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"geheim");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(folder);
        std::fs::create_dir(dir.path().join("afterbay-scratch-killed")).unwrap();
        Scratch::new(dir.path()).clean().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
