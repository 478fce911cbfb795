//! What is wrong with a manifest: where, what, and what to do.

use std::fmt;

use serde::Serialize;

use crate::names::ResourceName;

/// Where a manifest stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// Which document of the file it is, from 1; none where it is the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    /// Which resource it is, as far as that is known: `Sink default/orders`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

impl Place {
    /// A file of which nothing is known.
    pub fn file(file: &str) -> Self {
        Self { file: file.to_owned(), document: None, resource: None }
    }

    /// A document whose contents are not known.
    pub fn document(file: &str, document: usize) -> Self {
        Self { document: Some(document), ..Self::file(file) }
    }

    /// The same document, of which is known what it is.
    #[must_use]
    pub fn of(&self, kind: &str, name: &ResourceName) -> Self {
        Self { resource: Some(format!("{kind} {name}")), ..self.clone() }
    }

    /// A resource that stands in no file: an API server holds it.
    pub fn in_cluster(kind: &str, name: &ResourceName) -> Self {
        Self::file("").of(kind, name)
    }

    /// The document within a sentence: `document 2 of shop.yaml`.
    pub fn in_words(&self) -> String {
        match self.document {
            Some(document) => format!("document {document} of {}", self.file),
            None if self.file.is_empty() => "in this cluster".to_owned(),
            None => self.file.clone(),
        }
    }

    /// An error here.
    pub fn error(&self, field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> ManifestError {
        ManifestError {
            place: self.clone(),
            field: field.into(),
            what: what.into(),
            remedy: remedy.into(),
            missing: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (true, Some(resource)) = (self.file.is_empty(), &self.resource) {
            return f.write_str(resource);
        }
        f.write_str(&self.file)?;
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
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
    /// What it refers to and is not there, if that is all: `Secret shop/keys`. Where resources come one by one, it may come.
    #[serde(skip)]
    pub missing: Option<String>,
}

impl ManifestError {
    /// The same, as an error that ends when this is there.
    #[must_use]
    pub fn until_there_is(self, missing: impl Into<String>) -> Self {
        Self { missing: Some(missing.into()), ..self }
    }
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
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let likeness = strsim::jaro_winkler(&wanted, &candidate);
        // Two letters that changed places weigh too much in a short name.
        let is_slip = wanted.len() > 2 && strsim::osa_distance(&wanted, &candidate) == 1;
        (likeness >= 0.75 || is_slip).then_some(likeness)
    };
    let alike = known.into_iter().filter_map(|candidate| Some((likeness(candidate)?, candidate)));
    alike.max_by(|(left, _), (right, _)| left.total_cmp(right)).map(|(_, candidate)| candidate)
}
