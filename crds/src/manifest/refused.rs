//! Which fields of a resource are not known, as their shape is refused.

use std::collections::BTreeSet;

/// Fields whose shape is refused, which is told. Where something has to stand, a stand-in does: what follows from it
/// says nothing about the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused(BTreeSet<String>);

impl Refused {
    pub(super) fn insert(&mut self, field: impl Into<String>) {
        self.0.insert(field.into());
    }

    /// Whether this field, or one that it stands in, is refused.
    pub fn covers(&self, field: &str) -> bool {
        self.0.iter().any(|refused| is_within(field, refused))
    }

    /// Whether this field is refused, or one that it stands in, or one that stands in it.
    pub fn touches(&self, field: &str) -> bool {
        self.covers(field) || self.0.iter().any(|refused| is_within(refused, field))
    }
}

/// Whether a field is another one, or stands in it.
fn is_within(field: &str, other: &str) -> bool {
    field.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_fields() {
        let mut refused = Refused::default();
        refused.insert("spec.postgres.hosts[0].port");
        for (field, covers, touches) in [
            ("spec.postgres.hosts[0].port", true, true),
            ("spec.postgres.hosts[0].port.x", true, true),
            ("spec.postgres.hosts", false, true),
            ("spec.postgres", false, true),
            ("spec.postgres.host", false, false),
            ("spec.postgres.hosts[0].portal", false, false),
        ] {
            assert_eq!((refused.covers(field), refused.touches(field)), (covers, touches), "{field}");
        }
    }
}
