//! Files of secrets that the operator's own clients read: there as long as they are used.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use afterbay_crds::resolve::SecretFile;
use secrecy::ExposeSecret as _;

use super::context::Failure;

/// Files of secrets, which go when this is dropped.
#[derive(Debug)]
pub struct Files {
    directories: Vec<PathBuf>,
}

impl Files {
    /// Writes them, for nobody else to read. They stand where a plan that was resolved for the scratch directory looks for them.
    pub fn write(secrets: &[SecretFile]) -> Result<Self, Failure> {
        let mut files = Self { directories: Vec::new() };
        for secret in secrets {
            if let Some(directory) = secret.path.parent()
                && !files.directories.iter().any(|known| known == directory)
            {
                // What a killed operator left is removed with all that stands in it.
                remove(directory).map_err(|error| failure(directory, error))?;
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
                made.map_err(|error| failure(directory, error))?;
                files.directories.push(directory.to_owned());
            }
            write(secret).map_err(|error| failure(&secret.path, error))?;
        }
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for directory in &self.directories {
            if let Err(error) = remove(directory) {
                tracing::error!("cannot remove {}: {error}; remove it by hand", directory.display());
            }
        }
    }
}

fn write(secret: &SecretFile) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&secret.path)?;
    file.write_all(secret.contents.expose_secret())
}

fn remove(directory: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn failure(path: &Path, error: std::io::Error) -> Failure {
    Failure::Scratch { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_for_nobody_else_and_go_with_their_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source/eu.shop/postgres-password");
        let secret = SecretFile { path: path.clone(), contents: b"hunter2".to_vec().into() };
        for _ in 0..2 {
            let files = Files::write(std::slice::from_ref(&secret)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"hunter2");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            drop(files);
            assert!(!path.exists() && !path.parent().unwrap().exists());
        }
    }
}
