//! TLS for Postgres and the registry: whom to trust, and what went wrong.
//!
//! Every configuration names the ring provider itself, so nothing has to be installed for the process. A CA file replaces
//! the system's roots, it does not add to them: who names an authority means that one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use afterbay_crds::plan::{CertificatePlan, PostgresTlsMode, PostgresTlsPlan, RegistryConnectionPlan};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// A configuration cannot be made from the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("{path} holds no PEM certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds something else than certificates where they should be.
    #[error("{path} is not a valid PEM file of certificates: {detail}")]
    MalformedCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A file holds no private key.
    #[error("{path} holds no usable PEM private key: {detail}")]
    MalformedKey {
        /// The file.
        path: PathBuf,
        /// What is wrong; never a part of the key.
        detail: String,
    },
    /// Certificate and key do not fit together.
    #[error("the certificate of {path} and its private key cannot be used: {detail}")]
    CertificateRefused {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The system has no trusted authorities.
    #[error("this system has no trusted certificate authorities")]
    NoSystemRoots,
    /// The library refuses.
    #[error("cannot set up TLS: {0}")]
    Library(String),
}

/// What of the server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verification {
    /// Nothing.
    None,
    /// That a trusted authority issued it.
    Chain,
    /// That, and that it bears the server's name.
    ChainAndName,
}

/// The configuration for a Postgres connection; none when it is to be plain text.
pub fn postgres(plan: &PostgresTlsPlan) -> Result<Option<Arc<ClientConfig>>, TlsConfigError> {
    let verification = match plan.mode {
        PostgresTlsMode::Disable => return Ok(None),
        PostgresTlsMode::Require => Verification::None,
        PostgresTlsMode::VerifyCa => Verification::Chain,
        PostgresTlsMode::VerifyFull => Verification::ChainAndName,
    };
    client_config(verification, plan.ca_file.as_deref(), None).map(|config| Some(Arc::new(config)))
}

/// The configuration for a schema registry: chain and name are checked, a client certificate is shown where there is one.
pub fn registry(plan: &RegistryConnectionPlan) -> Result<ClientConfig, TlsConfigError> {
    client_config(Verification::ChainAndName, plan.ca_file.as_deref(), plan.certificate.as_ref())
}

fn client_config(
    verification: Verification,
    ca_file: Option<&Path>,
    certificate: Option<&CertificatePlan>,
) -> Result<ClientConfig, TlsConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsConfigError::Library(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match verification {
        Verification::None => Arc::new(Unverified { algorithms: provider.signature_verification_algorithms }),
        Verification::Chain => Arc::new(ChainOnly { inner: chain_verifier(ca_file, provider)? }),
        Verification::ChainAndName => chain_verifier(ca_file, provider)?,
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some(certificate) = certificate else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(&certificate.certificate_file)?;
    let key = private_key(&certificate.key_file)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| TlsConfigError::CertificateRefused {
        path: certificate.certificate_file.clone(),
        detail: error.to_string(),
    })
}

fn chain_verifier(
    ca_file: Option<&Path>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| TlsConfigError::MalformedCertificate {
                path: path.to_owned(),
                detail: error.to_string(),
            })?;
        }
    } else {
        // Systems carry a few roots that are odd; those are left out, as everywhere.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(TlsConfigError::NoSystemRoots);
        }
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| TlsConfigError::Library(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsConfigError::MalformedCertificate { path: path.to_owned(), detail: error.to_string() })?;
    if certificates.is_empty() {
        return Err(TlsConfigError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| TlsConfigError::MalformedKey {
        path: path.to_owned(),
        // The library's other words can quote the file.
        detail: match error {
            Error::NoItemsFound => "there is none in it; an encrypted key cannot be used".to_owned(),
            _ => "it is not valid PEM".to_owned(),
        },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    std::fs::read(path).map_err(|source| TlsConfigError::Unreadable { path: path.to_owned(), source })
}

/// Takes every certificate; the handshake's signature is still checked.
#[derive(Debug)]
struct Unverified {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Checks the chain and not the name (libpq's `verify-ca`).
#[derive(Debug)]
struct ChainOnly {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The verifier looks at the name last: when that is what it dislikes, the chain is good.
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Why a handshake failed, in a user's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// No trusted authority issued the server's certificate.
    UnknownAuthority,
    /// The certificate bears other names.
    WrongName,
    /// The certificate's time is over, or has not begun.
    Expired,
    /// The server asks for a client certificate, or refuses the one that it was shown.
    ClientCertificate,
    /// Something else, in the library's words.
    Other(String),
}

impl HandshakeFailure {
    /// Finds the TLS library's error among an error and its causes.
    pub fn find(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(current) = next {
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return Some(Self::of(tls));
            }
            // An io::Error hides the error that it wraps from `source`.
            let inside = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match inside {
                Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
                None => current.source(),
            };
        }
        None
    }

    fn of(error: &rustls::Error) -> Self {
        use rustls::AlertDescription as Alert;
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                other => Self::Other(other.to_string()),
            },
            rustls::Error::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnknownCA
                | Alert::CertificateUnknown
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::UnsupportedCertificate
                | Alert::AccessDenied,
            ) => Self::ClientCertificate,
            other => Self::Other(other.to_string()),
        }
    }
}
