//! Connections as the plan has them: their secrets become files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretSlice};

use super::SecretFile;
use crate::api::{
    Authentication, AuthenticationType, CertificateAndKeyRef, CertificateRef, KafkaConnectionSpec, PostgresSource,
    SchemaRegistryConnectionSpec, default_port,
};
use crate::manifest::Manifests;
use crate::names::{ResourceName, WorkerName};
use crate::plan::{
    CertificatePlan, HostPort, KafkaAuthenticationPlan, KafkaConnectionPlan, KafkaTlsPlan, PostgresConnectionPlan,
    PostgresTlsMode, PostgresTlsPlan, RegistryBasicPlan, RegistryConnectionPlan,
};

/// Gives each secret of a worker a file.
pub(super) struct Secrets<'a> {
    manifests: &'a Manifests,
    /// `<secrets directory>/<the worker's file stem>`: workers share no files.
    dir: PathBuf,
    files: BTreeMap<PathBuf, SecretSlice<u8>>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(manifests: &'a Manifests, dir: &Path, worker: &WorkerName) -> Self {
        let dir = dir.join(worker.file_stem());
        Self { manifests, dir, files: BTreeMap::new() }
    }

    pub(super) fn files(self) -> Vec<SecretFile> {
        self.files.into_iter().map(|(path, contents)| SecretFile { path, contents }).collect()
    }

    pub(super) fn postgres(&mut self, name: &ResourceName, spec: &PostgresSource) -> PostgresConnectionPlan {
        let hosts = match &spec.host {
            Some(host) => vec![(host.clone(), spec.port.unwrap_or_else(default_port))],
            None => spec.hosts.iter().map(|host| (host.host.clone(), host.port)).collect(),
        };
        let port = |port| u16::try_from(port).unwrap_or_default();
        PostgresConnectionPlan {
            hosts: hosts.into_iter().map(|(host, number)| HostPort { host, port: port(number) }).collect(),
            database: spec.database.clone(),
            username: spec.authentication.username.clone(),
            password_file: spec.authentication.password_secret.as_ref().map(|reference| {
                self.file("postgres-password", &name.sibling(&reference.secret_name), &reference.password)
            }),
            tls: match &spec.tls {
                None => PostgresTlsPlan { mode: PostgresTlsMode::Disable, ca_file: None },
                Some(tls) => PostgresTlsPlan {
                    mode: tls.mode,
                    ca_file: self.authorities("postgres-ca", name, &tls.trusted_certificates),
                },
            },
        }
    }

    /// The cluster, entered by `who`; `role` keeps the files of two identities apart.
    pub(super) fn kafka(
        &mut self,
        name: &ResourceName,
        spec: &KafkaConnectionSpec,
        who: Option<&Authentication>,
        role: &str,
    ) -> KafkaConnectionPlan {
        let prefix = format!("kafka-{}", name.name);
        KafkaConnectionPlan {
            name: name.to_string(),
            bootstrap_servers: spec.bootstrap_servers.split(',').map(str::trim).collect::<Vec<_>>().join(","),
            tls: spec.tls.as_ref().map(|tls| KafkaTlsPlan {
                ca_file: self.authorities(&format!("{prefix}-ca"), name, &tls.trusted_certificates),
            }),
            authentication: who.and_then(|who| self.kafka_authentication(name, who, &format!("{prefix}-{role}"))),
            // It names the workers, and whoever is the same as they are.
            principal: spec.acls.principal.clone().filter(|_| who == spec.authentication.as_ref()),
            config: spec.config.iter().map(|(setting, value)| (setting.clone(), value.clone())).collect(),
        }
    }

    fn kafka_authentication(
        &mut self,
        name: &ResourceName,
        who: &Authentication,
        prefix: &str,
    ) -> Option<KafkaAuthenticationPlan> {
        if who.r#type == AuthenticationType::Tls {
            let CertificatePlan { certificate_file, key_file } =
                self.certificate(prefix, name, who.certificate_and_key.as_ref()?);
            return Some(KafkaAuthenticationPlan::Tls { certificate_file, key_file });
        }
        let username = who.username.clone()?;
        let password = who.password_secret.as_ref()?;
        let password_file =
            self.file(&format!("{prefix}-password"), &name.sibling(&password.secret_name), &password.password);
        Some(match who.r#type {
            AuthenticationType::ScramSha256 => KafkaAuthenticationPlan::ScramSha256 { username, password_file },
            AuthenticationType::ScramSha512 => KafkaAuthenticationPlan::ScramSha512 { username, password_file },
            _ => KafkaAuthenticationPlan::Plain { username, password_file },
        })
    }

    pub(super) fn registry(
        &mut self,
        name: &ResourceName,
        spec: &SchemaRegistryConnectionSpec,
    ) -> RegistryConnectionPlan {
        let prefix = format!("registry-{}", name.name);
        let authentication = spec.authentication.as_ref();
        RegistryConnectionPlan {
            name: name.to_string(),
            url: spec.url.trim_end_matches('/').to_owned(),
            ca_file: spec
                .tls
                .as_ref()
                .and_then(|tls| self.authorities(&format!("{prefix}-ca"), name, &tls.trusted_certificates)),
            basic: authentication.and_then(|who| who.basic.as_ref()).map(|basic| {
                let username_file = format!("{prefix}-username");
                RegistryBasicPlan {
                    username_file: match (&basic.username, &basic.username_secret) {
                        (Some(username), _) => self.put(&username_file, username.as_bytes().to_vec()),
                        (None, Some(secret)) => {
                            self.file(&username_file, &name.sibling(&secret.secret_name), &secret.username)
                        }
                        (None, None) => self.put(&username_file, Vec::new()),
                    },
                    password_file: self.file(
                        &format!("{prefix}-password"),
                        &name.sibling(&basic.password_secret.secret_name),
                        &basic.password_secret.password,
                    ),
                }
            }),
            certificate: authentication
                .and_then(|who| who.certificate_and_key.as_ref())
                .map(|reference| self.certificate(&prefix, name, reference)),
        }
    }

    fn certificate(&mut self, prefix: &str, name: &ResourceName, reference: &CertificateAndKeyRef) -> CertificatePlan {
        let secret = name.sibling(&reference.secret_name);
        CertificatePlan {
            certificate_file: self.file(&format!("{prefix}-certificate"), &secret, &reference.certificate),
            key_file: self.file(&format!("{prefix}-key"), &secret, &reference.key),
        }
    }

    /// One file with all authorities; none where those of the system are to be trusted.
    fn authorities(&mut self, file: &str, name: &ResourceName, certificates: &[CertificateRef]) -> Option<PathBuf> {
        if certificates.is_empty() {
            return None;
        }
        let mut bundle = Vec::new();
        for certificate in certificates {
            bundle.extend(self.value(&name.sibling(&certificate.secret_name), &certificate.certificate));
            bundle.push(b'\n');
        }
        Some(self.put(file, bundle))
    }

    fn file(&mut self, file: &str, secret: &ResourceName, key: &str) -> PathBuf {
        let value = self.value(secret, key);
        self.put(file, value)
    }

    fn put(&mut self, file: &str, contents: Vec<u8>) -> PathBuf {
        let path = self.dir.join(file);
        self.files.insert(path.clone(), SecretSlice::from(contents));
        path
    }

    /// The value; validation has seen that it is there.
    fn value(&self, secret: &ResourceName, key: &str) -> Vec<u8> {
        let data = self.manifests.secrets.get(secret).and_then(|secret| secret.spec.get(key));
        data.map(|value| value.bytes.expose_secret().to_vec()).unwrap_or_default()
    }
}
