//! A Postgres server of a test's own, which it may stop, copy, set back and promote.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

use crate::{Rig, await_condition, processes};

const HOST: &str = "127.0.0.1";
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 9_000;
const COMING_UP: Duration = Duration::from_mins(1);

/// Settings that hold for all. Nothing here outlives the machine, so nothing is flushed.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", HOST),
    ("unix_socket_directories", ""),
    ("wal_level", "logical"),
    ("fsync", "off"),
    ("shared_buffers", "16MB"),
    ("min_wal_size", "4MB"),
    ("log_min_messages", "warning"),
];

/// A server with data of its own; it ends with the test, and its data with it.
pub struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// A new server of the rig's usual version, running.
    pub async fn new(settings: &[(&str, &str)]) -> Self {
        Self::of("POSTGRES_BIN", settings).await
    }

    /// A new server of the newest version, running.
    pub async fn newest(settings: &[(&str, &str)]) -> Self {
        Self::of("POSTGRES_18_BIN", settings).await
    }

    async fn of(programs: &str, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::without_data(PathBuf::from(Rig::get().setting(programs)), free_port());
        let made = cluster
            .program("initdb")
            .args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=1"])
            .arg("-D")
            .arg(cluster.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.as_ref().is_ok_and(std::process::ExitStatus::success), "initdb: {made:?}");
        cluster.configure(SETTINGS);
        cluster.configure(settings);
        cluster.start().await;
        cluster
    }

    fn without_data(programs: PathBuf, port: u16) -> Self {
        let folder = tempfile::Builder::new().prefix("afterbay-e2e-postgres-").tempdir_in("/var/tmp");
        let folder = folder.expect("a folder can be made");
        if let Some((user, group)) = server_user() {
            chown(folder.path(), Some(user), Some(group)).expect("root gives folders away");
        }
        Self { programs, folder, port, server: None }
    }

    /// A copy of the files of this server, which must be stopped: what a snapshot of its disk would be. On a port of its own,
    /// not running.
    #[must_use]
    pub fn copy(&self) -> Self {
        assert!(self.server.is_none(), "files of a server that runs do not fit together");
        let copy = Self::without_data(self.programs.clone(), free_port());
        let copied = Command::new("cp").arg("-a").arg(self.data()).arg(copy.data()).status();
        assert!(copied.as_ref().is_ok_and(std::process::ExitStatus::success), "cp: {copied:?}");
        copy
    }

    /// Under the address of another server, which is not to run any more.
    #[must_use]
    pub fn at_address_of(mut self, other: &Self) -> Self {
        assert!(self.server.is_none() && other.server.is_none(), "one of the two runs");
        self.port = other.port;
        self
    }

    /// Without replication slots, as base backups are.
    #[must_use]
    pub fn without_slots(self) -> Self {
        assert!(self.server.is_none(), "it runs");
        for slot in fs::read_dir(self.data().join("pg_replslot")).expect("every server has the folder") {
            fs::remove_dir_all(slot.expect("a slot").path()).expect("a slot can be removed");
        }
        self
    }

    /// To recover from its own log only, and to begin a timeline of its own then.
    #[must_use]
    pub fn as_recovered(self) -> Self {
        self.configure(&[("restore_command", "false")]);
        self.signal_file("recovery.signal");
        self
    }

    /// As a standby of another server, with a slot there of this name.
    #[must_use]
    pub fn as_standby_of(self, primary: &Self, slot: &str) -> Self {
        let address = format!("host={HOST} port={} user=postgres dbname=postgres", primary.port);
        self.configure(&[("primary_conninfo", &address), ("primary_slot_name", slot), ("hot_standby_feedback", "on")]);
        self.signal_file("standby.signal");
        self
    }

    /// Settings from the next start on; the last one of a name counts.
    pub fn configure(&self, settings: &[(&str, &str)]) {
        let file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        let mut file = file.expect("initdb has made it");
        for (name, value) in settings {
            writeln!(file, "{name} = '{value}'").expect("the settings can be written");
        }
    }

    /// Starts it, and waits until it lets sessions in.
    pub async fn start(&mut self) {
        let log = fs::File::create(self.log()).expect("the log can be written");
        let server = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn();
        let mut server = server.expect("postgres can be started");
        let superuser = self.superuser();
        await_condition("the server lets sessions in", COMING_UP, async || {
            let ended = server.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "postgres: {}", fs::read_to_string(self.log()).unwrap_or_default());
            superuser.connect(NoTls).await.ok().map(drop)
        })
        .await;
        self.server = Some(server);
    }

    /// Shuts it down in order.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Ends it as a crash does.
    pub fn crash(&mut self) {
        self.end("QUIT");
    }

    fn end(&mut self, signal: &str) {
        let mut server = self.server.take().expect("it runs");
        processes::signal(server.id(), signal);
        server.wait().expect("a child can be waited for");
    }

    /// Makes a primary of a standby, and waits until it is one.
    pub async fn promote(&self) {
        let (client, connection) = self.superuser().connect(NoTls).await.expect("the standby lets sessions in");
        tokio::spawn(connection);
        let promoted = client.query_one("SELECT pg_promote(true, 60)", &[]).await.expect("it is a standby");
        assert!(promoted.get::<_, bool>(0), "the standby is not promoted in time");
    }

    /// Its superuser, in the database `postgres`.
    pub fn superuser(&self) -> Config {
        Rig::get().postgres_at(HOST, self.port)
    }

    /// Host and port.
    pub fn address(&self) -> (String, u16) {
        (HOST.to_owned(), self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn signal_file(&self, name: &str) {
        let file = self.data().join(name);
        fs::write(&file, "").expect("the file can be written");
        if let Some((user, group)) = server_user() {
            chown(&file, Some(user), Some(group)).expect("root gives files away");
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = server_user() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.crash();
        }
        if std::thread::panicking() {
            eprintln!("--- postgres, port {}\n{}", self.port, fs::read_to_string(self.log()).unwrap_or_default());
        }
    }
}

/// Whom the server runs as where the test runs as root, which it refuses.
fn server_user() -> Option<(u32, u32)> {
    let ours = fs::metadata(Path::new("/proc/self")).expect("there is /proc").uid();
    if ours != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let line = users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("there is a user postgres");
    let mut fields = line.split(':').skip(1).map(|field| field.parse().expect("ids are numbers"));
    Some((fields.next().expect("a user's id"), fields.next().expect("a group's id")))
}

/// A port that nobody has; and below those that the system gives away, since a server is often down.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests are several processes.
    let first = process::id().wrapping_mul(97) % u32::from(PORTS);
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port =
            FIRST_PORT + u16::try_from((first + next) % u32::from(PORTS)).expect("less than the ports there are");
        if TcpListener::bind((HOST, port)).is_ok() {
            return port;
        }
    }
}
