//! Secrets, which reach the worker as files only.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretSlice;

/// A file that holds a secret cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct SecretUnreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The exact contents of a file: a line end at its end is part of the secret, as it is for Kubernetes.
pub(crate) fn read(path: &Path) -> Result<SecretSlice<u8>, SecretUnreadable> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(SecretSlice::from(bytes)),
        Err(source) => Err(SecretUnreadable { path: path.to_owned(), source }),
    }
}
