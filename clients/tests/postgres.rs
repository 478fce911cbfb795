//! The Postgres clients against a real server: logging in, settings, snapshots, the stream.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end by panics")]

mod support;

use std::time::Duration;

use afterbay_clients::postgres::catalogue::slot;
use afterbay_clients::postgres::pgoutput::{self, Cell, Message, OldTuple};
use afterbay_clients::postgres::wire::{SlotOptions, SlotSnapshot};
use afterbay_clients::postgres::{
    Lsn, PostgresErrorKind, ReplicationConnection, ReplicationMessage, ReplicationReader, StatusWriter, sql,
};
use afterbay_crds::plan::HostPort;

use support::{Database, eventually, in_database, secret};

const PERMANENT: SlotOptions = SlotOptions { temporary: false, snapshot: SlotSnapshot::Nothing, failover: false };

async fn replication(database: &Database) -> ReplicationConnection {
    ReplicationConnection::connect(&database.plan).await.expect("a replication session")
}

/// The next message that is not a keepalive, within ten seconds.
async fn change(reader: &mut ReplicationReader) -> (Lsn, Vec<u8>) {
    let waiting = async {
        loop {
            match reader.next().await.expect("a message") {
                Some(ReplicationMessage::XLogData { wal_start, data, .. }) => return (wal_start, data.to_vec()),
                Some(ReplicationMessage::Keepalive { .. }) => {}
                None => panic!("the stream ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("a change in time")
}

/// The changes up to and with the next commit: their messages as text, and the end of the commit.
async fn transaction(reader: &mut ReplicationReader) -> (Vec<String>, Lsn) {
    let mut seen = Vec::new();
    loop {
        let (_, data) = change(reader).await;
        match pgoutput::decode(&data).expect("a known message") {
            Message::Commit(commit) => return (seen, commit.end_lsn),
            Message::Begin(_) => assert!(seen.is_empty()),
            Message::Relation(relation) => seen.push(format!("relation {}.{}", relation.namespace, relation.name)),
            Message::Insert(insert) => seen.push(format!("insert {}", show(&insert.new))),
            Message::Update(update) => {
                let old = update.old.map_or("none".to_owned(), old);
                seen.push(format!("update {old} to {}", show(&update.new)));
            }
            Message::Delete(delete) => seen.push(format!("delete {}", old(delete.old))),
            Message::Truncate(truncate) => seen.push(format!("truncate {}", truncate.relations.len())),
            Message::Ignored => {}
        }
    }
}

fn old(tuple: OldTuple<'_>) -> String {
    match tuple {
        OldTuple::Key(tuple) => format!("key {}", show(&tuple)),
        OldTuple::Full(tuple) => format!("full {}", show(&tuple)),
    }
}

fn show(tuple: &pgoutput::Tuple<'_>) -> String {
    let cell = |cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Unchanged => "UNCHANGED".to_owned(),
        Cell::Text(text) if text.len() > 20 => format!("{} bytes", text.len()),
        Cell::Text(text) => String::from_utf8_lossy(text).into_owned(),
    };
    tuple.cells().map(cell).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn refusals_have_a_class_and_a_remedy() {
    in_database(async |database| {
        let password = secret("geheim");
        let role = format!("{}_plain", database.name);
        let admin = database.sql().await;
        admin.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'geheim'")).await.unwrap();
        let plan = database.plan_as(&role, &password);
        sql::connect(&plan).await.expect("the right password");

        let error = ReplicationConnection::connect(&plan).await.expect_err("the role may not replicate");
        assert_eq!(error.kind, PostgresErrorKind::NotPermitted, "{error}");
        assert_eq!(error.problem().reason, "SourceNotPermitted");
        assert!(error.problem().hint.contains("WITH REPLICATION"), "{}", error.problem().hint);

        // A line end is part of a secret.
        let wrong = secret("geheim\n");
        let plan = database.plan_as(&role, &wrong);
        for error in [
            sql::connect(&plan).await.expect_err("a wrong password"),
            ReplicationConnection::connect(&plan).await.expect_err("a wrong password"),
        ] {
            assert_eq!(error.kind, PostgresErrorKind::WrongPassword, "{error}");
            assert!(!error.transient());
            assert!(!format!("{error:?}{}", error.problem().message).contains("geheim"));
        }

        let mut plan = database.plan.clone();
        plan.database = "no such".to_owned();
        let error = sql::connect(&plan).await.expect_err("an unknown database");
        assert_eq!(error.kind, PostgresErrorKind::UnknownDatabase, "{error}");

        let mut plan = database.plan.clone();
        plan.password_file = None;
        for error in [
            sql::connect(&plan).await.expect_err("no password"),
            ReplicationConnection::connect(&plan).await.expect_err("no password"),
        ] {
            assert_eq!(error.kind, PostgresErrorKind::PasswordMissing, "{error}");
        }

        plan.password_file = Some("/no/such/file".into());
        let error = sql::connect(&plan).await.expect_err("no file");
        assert_eq!(error.problem().reason, "SecretUnreadable");
        admin.execute(&format!("DROP ROLE {role}")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn servers_are_tried_in_order() {
    in_database(async |database| {
        let mut plan = database.plan.clone();
        let good = plan.hosts[0].clone();
        let closed = HostPort { host: "127.0.0.1".to_owned(), port: 1 };
        let unknown = HostPort { host: "afterbay.invalid".to_owned(), port: 5432 };
        plan.hosts = vec![closed.clone(), unknown.clone(), good];
        sql::connect(&plan).await.expect("the third server");

        plan.hosts = vec![closed];
        let error = sql::connect(&plan).await.expect_err("nobody listens there");
        assert_eq!(error.kind, PostgresErrorKind::Unreachable, "{error}");
        assert!(error.transient());
        assert!(error.problem().message.contains("127.0.0.1:1"), "{}", error.problem().message);

        plan.hosts = vec![unknown];
        let error = ReplicationConnection::connect(&plan).await.expect_err("no such host");
        assert_eq!(error.kind, PostgresErrorKind::UnknownHost, "{error}");
    })
    .await;
}

#[tokio::test]
async fn nothing_set_elsewhere_changes_the_text_form() {
    in_database(async |database| {
        let admin = database.sql().await;
        let name = &database.name;
        for setting in
            ["datestyle = German", "timezone = 'Asia/Kabul'", "bytea_output = escape", "search_path = public"]
        {
            admin.execute(&format!("ALTER DATABASE {name} SET {setting}")).await.unwrap();
        }
        let query = "SELECT timestamptz '2024-02-03 04:05:06+00' || ' ' || interval '1 day 2 hours' || ' ' || \
            '\\x00ff'::bytea::text || ' ' || (0.1::float8 + 0.2::float8)::text || ' ' || \
            current_setting('search_path') || ' ' || current_setting('application_name')";
        let expected = "2024-02-03 04:05:06+00 1 day 02:00:00 \\x00ff 0.30000000000000004 pg_catalog afterbay";
        let row = database.sql().await.query_one(query, &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), expected);
        let rows = replication(database).await.query(query).await.unwrap();
        assert_eq!(rows, [[Some(expected.to_owned())]]);
    })
    .await;
}

#[tokio::test]
async fn commands_of_a_replication_session() {
    in_database(async |database| {
        let mut session = replication(database).await;
        let identity = session.identify_system().await.unwrap();
        assert_eq!(identity.database, database.name);
        assert!(identity.system_id.parse::<u64>().is_ok() && !identity.wal_end.is_zero());
        assert!(session.timeline_history(identity.timeline).await.is_ok());
        assert!(!session.server_version().is_empty());

        let rows = session.query("SELECT 1, NULL, 'a' UNION ALL SELECT 2, '', NULL ORDER BY 1").await.unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rows, [[some("1"), None, some("a")], [some("2"), some(""), None]]);

        // An error leaves the session usable.
        let error = session.query("SELECT * FROM nowhere").await.expect_err("no such table");
        assert_eq!(error.kind, PostgresErrorKind::TableMissing);
        let error = session.copy_out("COPY nowhere TO STDOUT").await.expect_err("no such table");
        assert_eq!(error.kind, PostgresErrorKind::TableMissing);
        session.copy_out("SELECT 1").await.expect_err("no copy");
        session.execute("SELECT 1").await.expect("a usable session");

        let mut rows =
            session.copy_out("COPY (SELECT 1 / (3 - i) FROM generate_series(1, 5) i) TO STDOUT").await.unwrap();
        let mut copied = 0;
        let error = loop {
            match rows.next().await {
                Ok(Some(_)) => copied += 1,
                Ok(None) => panic!("the copy cannot succeed"),
                Err(error) => break error,
            }
        };
        assert_eq!((copied, error.sqlstate.as_deref()), (2, Some("22012")));

        // Left in the middle of a copy, the session takes no other command.
        let mut session = replication(database).await;
        session.copy_out("COPY (SELECT generate_series(1, 9)) TO STDOUT").await.unwrap().next().await.unwrap();
        let error = session.query("SELECT 1").await.expect_err("the copy is not read to its end");
        assert_eq!(error.kind, PostgresErrorKind::Protocol);
    })
    .await;
}

#[tokio::test]
async fn the_stream_goes_on_where_the_snapshot_of_the_slot_ends() {
    in_database(async |database| {
        let admin = database.sql().await;
        admin
            .execute(
                "CREATE TABLE public.t (id int PRIMARY KEY, note text, big text); \
                 ALTER TABLE public.t ALTER big SET STORAGE EXTERNAL; \
                 INSERT INTO public.t VALUES (1, E'one\\ttab', NULL), (2, NULL, repeat('x', 3000000)); \
                 CREATE PUBLICATION p FOR TABLE public.t",
            )
            .await
            .unwrap();

        let mut session = replication(database).await;
        session.execute("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        let options = SlotOptions { temporary: true, snapshot: SlotSnapshot::Use, failover: false };
        let slot = session.create_slot(&database.name, options).await.unwrap();
        assert_eq!(slot.snapshot_name, None);
        admin.execute("INSERT INTO public.t VALUES (3, 'after the slot', NULL)").await.unwrap();

        let mut rows = Vec::new();
        let mut copy = session.copy_out("COPY (SELECT * FROM public.t ORDER BY id) TO STDOUT").await.unwrap();
        while let Some(row) = copy.next().await.unwrap() {
            rows.push(row.to_vec());
        }
        assert!(copy.next().await.unwrap().is_none(), "the end stays the end");
        assert_eq!(rows.len(), 2, "the third row came later");
        assert_eq!(rows[0], b"1\tone\\ttab\t\\N\n");
        assert_eq!(rows[1].len(), 2 + 3 + 3_000_000 + 1);
        session.execute("COMMIT").await.unwrap();

        let (mut reader, mut status) =
            session.start_replication(&slot.name, slot.consistent_point, &["p"]).await.unwrap();
        let (seen, _) = transaction(&mut reader).await;
        assert_eq!(seen, ["relation public.t", "insert 3,after the slot,NULL"]);

        admin
            .execute(
                "BEGIN; UPDATE public.t SET note = 'two' WHERE id = 2; UPDATE public.t SET id = 4 WHERE id = 3; \
                 DELETE FROM public.t WHERE id = 4; COMMIT",
            )
            .await
            .unwrap();
        let (seen, _) = transaction(&mut reader).await;
        let expected = [
            "update none to 2,two,UNCHANGED",
            "update key 3,NULL,NULL to 4,after the slot,NULL",
            "delete key 4,NULL,NULL",
        ];
        assert_eq!(seen, expected);

        admin
            .execute("ALTER TABLE public.t REPLICA IDENTITY FULL; UPDATE public.t SET note = NULL WHERE id = 2")
            .await
            .unwrap();
        admin.execute("TRUNCATE public.t").await.unwrap();
        let (seen, _) = transaction(&mut reader).await;
        let expected = ["relation public.t", "update full 2,two,3000000 bytes to 2,NULL,UNCHANGED"];
        // An unchanged value may be sent anyway, as the old row has it at hand.
        assert!(seen == expected || seen[1].ends_with("to 2,NULL,3000000 bytes"), "{seen:?}");
        let (seen, end) = transaction(&mut reader).await;
        assert!(seen.contains(&"truncate 1".to_owned()), "{seen:?}");

        status.send(end, true).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), reader.next()).await.expect("an answer").unwrap();
        assert!(matches!(answer, Some(ReplicationMessage::Keepalive { wal_end, .. }) if wal_end >= end));
        // Others write to the same server: of that the stream tells by keepalives only.
        while let Some(message) = reader.try_next().unwrap() {
            assert!(matches!(message, ReplicationMessage::Keepalive { .. }), "nothing more is to be sent");
        }

        let mut session = reader.stop(status).await.expect("an orderly end");
        session.execute("SELECT 1").await.expect("a usable session");
        let status = slot::status(&admin, &database.name).await.unwrap().expect("the session holds its slot");
        assert_eq!(status.confirmed_flush, Some(end));
        assert!(status.temporary && !status.lost());
        drop(session);
        eventually("the temporary slot to go", async || slot::status(&admin, &database.name).await.unwrap().is_none())
            .await;
    })
    .await;
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    in_database(async |database| {
        let admin = database.sql().await;
        admin
            .execute(
                "CREATE TABLE public.t (id int PRIMARY KEY); CREATE PUBLICATION \"my \"\"own\"\" 'p'\" FOR TABLE public.t",
            )
            .await
            .unwrap();
        let publication = ["my \"own\" 'p'"];
        let mut session = replication(database).await;
        session.create_slot(&database.name, PERMANENT).await.unwrap();
        let error = session.create_slot(&database.name, PERMANENT).await.expect_err("it exists");
        assert_eq!(error.kind, PostgresErrorKind::SlotExists);

        for id in 1..=2 {
            admin.execute(&format!("INSERT INTO public.t VALUES ({id})")).await.unwrap();
        }
        let (mut reader, mut writer) = start(session, database, &publication).await;
        let (seen, first_end) = transaction(&mut reader).await;
        assert_eq!(seen, ["relation public.t", "insert 1"]);
        transaction(&mut reader).await;

        // While it is read by us nobody else may, and the statuses can come from another task.
        let second = replication(database).await;
        let error = second.start_replication(&database.name, Lsn::ZERO, &publication).await.expect_err("it is in use");
        assert_eq!(error.kind, PostgresErrorKind::SlotInUse);
        let told = tokio::spawn(async move {
            writer.send(first_end, false).await.unwrap();
            writer
        });
        let writer = told.await.unwrap();
        eventually("the acknowledgement to arrive", async || {
            let status = slot::status(&admin, &database.name).await.unwrap().unwrap();
            status.confirmed_flush == Some(first_end)
        })
        .await;

        let pid = slot::status(&admin, &database.name).await.unwrap().unwrap().active_pid.expect("a reader");
        assert!(slot::terminate_backend(&admin, pid).await.unwrap());
        let error = loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the session was ended, not the stream"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, PostgresErrorKind::Unavailable, "{error}");
        assert!(error.transient());
        drop(writer);
        eventually("the slot to be free", async || {
            slot::status(&admin, &database.name).await.unwrap().unwrap().active_pid.is_none()
        })
        .await;

        let (mut reader, writer) = start(replication(database).await, database, &publication).await;
        let (seen, _) = transaction(&mut reader).await;
        assert_eq!(seen, ["relation public.t", "insert 2"]);

        // Dropping both ends closes the socket, and the server lets go of the slot.
        drop((reader, writer));
        eventually("the slot to be free", async || {
            slot::status(&admin, &database.name).await.unwrap().unwrap().active_pid.is_none()
        })
        .await;
        replication(database).await.drop_slot(&database.name, true).await.unwrap();
        let error = replication(database)
            .await
            .start_replication(&database.name, Lsn::ZERO, &publication)
            .await
            .expect_err("no slot");
        assert_eq!(error.kind, PostgresErrorKind::SlotLost);
    })
    .await;
}

async fn start(
    session: ReplicationConnection,
    database: &Database,
    publications: &[&str],
) -> (ReplicationReader, StatusWriter) {
    session.start_replication(&database.name, Lsn::ZERO, publications).await.expect("a stream")
}

#[tokio::test]
async fn a_missing_publication_is_told() {
    in_database(async |database| {
        let admin = database.sql().await;
        admin.execute("CREATE TABLE public.t (id int PRIMARY KEY)").await.unwrap();
        let mut session = replication(database).await;
        session.create_slot(&database.name, PERMANENT).await.unwrap();
        let (mut reader, _writer) = start(session, database, &["nowhere"]).await;
        admin.execute("INSERT INTO public.t VALUES (1)").await.unwrap();
        let error = loop {
            match reader.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, PostgresErrorKind::PublicationMissing, "{error}");
        assert_eq!(error.problem().reason, "PublicationIncomplete");
    })
    .await;
}

#[tokio::test]
async fn another_session_can_use_an_exported_snapshot() {
    in_database(async |database| {
        let admin = database.sql().await;
        admin.execute("CREATE TABLE public.t (id int)").await.unwrap();
        let mut session = replication(database).await;
        let options = SlotOptions { temporary: true, snapshot: SlotSnapshot::Export, failover: false };
        let slot = session.create_slot(&database.name, options).await.unwrap();
        let snapshot = slot.snapshot_name.expect("a snapshot's name");
        admin.execute("INSERT INTO public.t VALUES (1)").await.unwrap();
        let mut other = replication(database).await;
        other.execute("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        other.execute(&format!("SET TRANSACTION SNAPSHOT '{snapshot}'")).await.unwrap();
        let rows = other.query("SELECT count(*) FROM public.t").await.unwrap();
        assert_eq!(rows, [[Some("0".to_owned())]]);
    })
    .await;
}

/// Workers spawn their sessions on threads.
#[tokio::test]
async fn futures_can_move_between_threads() {
    fn assert_send<T: Send>(future: T) -> T {
        future
    }
    in_database(async |database| {
        let admin = assert_send(sql::connect(&database.plan)).await.unwrap();
        assert_send(slot::status(&admin, "none")).await.unwrap();
        let mut session = assert_send(ReplicationConnection::connect(&database.plan)).await.unwrap();
        assert_send(session.create_slot(&database.name, PERMANENT)).await.unwrap();
        let mut copy = assert_send(session.copy_out("COPY (SELECT 1) TO STDOUT")).await.unwrap();
        while assert_send(copy.next()).await.unwrap().is_some() {}
        let starting = session.start_replication(&database.name, Lsn::ZERO, &["p"]);
        let (mut reader, mut writer) = assert_send(starting).await.unwrap();
        assert_send(writer.send(Lsn::ZERO, true)).await.unwrap();
        assert_send(reader.next()).await.unwrap();
        assert_send(reader.stop(writer)).await.unwrap();
    })
    .await;
}
