//! The parts that stand for the outside world, as `e2e/rig/rig` has brought them up.

use std::collections::HashMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tokio_postgres::Config;

use crate::programs::repository;

/// What `rig env` says, overridden by the environment.
#[derive(Debug)]
pub struct Rig {
    settings: HashMap<String, String>,
}

impl Rig {
    /// The rig. Its plain parts are up, or the test fails.
    pub fn get() -> &'static Self {
        static RIG: OnceLock<Rig> = OnceLock::new();
        RIG.get_or_init(|| {
            let rig = Self::read();
            rig.needs("postgres", &rig.postgres_host_port());
            rig.needs("broker", rig.broker());
            let registry = rig.registry().trim_start_matches("http://").split('/').next().unwrap_or_default();
            rig.needs("registry", registry);
            rig
        })
    }

    fn read() -> Self {
        let text = String::from_utf8_lossy(&script(&["env"]).stdout).into_owned();
        let assignments = text.lines().filter_map(|line| line.trim().trim_start_matches("export ").split_once('='));
        let mut settings: HashMap<_, _> =
            assignments.map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect();
        settings.extend(std::env::vars().filter(|(name, _)| name.starts_with("AFTERBAY_RIG_")));
        Self { settings }
    }

    /// A setting, without the `AFTERBAY_RIG_` in front of its name.
    pub fn setting(&self, name: &str) -> &str {
        let found = self.settings.get(&format!("AFTERBAY_RIG_{name}"));
        found.unwrap_or_else(|| panic!("e2e/rig/rig env does not tell AFTERBAY_RIG_{name}"))
    }

    /// Fails unless something listens there.
    pub fn needs(&self, part: &str, address: &str) {
        let listens = address
            .to_socket_addrs()
            .is_ok_and(|mut addresses| addresses.any(|address| TcpStream::connect(address).is_ok()));
        assert!(listens, "part {part} of the rig is not up at {address}: run e2e/rig/rig up {part}");
    }

    /// Runs the rig's script; fails unless it works. What it says on standard error.
    pub fn run(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&script(arguments).stderr).into_owned()
    }

    /// The superuser of Postgres, in the database `postgres`.
    pub fn postgres(&self) -> Config {
        let (host, port) = self.postgres_address();
        self.postgres_at(&host, port)
    }

    /// The superuser of one of the rig's Postgres servers.
    pub fn postgres_at(&self, host: &str, port: u16) -> Config {
        let mut config = Config::new();
        config.host(host).port(port).dbname("postgres").application_name("afterbay-e2e");
        config.user(self.setting("POSTGRES_USER")).password(self.setting("POSTGRES_PASSWORD"));
        config
    }

    /// Host and port of Postgres.
    pub fn postgres_address(&self) -> (String, u16) {
        let port = self.setting("POSTGRES_PORT");
        (self.setting("POSTGRES_HOST").to_owned(), port.parse().expect("a port is a number"))
    }

    fn postgres_host_port(&self) -> String {
        let (host, port) = self.postgres_address();
        format!("{host}:{port}")
    }

    /// Host and port of the Postgres whose `wal_level` is `replica`.
    pub fn replica_level_postgres(&self) -> (String, u16) {
        let port = self.setting("POSTGRES_REPLICA_LEVEL_PORT");
        (self.setting("POSTGRES_HOST").to_owned(), port.parse().expect("a port is a number"))
    }

    /// The plain broker, `host:port`.
    pub fn broker(&self) -> &str {
        self.setting("BROKER")
    }

    /// The plain registry's URL.
    pub fn registry(&self) -> &str {
        self.setting("REGISTRY")
    }
}

fn script(arguments: &[&str]) -> Output {
    let script = repository().join("e2e/rig/rig");
    let output = Command::new(&script).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rig {} ends with {}: {words}", arguments.join(" "), output.status);
    output
}
