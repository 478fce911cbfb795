//! References to keys of Secrets.

use secrecy::ExposeSecret as _;

use super::dangling;
use crate::api::{CertificateAndKeyRef, CertificateRef, PasswordRef, UsernameRef};
use crate::manifest::{Kind, ManifestError, Manifests, Place, nearest};
use crate::names::ResourceName;

/// Looks up what the fields of one resource refer to.
pub(super) struct References<'a> {
    pub(super) manifests: &'a Manifests,
    pub(super) resource: &'a ResourceName,
    pub(super) place: &'a Place,
    pub(super) errors: &'a mut Vec<ManifestError>,
}

impl References<'_> {
    pub(super) fn certificates(&mut self, certificates: &[CertificateRef], field: &str) {
        for (index, certificate) in certificates.iter().enumerate() {
            let field = format!("{field}[{index}]");
            self.pem(&certificate.secret_name, &certificate.certificate, (&field, "certificate"), "CERTIFICATE");
        }
    }

    pub(super) fn certificate_and_key(&mut self, reference: &CertificateAndKeyRef, field: &str) {
        self.pem(&reference.secret_name, &reference.certificate, (field, "certificate"), "CERTIFICATE");
        self.pem(&reference.secret_name, &reference.key, (field, "key"), "PRIVATE KEY");
    }

    pub(super) fn password(&mut self, reference: &PasswordRef, field: &str) {
        self.word(&reference.secret_name, &reference.password, (field, "password"));
    }

    pub(super) fn username(&mut self, reference: &UsernameRef, field: &str) {
        self.word(&reference.secret_name, &reference.username, (field, "username"));
    }

    /// A word is not empty, and does not end with the line end that `echo` leaves.
    fn word(&mut self, secret: &str, key: &str, (field, leaf): (&str, &str)) {
        let Some(value) = self.value(secret, key, field, leaf) else { return };
        let wrong = if value.is_empty() {
            Some(("it is empty", "give it a value"))
        } else if value.ends_with(b"\n") || value.ends_with(b"\r") {
            Some((
                "it ends with a line end, which would be part of the word",
                "write it without one (printf instead of echo, or stringData in one line)",
            ))
        } else {
            None
        };
        if let Some((what, remedy)) = wrong {
            let what = format!("key {key} of Secret {secret}: {what}");
            self.errors.push(self.place.error(format!("{field}.{leaf}"), what, remedy));
        }
    }

    fn pem(&mut self, secret: &str, key: &str, (field, leaf): (&str, &str), block: &str) {
        let Some(value) = self.value(secret, key, field, leaf) else { return };
        let text = String::from_utf8_lossy(&value);
        let holds = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(block));
        if !holds {
            let what = format!("key {key} of Secret {secret} holds no PEM block \"{block}\"");
            let remedy = "give it in PEM form, from -----BEGIN to -----END";
            self.errors.push(self.place.error(format!("{field}.{leaf}"), what, remedy));
        }
    }

    fn value(&mut self, secret: &str, key: &str, field: &str, leaf: &str) -> Option<Vec<u8>> {
        let name = self.resource.sibling(secret);
        let Some(found) = self.manifests.secrets.get(&name) else {
            if let Some((what, remedy)) = dangling(self.manifests, Kind::Secret, &name, &self.manifests.secrets) {
                self.errors.push(self.place.error(format!("{field}.secretName"), what, remedy));
            }
            return None;
        };
        let Some(value) = found.spec.get(key) else {
            if self.manifests.may_be_unread(Kind::Secret, &name) {
                return None;
            }
            let known = found.spec.keys().map(String::as_str);
            let remedy = match nearest(key, known.clone()) {
                Some(like) => format!("did you mean {like}?"),
                None if found.spec.is_empty() => "add the key to it: it has none".to_owned(),
                None => format!("add it, or use one of {}", known.collect::<Vec<_>>().join(", ")),
            };
            let what = format!("Secret {name} has no key {key}");
            self.errors.push(self.place.error(format!("{field}.{leaf}"), what, remedy));
            return None;
        };
        Some(value.expose_secret().to_vec())
    }
}
