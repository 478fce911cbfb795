//! References to keys of Secrets.

use secrecy::{ExposeSecret as _, SecretSlice};

use super::subject::Subject;
use crate::api::{CertificateAndKeyRef, CertificateRef, PasswordRef, UsernameRef};
use crate::manifest::{Kind, nearest};

/// What is wrong with a word of a Secret, and what to do.
type Wrong = (&'static str, &'static str);

impl Subject<'_> {
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

    /// A password of any bytes.
    pub(super) fn password(&mut self, reference: &PasswordRef, field: &str) {
        self.word(&reference.secret_name, &reference.password, (field, "password"), |_| None);
    }

    /// A password that its client takes as text only.
    pub(super) fn password_in_utf8(&mut self, reference: &PasswordRef, field: &str) {
        self.word(&reference.secret_name, &reference.password, (field, "password"), |value| {
            match str::from_utf8(value) {
                Err(_) => Some(("it is not UTF-8", "write it in UTF-8, or choose one of plain letters and digits")),
                // Kafka's client ends a word there; basic authentication takes none (RFC 7617).
                Ok(text) => text.contains('\0').then_some(("it holds a NUL character", "choose one without")),
            }
        });
    }

    /// A user's name; `refused` says what else it cannot hold.
    pub(super) fn username(&mut self, reference: &UsernameRef, field: &str, refused: fn(&str) -> Option<Wrong>) {
        self.word(&reference.secret_name, &reference.username, (field, "username"), |value| {
            str::from_utf8(value).map_or(Some(("it is not UTF-8", "write it in UTF-8")), refused)
        });
    }

    /// A word is not empty, and does not end with the line end that `echo` leaves.
    fn word(&mut self, secret: &str, key: &str, (field, leaf): (&str, &str), refused: impl Fn(&[u8]) -> Option<Wrong>) {
        let Some((value, at)) = self.value(secret, key, field, leaf) else { return };
        let value = value.expose_secret();
        let wrong = if value.is_empty() {
            Some(("it is empty", "give it a value"))
        } else if value.ends_with(b"\n") || value.ends_with(b"\r") {
            Some((
                "it ends with a line end, which would be part of the word",
                "write it without one (printf instead of echo, or stringData in one line)",
            ))
        } else {
            refused(value)
        };
        if let Some((what, remedy)) = wrong {
            self.tell(format!("{field}.{leaf}"), format!("key {key} of Secret {secret} ({at}): {what}"), remedy);
        }
    }

    fn pem(&mut self, secret: &str, key: &str, (field, leaf): (&str, &str), block: &str) {
        let Some((value, at)) = self.value(secret, key, field, leaf) else { return };
        let text = String::from_utf8_lossy(value.expose_secret());
        let holds = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(block));
        if !holds {
            let what = format!("key {key} of Secret {secret} ({at}) holds no PEM block \"{block}\"");
            self.tell(format!("{field}.{leaf}"), what, "give it in PEM form, from -----BEGIN to -----END");
        }
    }

    /// The value of a key, and where it stands.
    fn value(&mut self, secret: &str, key: &str, field: &str, leaf: &str) -> Option<(SecretSlice<u8>, String)> {
        let manifests = self.manifests;
        let name = self.name.sibling(secret);
        let Some(found) = manifests.secrets.get(&name) else {
            self.refers_to(&format!("{field}.secretName"), Kind::Secret, secret, &manifests.secrets);
            return None;
        };
        let at = found.place.in_words();
        let Some(value) = found.spec.get(key) else {
            if found.may_hold(key) {
                return None;
            }
            let known = found.spec.keys().map(String::as_str);
            let remedy = match nearest(key, known.clone()) {
                Some(like) => format!("did you mean {like}?"),
                None if found.spec.is_empty() => "add the key to it: it has none".to_owned(),
                None => format!("add it, or use one of {}", known.collect::<Vec<_>>().join(", ")),
            };
            let missing = format!("key {key} of Secret {name}");
            self.lacks(format!("{field}.{leaf}"), missing, format!("Secret {name} has no key {key} ({at})"), remedy);
            return None;
        };
        Some((value.bytes.clone(), format!("{at}, {}.{key}", value.section)))
    }
}
