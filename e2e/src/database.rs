//! A database, and the roles of a test.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::Rig;
use crate::waiting::await_condition;

/// A database of its own for each test, owned by a role that may replicate. All that hangs on it is dropped at the end.
pub struct Database {
    /// Name of the database.
    pub name: String,
    /// The role that Afterbay uses; it owns the database and what [`Database::run`] makes.
    pub role: String,
    /// Its password.
    pub password: String,
    superuser: Config,
    admin: Client,
    owner: Client,
}

impl Database {
    /// Makes role and database.
    pub async fn create(rig: &Rig, unique: &str) -> Self {
        Self::create_at(rig.postgres(), unique, "").await
    }

    /// As [`Database::create`], with options of `CREATE DATABASE`.
    pub async fn create_at(superuser: Config, unique: &str, options: &str) -> Self {
        let name = format!("e2e_{}", unique.replace('-', "_"));
        let (role, password) = (format!("{name}_afterbay"), format!("secret-of-{unique}"));
        make(&superuser, [&name, &role, &password], options).await;
        let admin = connect(superuser.clone().dbname(&name)).await;
        let owner = connect(superuser.clone().dbname(&name).user(&role).password(&password)).await;
        Self { name, role, password, superuser, admin, owner }
    }

    /// Runs statements as the owner.
    pub async fn run(&self, sql: &str) {
        execute(&self.owner, sql).await;
    }

    /// Runs statements as the superuser.
    pub async fn run_as_superuser(&self, sql: &str) {
        execute(&self.admin, sql).await;
    }

    /// The rows of a query as text.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        rows(&self.admin, sql).await
    }

    /// The one value of a query as text.
    pub async fn text(&self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        rows.into_iter().flatten().next().flatten().unwrap_or_else(|| panic!("no value: {sql}"))
    }

    /// The one number of a query.
    pub async fn number(&self, sql: &str) -> i64 {
        let text = self.text(sql).await;
        text.parse().unwrap_or_else(|_| panic!("{text} is no number: {sql}"))
    }

    /// Makes role and database once more, at a server that does not have them, and is there from now on.
    pub async fn begin_again_at(&mut self, superuser: Config) {
        make(&superuser, [&self.name, &self.role, &self.password], "").await;
        self.follow(superuser).await;
    }

    /// Is at another server from now on, which has the database as well.
    pub async fn follow(&mut self, superuser: Config) {
        self.superuser = superuser;
        self.reconnect().await;
    }

    /// Connects anew, after the server was away.
    pub async fn reconnect(&mut self) {
        let mut admin = self.superuser.clone();
        admin.dbname(&self.name);
        await_condition("the server takes connections again", CLEANING, async || {
            let (_, connection) = admin.connect(NoTls).await.ok()?;
            drop(connection);
            Some(())
        })
        .await;
        self.owner = connect(admin.clone().user(&self.role).password(&self.password)).await;
        self.admin = connect(&admin).await;
    }

    /// Another session of the owner.
    pub async fn session(&self) -> Session {
        Session(connect(&self.owner()).await)
    }

    /// How the owner connects.
    pub fn owner(&self) -> Config {
        let mut config = self.superuser.clone();
        config.dbname(&self.name).user(&self.role).password(&self.password);
        config
    }

    /// The end of the log: all that is committed now lies before it.
    pub async fn log_end(&self) -> u64 {
        lsn(&self.text("SELECT pg_current_wal_insert_lsn()").await)
    }
}

/// A session of the owner.
pub struct Session(Client);

impl Session {
    /// A session, if the server lets one in.
    pub async fn open(config: &Config) -> Option<Self> {
        let (client, connection) = config.connect(NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(Self(client))
    }

    /// Runs statements.
    pub async fn run(&self, sql: &str) {
        execute(&self.0, sql).await;
    }

    /// The one value of a query as text.
    pub async fn text(&self, sql: &str) -> String {
        let rows = rows(&self.0, sql).await;
        rows.into_iter().flatten().next().flatten().unwrap_or_else(|| panic!("no value: {sql}"))
    }

    /// Runs statements, which may fail; says whether the session goes on (a server that goes away is part of some tests).
    pub async fn try_run(&self, sql: &str) -> bool {
        self.0.batch_execute(sql).await.is_ok() || !self.0.is_closed()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (superuser, name, role) = (self.superuser.clone(), self.name.clone(), self.role.clone());
        // The test's own runtime may be on its way out, and nothing here may wait for it.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(drop_all(superuser, name, role)))
        });
        // What cannot be cleaned up must not hide why the test failed.
        let _ = cleaner.join();
    }
}

async fn make(superuser: &Config, [name, role, password]: [&str; 3], options: &str) {
    let maintenance = connect(superuser).await;
    execute(&maintenance, &format!("CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{password}'")).await;
    execute(&maintenance, &format!("CREATE DATABASE {name} OWNER {role} {options}")).await;
}

const CLEANING: Duration = Duration::from_secs(20);

async fn drop_all(superuser: Config, name: String, role: String) {
    let Ok((client, connection)) = superuser.connect(NoTls).await else { return };
    tokio::spawn(connection);
    await_condition("the slots of the test go", CLEANING, async || {
        let end = format!(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
             WHERE database = '{name}' AND active_pid IS NOT NULL; \
             SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
             WHERE database = '{name}' AND active_pid IS NULL"
        );
        // A slot may be taken between the look and the drop.
        let _ = client.batch_execute(&end).await;
        let left = format!("SELECT 1 FROM pg_replication_slots WHERE database = '{name}'");
        client.query(&left, &[]).await.ok()?.is_empty().then_some(())
    })
    .await;
    for statement in [format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("DROP ROLE IF EXISTS {role}")] {
        // As above.
        let _ = client.batch_execute(&statement).await;
    }
}

/// A position in the log in Postgres' notation, as a number.
pub fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or_else(|| panic!("{text} is no LSN"));
    let part = |digits| u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text} is no LSN"));
    part(high) << 32 | part(low)
}

async fn connect(config: &Config) -> Client {
    let connected = config.connect(NoTls).await;
    let (client, connection) = connected.unwrap_or_else(|error| panic!("cannot connect to Postgres: {error}"));
    tokio::spawn(connection);
    client
}

async fn execute(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{sql}: {}", error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string));
    }
}

async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
            }
            _ => None,
        })
        .collect()
}
