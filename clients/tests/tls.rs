//! TLS of both clients against servers of a few lines, with certificates that `openssl` makes on the spot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end by panics")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use afterbay_clients::postgres::{PostgresError, PostgresErrorKind, ReplicationConnection, sql};
use afterbay_clients::registry::{RegistryClient, RegistryErrorKind};
use afterbay_crds::plan::{
    CertificatePlan, HostPort, PostgresConnectionPlan, PostgresTlsMode, PostgresTlsPlan, RegistryConnectionPlan,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// An authority, a server's certificate for `localhost` and a client's, and a second authority that issued nothing.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Self(TempDir::new().unwrap());
        for authority in ["ca", "other"] {
            made.openssl(&format!(
                "req -x509 -subj /CN={authority} -keyout {authority}.key -out {authority}.crt -days 2"
            ));
        }
        for name in ["server", "client"] {
            std::fs::write(made.path("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
            made.openssl(&format!("req -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            made.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.crt"
            ));
        }
        made
    }

    fn openssl(&self, arguments: &str) {
        let mut words: Vec<&str> = arguments.split(' ').collect();
        if words[0] == "req" {
            words.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        }
        let output =
            Command::new("openssl").args(words).current_dir(self.0.path()).output().expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn chain(&self, file: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(self.path(file)).unwrap().map(Result::unwrap).collect()
    }

    /// A server that shows `server.crt`, and wants a certificate of `ca.crt` if told to.
    fn acceptor(&self, client_certificate: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.unwrap();
        let builder = if client_certificate {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(self.chain("ca.crt"));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        let config = builder.with_single_cert(self.chain("server.crt"), key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A Postgres that knows no database, and so ends each session after the handshake; its port.
async fn postgres(tls: Option<TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let mut request = [0; 8];
                socket.read_exact(&mut request).await.unwrap();
                assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47], "SSLRequest");
                let Some(acceptor) = tls else { return socket.write_all(b"N").await.unwrap() };
                socket.write_all(b"S").await.unwrap();
                // The client may dislike the certificate.
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut startup = [0; 4];
                stream.read_exact(&mut startup).await.unwrap();
                let fields = b"SFATAL\0VFATAL\0C3D000\0Mdatabase does not exist\0\0";
                let mut message = vec![b'E'];
                message.extend((fields.len() as u32 + 4).to_be_bytes());
                message.extend(fields);
                stream.write_all(&message).await.unwrap();
                stream.shutdown().await.ok();
            });
        }
    });
    port
}

/// How both of the clients fail to enter that Postgres.
async fn refused(host: &str, port: u16, mode: PostgresTlsMode, ca_file: Option<PathBuf>) -> PostgresErrorKind {
    let plan = PostgresConnectionPlan {
        hosts: vec![HostPort { host: host.to_owned(), port }],
        database: "shop".to_owned(),
        username: "afterbay".to_owned(),
        password_file: None,
        tls: PostgresTlsPlan { mode, ca_file },
    };
    let errors: [PostgresError; 2] = [
        sql::connect(&plan).await.expect_err("no database"),
        ReplicationConnection::connect(&plan).await.expect_err("no database"),
    ];
    assert_eq!(errors[0].kind, errors[1].kind, "{} - {}", errors[0], errors[1]);
    if errors[0].kind != PostgresErrorKind::UnknownDatabase {
        assert_eq!(errors[0].problem().reason, "SourceTlsFailed", "{}", errors[0]);
        assert!(!errors[0].transient());
    }
    errors[0].kind
}

/// The handshake went through: it was the server that refused.
const THROUGH: PostgresErrorKind = PostgresErrorKind::UnknownDatabase;

#[tokio::test]
async fn each_mode_of_postgres_checks_what_it_says() {
    use PostgresTlsMode::{Require, VerifyCa, VerifyFull};
    let certificates = Certificates::make();
    let port = postgres(Some(certificates.acceptor(false))).await;
    let ca = || Some(certificates.path("ca.crt"));
    let other = || Some(certificates.path("other.crt"));

    assert_eq!(refused("localhost", port, VerifyFull, ca()).await, THROUGH);
    assert_eq!(refused("127.0.0.1", port, VerifyFull, ca()).await, PostgresErrorKind::TlsWrongName);
    assert_eq!(refused("localhost", port, VerifyFull, other()).await, PostgresErrorKind::TlsUntrusted);
    assert_eq!(refused("localhost", port, VerifyFull, None).await, PostgresErrorKind::TlsUntrusted);
    assert_eq!(refused("127.0.0.1", port, VerifyCa, ca()).await, THROUGH);
    assert_eq!(refused("127.0.0.1", port, VerifyCa, other()).await, PostgresErrorKind::TlsUntrusted);
    assert_eq!(refused("127.0.0.1", port, Require, None).await, THROUGH);
}

#[tokio::test]
async fn a_postgres_without_tls_is_told() {
    let port = postgres(None).await;
    let kind = refused("localhost", port, PostgresTlsMode::Require, None).await;
    assert_eq!(kind, PostgresErrorKind::TlsNotOffered);
}

#[tokio::test]
async fn files_that_are_no_certificates_are_told() {
    let certificates = Certificates::make();
    std::fs::write(certificates.path("empty"), "").unwrap();
    std::fs::write(certificates.path("broken"), "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n")
        .unwrap();
    std::fs::write(certificates.path("nonsense"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    for file in ["missing", "empty", "broken", "nonsense", "ca.key"] {
        let file = certificates.path(file);
        let kind = refused("localhost", 1, PostgresTlsMode::VerifyFull, Some(file.clone())).await;
        assert_eq!(kind, PostgresErrorKind::TlsFiles, "{}", file.display());
    }
}

/// A registry that takes everything; its port.
async fn registry(tls: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(socket).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]").await.unwrap();
                stream.shutdown().await.ok();
            });
        }
    });
    port
}

fn registry_plan(host: &str, port: u16, ca: &Path) -> RegistryConnectionPlan {
    RegistryConnectionPlan {
        name: "default/schemas".to_owned(),
        url: format!("https://{host}:{port}"),
        ca_file: Some(ca.to_owned()),
        basic: None,
        certificate: None,
    }
}

#[tokio::test]
async fn a_registry_is_verified_and_may_want_a_certificate() {
    let certificates = Certificates::make();
    let check = async |plan: &RegistryConnectionPlan| match RegistryClient::new(plan) {
        Ok(client) => client.check().await.map_err(|error| error.kind),
        Err(error) => Err(error.kind),
    };
    let ca = certificates.path("ca.crt");
    let port = registry(certificates.acceptor(false)).await;
    assert_eq!(check(&registry_plan("localhost", port, &ca)).await, Ok(()));
    assert_eq!(check(&registry_plan("127.0.0.1", port, &ca)).await, Err(RegistryErrorKind::TlsFailed));
    let other = certificates.path("other.crt");
    assert_eq!(check(&registry_plan("localhost", port, &other)).await, Err(RegistryErrorKind::TlsFailed));

    let port = registry(certificates.acceptor(true)).await;
    let plan = registry_plan("localhost", port, &ca);
    assert_eq!(check(&plan).await, Err(RegistryErrorKind::AuthenticationFailed));
    let with = |certificate: &str, key: &str| RegistryConnectionPlan {
        certificate: Some(CertificatePlan {
            certificate_file: certificates.path(certificate),
            key_file: certificates.path(key),
        }),
        ..plan.clone()
    };
    assert_eq!(check(&with("client.crt", "client.key")).await, Ok(()));
    assert_eq!(check(&with("other.crt", "other.key")).await, Err(RegistryErrorKind::AuthenticationFailed));
    assert_eq!(check(&with("client.crt", "server.key")).await, Err(RegistryErrorKind::TlsFiles), "they do not fit");
    assert_eq!(check(&with("client.crt", "client.crt")).await, Err(RegistryErrorKind::TlsFiles), "no key");
}
