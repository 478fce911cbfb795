//! librdkafka's settings for a connection.

use std::path::Path;

use afterbay_crds::plan::{KafkaAuthenticationPlan, KafkaConnectionPlan};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError as KafkaCrateError;
use secrecy::{ExposeSecret, SecretString};

use super::error::KafkaError;
use crate::secret;

/// Where the systems keep the certificates of the authorities that they trust; the first that is there is taken.
const SYSTEM_CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Settings by name; their values may be secret, so they are not shown.
pub struct Settings(Vec<(String, SecretString)>);

impl Settings {
    /// How to reach and enter the cluster; files of secrets are read now.
    pub fn new(plan: &KafkaConnectionPlan) -> Result<Self, KafkaError> {
        let mut settings = Self(Vec::new());
        settings.set("bootstrap.servers", plan.bootstrap_servers.clone());
        settings.set("client.id", "afterbay");
        settings.set("socket.keepalive.enable", "true");
        // A topic that was deleted is told before its messages time out.
        settings.set("topic.metadata.propagation.max.ms", "10000");
        // A broker that comes back is found within a second or two, not after ten.
        settings.set("reconnect.backoff.max.ms", "2000");
        for (name, value) in &plan.config {
            settings.set(name, value.clone());
        }
        let sasl = settings.authentication(plan)?;
        // Whoever asks for a topic that is not there must not get one with the broker's defaults instead of an answer.
        settings.set("allow.auto.create.topics", "false");
        settings.set(
            "security.protocol",
            match (plan.tls.is_some(), sasl) {
                (false, false) => "plaintext",
                (true, false) => "ssl",
                (false, true) => "sasl_plaintext",
                (true, true) => "sasl_ssl",
            },
        );
        if let Some(tls) = &plan.tls {
            match &tls.ca_file {
                Some(file) => settings.set("ssl.ca.location", path(file)),
                None => {
                    if let Some(file) = SYSTEM_CERTIFICATES.iter().find(|file| Path::new(file).exists()) {
                        settings.set("ssl.ca.location", *file);
                    }
                }
            }
            settings.set("ssl.endpoint.identification.algorithm", "https");
        }
        Ok(settings)
    }

    /// Sets one, in place of what was set before.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), SecretString::from(value.into())));
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// For the clients of the `rdkafka` crate.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in self.iter() {
            config.set(name, value);
        }
        // Its own log lines are captured; below this nobody reads them.
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Info);
        config
    }

    /// Whether SASL is used.
    fn authentication(&mut self, plan: &KafkaConnectionPlan) -> Result<bool, KafkaError> {
        let (mechanism, username, password_file) = match &plan.authentication {
            None => return Ok(false),
            Some(KafkaAuthenticationPlan::Tls { certificate_file, key_file }) => {
                // Read here, so that a missing file is told by its name.
                secret::read(certificate_file)?;
                secret::read(key_file)?;
                self.set("ssl.certificate.location", path(certificate_file));
                self.set("ssl.key.location", path(key_file));
                return Ok(false);
            }
            Some(KafkaAuthenticationPlan::Plain { username, password_file }) => ("PLAIN", username, password_file),
            Some(KafkaAuthenticationPlan::ScramSha256 { username, password_file }) => {
                ("SCRAM-SHA-256", username, password_file)
            }
            Some(KafkaAuthenticationPlan::ScramSha512 { username, password_file }) => {
                ("SCRAM-SHA-512", username, password_file)
            }
        };
        let password = secret::read(password_file)?;
        self.set("sasl.mechanism", mechanism);
        self.set("sasl.username", username.clone());
        let password = std::str::from_utf8(password.expose_secret()).map_err(|_| KafkaError::Config {
            connection: plan.name.clone(),
            words: format!("the password in {} is not UTF-8", password_file.display()),
        })?;
        self.set("sasl.password", password);
        Ok(true)
    }
}

/// librdkafka's words, if it does not take a setting. Nobody is connected to.
pub fn refused(name: &str, value: &str) -> Option<String> {
    let mut config = ClientConfig::new();
    match config.set(name, value).create_native_config() {
        Ok(_) => None,
        Err(KafkaCrateError::ClientConfig(_, words, ..)) => Some(words),
        Err(error) => Some(error.to_string()),
    }
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use afterbay_crds::plan::KafkaTlsPlan;

    use super::*;

    fn plan(tls: bool, authentication: Option<KafkaAuthenticationPlan>) -> KafkaConnectionPlan {
        KafkaConnectionPlan {
            name: "default/events".into(),
            bootstrap_servers: "localhost:9092".into(),
            tls: tls.then(|| KafkaTlsPlan { ca_file: Some("ca.crt".into()) }),
            authentication,
            principal: None,
            config: vec![("socket.keepalive.enable".into(), "false".into())],
        }
    }

    fn setting(settings: &Settings, name: &str) -> Option<String> {
        settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    #[test]
    fn the_protocol_follows_from_tls_and_sasl() {
        let file = std::env::temp_dir().join(format!("afterbay-password-{}", std::process::id()));
        std::fs::write(&file, "se cret").unwrap();
        let scram = || Some(KafkaAuthenticationPlan::ScramSha512 { username: "u".into(), password_file: file.clone() });
        for (tls, authentication, expected) in [
            (false, None, "plaintext"),
            (true, None, "ssl"),
            (false, scram(), "sasl_plaintext"),
            (true, scram(), "sasl_ssl"),
        ] {
            let settings = Settings::new(&plan(tls, authentication)).unwrap();
            assert_eq!(setting(&settings, "security.protocol").as_deref(), Some(expected));
        }
        let settings = Settings::new(&plan(true, scram())).unwrap();
        assert_eq!(setting(&settings, "sasl.password").as_deref(), Some("se cret"));
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn what_the_user_sets_wins_over_what_is_merely_sensible() {
        let settings = Settings::new(&plan(false, None)).unwrap();
        assert_eq!(setting(&settings, "socket.keepalive.enable").as_deref(), Some("false"));
    }

    #[test]
    fn what_librdkafka_does_not_take_is_told_beforehand() {
        assert_eq!(refused("message.max.bytes", "2000000"), None);
        for (name, value) in [("no.such", "x"), ("message.max.bytes", "abc"), ("socket.keepalive.enable", "maybe")] {
            assert!(refused(name, value).is_some_and(|words| words.contains(name)), "{name}");
        }
    }

    #[test]
    fn a_missing_password_file_is_named() {
        let authentication =
            KafkaAuthenticationPlan::Plain { username: "u".into(), password_file: "/nowhere/password".into() };
        let Err(error) = Settings::new(&plan(false, Some(authentication))) else { panic!("it is not there") };
        let problem = error.problem();
        assert_eq!(problem.reason, "SecretUnreadable");
        assert!(problem.message.contains("/nowhere/password"), "{}", problem.message);
    }
}
