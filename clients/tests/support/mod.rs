//! A database of its own for each test, on the Postgres of the rig (`e2e/rig/rig up postgres`).

use std::env;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use afterbay_clients::postgres::{SqlClient, sql};
use afterbay_crds::plan::{HostPort, PostgresConnectionPlan, PostgresTlsMode, PostgresTlsPlan};
use futures::FutureExt as _;
use tempfile::NamedTempFile;

/// A database, and how to enter it as the superuser.
pub struct Database {
    pub plan: PostgresConnectionPlan,
    pub name: String,
    _password: NamedTempFile,
}

/// A file that holds a secret.
pub fn secret(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(content.as_bytes()).expect("a writable temporary file");
    file
}

/// Runs a test in a database of its own, and drops that with its slots, however the test ends.
pub async fn in_database(test: impl AsyncFnOnce(&Database)) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("afterbay_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let password = secret(&variable("PASSWORD", "pgpass"));
    let host = HostPort {
        host: variable("HOST", "127.0.0.1"),
        port: variable("PORT", "25432").parse().expect("a port in AFTERBAY_RIG_POSTGRES_PORT"),
    };
    let plan = |database: &str| PostgresConnectionPlan {
        hosts: vec![host.clone()],
        database: database.to_owned(),
        username: variable("USER", "postgres"),
        password_file: Some(password.path().to_owned()),
        tls: PostgresTlsPlan { mode: PostgresTlsMode::Disable, ca_file: None },
    };
    let admin = match sql::connect(&plan("postgres")).await {
        Ok(admin) => admin,
        Err(error) => panic!("these tests need the rig's Postgres (e2e/rig/rig up postgres): {error}"),
    };
    admin.execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
    let database = Database { plan: plan(&name), name: name.clone(), _password: password };

    let outcome = AssertUnwindSafe(test(&database)).catch_unwind().await;
    drop_database(&admin, &name).await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn drop_database(admin: &SqlClient, name: &str) {
    let end = format!("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '{name}'");
    let slots =
        format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'");
    eventually("the slots to be free", async || {
        admin.execute(&end).await.expect("the right to end sessions");
        admin.execute(&slots).await.is_ok()
    })
    .await;
    admin.execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("the database to be dropped");
}

/// Waits for a condition, up to a minute.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), waiting).await.is_ok(), "waited in vain for {what}");
}

fn variable(name: &str, default: &str) -> String {
    env::var(format!("AFTERBAY_RIG_POSTGRES_{name}")).unwrap_or_else(|_| default.to_owned())
}

impl Database {
    /// A session as the superuser.
    pub async fn sql(&self) -> SqlClient {
        sql::connect(&self.plan).await.expect("a session")
    }

    /// The way in for another role.
    pub fn plan_as(&self, role: &str, password: &NamedTempFile) -> PostgresConnectionPlan {
        PostgresConnectionPlan {
            username: role.to_owned(),
            password_file: Some(password.path().to_owned()),
            ..self.plan.clone()
        }
    }
}
