//! One resource, while it is judged.

use std::collections::BTreeMap;

use crate::manifest::{Kind, Located, ManifestError, Manifests, Place, Refused, nearest};
use crate::names::ResourceName;

/// The resource that is judged, among all; takes in what is wrong with it.
pub(super) struct Subject<'a> {
    pub(super) manifests: &'a Manifests,
    pub(super) name: &'a ResourceName,
    place: &'a Place,
    refused: &'a Refused,
    errors: &'a mut Vec<ManifestError>,
}

impl<'a> Subject<'a> {
    pub(super) fn new<T>(
        manifests: &'a Manifests,
        name: &'a ResourceName,
        resource: &'a Located<T>,
        errors: &'a mut Vec<ManifestError>,
    ) -> Self {
        Self { manifests, name, place: &resource.place, refused: &resource.refused, errors }
    }

    /// Takes in an error of a field, unless the field is refused: then what stands there is not what was written. An
    /// error that rests on further fields asks [`Self::knows`] about these.
    pub(super) fn tell(&mut self, field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) {
        let field = field.into();
        if !self.refused.covers(&field) {
            self.errors.push(self.place.error(field, what, remedy));
        }
    }

    /// The same for what a field refers to, and is not there.
    pub(super) fn lacks(&mut self, field: String, missing: String, what: String, remedy: String) {
        if !self.refused.covers(&field) {
            self.errors.push(self.place.error(field, what, remedy).until_there_is(missing));
        }
    }

    /// Whether this field, and all that stands in it, is as the user wrote it.
    pub(super) fn knows(&self, field: &str) -> bool {
        !self.refused.touches(field)
    }

    /// Tells where a field names a resource that is not there, with the nearest name that is.
    pub(super) fn refers_to<T>(
        &mut self,
        field: &str,
        kind: Kind,
        name: &str,
        known: &BTreeMap<ResourceName, Located<T>>,
    ) {
        let name = self.name.sibling(name);
        if known.contains_key(&name) || self.manifests.may_be_unnamed(kind, &name) {
            return;
        }
        let kind = kind.as_str();
        let siblings = known.keys().filter(|known| known.namespace == name.namespace).map(|known| known.name.as_str());
        let elsewhere = known.keys().find(|known| known.name == name.name);
        let remedy = match (nearest(&name.name, siblings), elsewhere) {
            (Some(like), _) => format!("did you mean {like}?"),
            (None, Some(other)) => {
                format!("there is one in namespace {}; put both into one namespace", other.namespace)
            }
            (None, None) => format!("add a {kind} of that name, or correct the name"),
        };
        self.lacks(field.to_owned(), format!("{kind} {name}"), format!("there is no {kind} {name}"), remedy);
    }
}
