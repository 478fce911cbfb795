//! What is wrong with a manifest: where, what, and what to do.

use std::fmt;

use serde::Serialize;

use crate::names::ResourceName;

/// Where a manifest stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// Which document of the file it is, from 1.
    pub document: usize,
    /// Which resource it is, as far as that is known: `Sink default/orders`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

impl Place {
    /// A document whose contents are not known.
    pub fn document(file: &str, document: usize) -> Self {
        Self { file: file.to_owned(), document, resource: None }
    }

    /// The same document, of which is known what it is.
    #[must_use]
    pub fn of(&self, kind: &str, name: &ResourceName) -> Self {
        Self { resource: Some(format!("{kind} {name}")), ..self.clone() }
    }

    /// An error here.
    pub fn error(&self, field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> ManifestError {
        ManifestError { place: self.clone(), field: field.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: document {}", self.file, self.document)?;
        match &self.resource {
            Some(resource) => write!(f, " ({resource})"),
            None => Ok(()),
        }
    }
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ManifestError {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The field, `spec.kafka.topic.name`; empty for the whole document.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{} · what to do: {}", self.what, self.remedy)
    }
}

impl std::error::Error for ManifestError {}

/// The known name that is most like this one, if any is.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}
