//! What holds whatever bytes a manifest has: run by the fuzz target and by ordinary tests.

use afterbay_crds::manifest::{ManifestFile, read};

/// Reads the bytes as a file of manifests.
pub fn check(bytes: &[u8]) {
    let errors = match ManifestFile::from_bytes("manifests.yaml", bytes.to_vec()) {
        Ok(file) => read(&[file], "default").1,
        Err(error) => vec![*error],
    };
    for error in errors {
        let told = error.to_string();
        assert!(told.contains("manifests.yaml"), "an error says where: {told}");
    }
}
