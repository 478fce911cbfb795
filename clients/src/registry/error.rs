//! What can go wrong with a registry.

use std::fmt;

use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::tls::HandshakeFailure;

/// How much of an answer that is not the interface's own is told.
const WORDS_CHARS_MAX: usize = 200;

/// An error of a registry.
#[derive(Debug, thiserror::Error)]
#[error("{kind} ({registry}): {words}")]
pub struct RegistryError {
    /// Its class.
    pub kind: RegistryErrorKind,
    /// The registry's own words, or the system's.
    pub words: String,
    /// The registry's URL, without what it may hold of user and password.
    pub registry: String,
    /// The subject that it is about.
    pub subject: Option<String>,
    /// What it answered.
    pub status: Option<StatusCode>,
}

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistryErrorKind {
    /// Nobody answers, or not in time.
    Unreachable,
    /// It answers that it cannot serve now (HTTP 429 or 5xx).
    Unavailable,
    /// User, password or certificate are refused.
    AuthenticationFailed,
    /// The TLS handshake fails.
    TlsFailed,
    /// Our own TLS files cannot be used.
    TlsFiles,
    /// The file of the user's name or password cannot be read.
    SecretUnreadable,
    /// The schema is invalid, or not compatible with those of its subject.
    SchemaRefused,
    /// Something else than the interface says.
    Failed,
}

impl fmt::Display for RegistryErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the registry is unreachable",
            Self::Unavailable => "the registry is not available now",
            Self::AuthenticationFailed => "the registry does not let us in",
            Self::TlsFailed => "the TLS handshake failed",
            Self::TlsFiles => "TLS cannot be set up",
            Self::SecretUnreadable => "user or password cannot be read",
            Self::SchemaRefused => "the registry refuses the schema",
            Self::Failed => "the registry failed",
        })
    }
}

/// The interface's own errors.
#[derive(Deserialize)]
struct ErrorAnswer {
    message: String,
}

/// One for a registry that goes down, is away and comes up: it is one outage, which is told once.
const UNREACHABLE_HINT: &str = "check the URL, that the registry runs and what its log says, and that no firewall is in \
                                between; it is tried again by itself";

impl RegistryError {
    pub(super) fn new(kind: RegistryErrorKind, words: impl Into<String>, url: &str) -> Self {
        Self { kind, words: words.into(), registry: without_user(url), subject: None, status: None }
    }

    pub(super) fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// No answer came.
    pub(super) fn transport(error: &reqwest::Error, url: &str) -> Self {
        if let Some(failure) = HandshakeFailure::find(error) {
            let (kind, words) = match failure {
                HandshakeFailure::UnknownAuthority => {
                    (RegistryErrorKind::TlsFailed, "no trusted authority issued its certificate".to_owned())
                }
                HandshakeFailure::WrongName => {
                    (RegistryErrorKind::TlsFailed, "its certificate is for another name".to_owned())
                }
                HandshakeFailure::Expired => {
                    (RegistryErrorKind::TlsFailed, "its certificate is expired or not yet valid".to_owned())
                }
                HandshakeFailure::ClientCertificate => (
                    RegistryErrorKind::AuthenticationFailed,
                    "it asks for a client certificate, or refuses the one that it was shown".to_owned(),
                ),
                HandshakeFailure::Other(words) => (RegistryErrorKind::TlsFailed, words),
            };
            return Self::new(kind, words, url);
        }
        if error.is_timeout() {
            return Self::new(RegistryErrorKind::Unreachable, "no answer in time", url);
        }
        // The innermost cause says it best, e.g. "Connection refused"; the outer ones repeat the URL.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::new(RegistryErrorKind::Unreachable, cause.to_string(), url)
    }

    /// An answer came that is no success.
    pub(super) fn answered(status: StatusCode, body: &[u8], url: &str) -> Self {
        let said = match serde_json::from_slice::<ErrorAnswer>(body) {
            Ok(answer) => answer.message,
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        };
        let said = one_line(&said);
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryErrorKind::AuthenticationFailed,
            // What nginx says to those who come without.
            StatusCode::BAD_REQUEST if said.contains("SSL certificate") => RegistryErrorKind::AuthenticationFailed,
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => RegistryErrorKind::SchemaRefused,
            StatusCode::TOO_MANY_REQUESTS => RegistryErrorKind::Unavailable,
            status if status.is_server_error() => RegistryErrorKind::Unavailable,
            _ => RegistryErrorKind::Failed,
        };
        let words = if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
        Self { status: Some(status), ..Self::new(kind, words, url) }
    }

    /// Whether trying again can help without anybody changing something.
    pub fn transient(&self) -> bool {
        matches!(self.kind, RegistryErrorKind::Unreachable | RegistryErrorKind::Unavailable)
    }

    /// What a user reads.
    pub fn problem(&self) -> Problem {
        use RegistryErrorKind as Kind;
        let Self { registry, words, .. } = self;
        match self.kind {
            Kind::Unreachable => Reason::RegistryUnreachable
                .problem(format!("the schema registry at {registry} does not answer: {words}"), UNREACHABLE_HINT),
            Kind::Unavailable => Reason::RegistryUnreachable
                .problem(format!("the schema registry at {registry} cannot serve now: {words}"), UNREACHABLE_HINT),
            Kind::AuthenticationFailed => Reason::RegistryAuthenticationFailed.problem(
                format!("the schema registry at {registry} does not let us in: {words}"),
                "check user, password and certificate in the Secrets that the SchemaRegistryConnection names, and what \
                 they are allowed to do",
            ),
            Kind::TlsFailed => Reason::RegistryTlsFailed.problem(
                format!("the TLS handshake with the schema registry at {registry} failed: {words}"),
                "name the authority that issued its certificate in tls.trustedCertificates, and use a host name that \
                 stands in the certificate",
            ),
            Kind::TlsFiles => Reason::RegistryTlsFailed.problem(
                format!("TLS for the schema registry at {registry} cannot be set up: {words}"),
                "check that the referenced Secrets hold PEM certificates and an unencrypted PEM key that fit together",
            ),
            Kind::SecretUnreadable => Reason::SecretUnreadable.problem(
                format!("user or password for the schema registry at {registry} cannot be read: {words}"),
                "check that the Secret exists and holds the key",
            ),
            Kind::SchemaRefused => {
                let subject = self.subject.as_deref().unwrap_or("?");
                Reason::SchemaRefused.problem(
                    format!("the schema registry at {registry} refuses the schema of subject \"{subject}\": {words}"),
                    format!(
                        "relax the compatibility level of subject \"{subject}\", or delete the subject if nobody reads by \
                         it; it is tried again"
                    ),
                )
            }
            Kind::Failed => Reason::RegistryFailed.problem(
                format!("the schema registry at {registry} answers unexpectedly: {words}"),
                "check that the URL is that of Confluent's interface, with its path where it has one \
                 (Apicurio: /apis/ccompat/v7)",
            ),
        }
    }
}

fn without_user(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    if parsed.username().is_empty() && parsed.password().is_none() {
        return url.trim_end_matches('/').to_owned();
    }
    let stripped = parsed.set_username("").and_then(|()| parsed.set_password(None));
    if stripped.is_ok() { parsed.to_string() } else { "its URL".to_owned() }
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(WORDS_CHARS_MAX) {
        Some((end, _)) => format!("{} …", &words[..end]),
        None => words,
    }
}
