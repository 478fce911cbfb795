//! The catalogue of a real server: tables, types, privileges, publications.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end by panics")]

mod support;

use afterbay_clients::postgres::catalogue::publication::{self, Operations, Publication, PublishedTable};
use afterbay_clients::postgres::catalogue::{server, table};
use afterbay_clients::postgres::{PostgresErrorKind, sql};
use afterbay_crds::plan::TableName;
use afterbay_formats::relation::{Column, SqlType};
use afterbay_formats::table::{Leaf, Persistence, ReplicaIdentity, TableDescription, TableKind};

use support::{Database, in_database, secret};

fn name(schema: &str, name: &str) -> TableName {
    TableName { schema: schema.to_owned(), name: name.to_owned() }
}

/// Runs statements, then describes a table of `public`.
async fn described(database: &Database, sql: &str, of: &str) -> TableDescription {
    let client = database.sql().await;
    client.execute(sql).await.expect("valid statements");
    table::describe(&client, &name("public", of)).await.expect("an answer").expect("a table")
}

/// The unique keys that count, and which of them is the primary one.
fn keys(table: &TableDescription) -> Vec<(bool, String)> {
    table.unique_keys.iter().map(|key| (key.primary, key.columns.join(","))).collect()
}

#[tokio::test]
async fn types_are_followed_to_what_they_are_made_of() {
    in_database(async |database| {
        let table = described(
            database,
            "CREATE SCHEMA apart; CREATE EXTENSION hstore SCHEMA apart; SET search_path = public, apart; \
             CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN sale AS price CHECK (VALUE > 0); \
             CREATE TYPE mood AS ENUM ('good'); \
             CREATE TYPE inner_pair AS (x int, y price[]); \
             CREATE TYPE pair AS (a inner_pair, b timestamp(3), gone int, h hstore); \
             ALTER TYPE pair DROP ATTRIBUTE gone; \
             CREATE TABLE \"T 1\" (n numeric, n52 numeric(5,2), ns numeric(3,-2), s sale, d int, \
                m mood, p pair, pa pair[], h hstore, a int[], a2 numeric(8,3)[], ts timestamp, ts0 timestamp(0), \
                tz timestamptz(6), t time(2), c char(3), v varchar(9), \"char\" \"char\", nm name, o oid, \
                v2 int2vector, pt point, r int4range, b bit(3), i inet, mn money, u uuid, j json, jb jsonb, x xml, \
                ttz timetz, iv interval day to second, bo boolean, by bytea, f4 real, f8 double precision, \
                dt date, i2 smallint, i8 bigint); \
             ALTER TABLE \"T 1\" DROP COLUMN d; RESET search_path",
            "T 1",
        )
        .await;
        let numeric = |typmod| SqlType::Numeric { typmod };
        let array = |item| SqlType::Array(Box::new(item));
        let other = |name: &str| SqlType::Other(name.to_owned());
        let pair = SqlType::Record {
            name: "public.pair".to_owned(),
            fields: vec![
                Column::nullable(
                    "a",
                    SqlType::Record {
                        name: "public.inner_pair".to_owned(),
                        fields: vec![
                            Column::nullable("x", SqlType::Int4),
                            Column::nullable("y", array(numeric(Some((10, 2))))),
                        ],
                    },
                ),
                Column::nullable("b", SqlType::Timestamp { precision: Some(3) }),
                Column::nullable("h", SqlType::Map(Box::new(SqlType::Text))),
            ],
        };
        let expected = [
            ("n", numeric(None)),
            ("n52", numeric(Some((5, 2)))),
            ("ns", numeric(Some((3, -2)))),
            ("s", numeric(Some((10, 2)))),
            ("m", other("public.mood")),
            ("p", pair.clone()),
            ("pa", array(pair)),
            ("h", SqlType::Map(Box::new(SqlType::Text))),
            ("a", array(SqlType::Int4)),
            ("a2", array(numeric(Some((8, 3))))),
            ("ts", SqlType::Timestamp { precision: None }),
            ("ts0", SqlType::Timestamp { precision: Some(0) }),
            ("tz", SqlType::Timestamptz { precision: Some(6) }),
            ("t", SqlType::Time),
            ("c", SqlType::Text),
            ("v", SqlType::Text),
            ("char", other("\"char\"")),
            ("nm", SqlType::Text),
            ("o", SqlType::Oid),
            ("v2", other("int2vector")),
            ("pt", other("point")),
            ("r", other("int4range")),
            ("b", other("bit")),
            ("i", other("inet")),
            ("mn", other("money")),
            ("u", SqlType::Uuid),
            ("j", SqlType::Json),
            ("jb", SqlType::Jsonb),
            ("x", other("xml")),
            ("ttz", other("time with time zone")),
            ("iv", SqlType::Interval),
            ("bo", SqlType::Bool),
            ("by", SqlType::Bytea),
            ("f4", SqlType::Float4),
            ("f8", SqlType::Float8),
            ("dt", SqlType::Date),
            ("i2", SqlType::Int2),
            ("i8", SqlType::Int8),
        ];
        let found: Vec<_> =
            table.columns.iter().map(|column| (column.name.as_str(), column.sql_type.clone())).collect();
        assert_eq!(found, expected);
    })
    .await;
}

#[tokio::test]
async fn keys_that_count() {
    in_database(async |database| {
        let table = described(
            database,
            "CREATE TABLE public.t (id int, gone int, a int NOT NULL, b int NOT NULL, c int, \
                g int NOT NULL GENERATED ALWAYS AS (a + 1) STORED); \
             ALTER TABLE public.t DROP COLUMN gone; \
             CREATE UNIQUE INDEX ON public.t (b, a) INCLUDE (c); \
             CREATE UNIQUE INDEX ON public.t (a) WHERE b > 0; \
             CREATE UNIQUE INDEX ON public.t ((a + 1)); \
             CREATE UNIQUE INDEX ON public.t (c); \
             CREATE INDEX ON public.t (a); \
             ALTER TABLE public.t ADD UNIQUE (b) DEFERRABLE; \
             ALTER TABLE public.t ADD PRIMARY KEY (id)",
            "t",
        )
        .await;
        assert_eq!(keys(&table), [(true, "id".to_owned()), (false, "b,a".to_owned())]);
        let columns: Vec<_> =
            table.columns.iter().map(|c| (c.name.as_str(), c.attnum, c.not_null, c.generated)).collect();
        let expected = [
            ("id", 1, true, false),
            ("a", 3, true, false),
            ("b", 4, true, false),
            ("c", 5, false, false),
            ("g", 6, true, true),
        ];
        assert_eq!(columns, expected);
        assert_eq!((table.kind, table.persistence), (TableKind::Ordinary, Persistence::Permanent));
        assert_eq!(table.replica_identity, ReplicaIdentity::Default);
        assert!(!table.row_security);
    })
    .await;
}

#[tokio::test]
async fn what_old_rows_hold() {
    in_database(async |database| {
        let client = database.sql().await;
        client
            .execute(
                "CREATE TABLE public.t (id int NOT NULL, b int NOT NULL, note text); \
                 CREATE UNIQUE INDEX by_b ON public.t (b, id); ALTER TABLE public.t RENAME b TO renamed",
            )
            .await
            .unwrap();
        let index = ReplicaIdentity::Index { columns: vec!["renamed".to_owned(), "id".to_owned()] };
        for (statement, expected) in [
            ("ALTER TABLE public.t REPLICA IDENTITY USING INDEX by_b", index),
            ("DROP INDEX public.by_b", ReplicaIdentity::Nothing),
            ("ALTER TABLE public.t REPLICA IDENTITY FULL", ReplicaIdentity::Full),
            ("ALTER TABLE public.t REPLICA IDENTITY NOTHING", ReplicaIdentity::Nothing),
            ("ALTER TABLE public.t REPLICA IDENTITY DEFAULT", ReplicaIdentity::Default),
        ] {
            assert_eq!(described(database, statement, "t").await.replica_identity, expected, "{statement}");
        }
    })
    .await;
}

#[tokio::test]
async fn which_values_can_be_stored_out_of_line() {
    in_database(async |database| {
        let movable = async |columns: &str| {
            let sql = format!("DROP TABLE IF EXISTS public.t; CREATE TABLE public.t ({columns})");
            let table = described(database, &sql, "t").await;
            table.columns.into_iter().filter(|c| c.can_toast).map(|c| c.name).collect::<Vec<_>>()
        };
        assert_eq!(movable("id int, total numeric(10,2), code varchar(20)").await, [""; 0], "the row always fits");
        assert_eq!(movable("id int, total numeric(10,2), code char(3), note text").await, ["note"]);
        assert_eq!(movable("a numeric, b jsonb, c int[], d timestamp").await, ["a", "b", "c"]);
    })
    .await;
}

#[tokio::test]
async fn partitions() {
    in_database(async |database| {
        let table = described(
            database,
            "CREATE TABLE public.t (id int PRIMARY KEY, note text) PARTITION BY RANGE (id); \
             CREATE TABLE public.low PARTITION OF public.t FOR VALUES FROM (0) TO (10); \
             CREATE TABLE public.mid PARTITION OF public.t FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id); \
             CREATE UNLOGGED TABLE public.mid1 PARTITION OF public.mid DEFAULT; \
             ALTER TABLE public.low REPLICA IDENTITY FULL",
            "t",
        )
        .await;
        let leaf = |name: &str, persistence, replica_identity| Leaf {
            schema: "public".to_owned(),
            name: name.to_owned(),
            kind: TableKind::Ordinary,
            persistence,
            replica_identity,
        };
        assert_eq!(table.kind, TableKind::Partitioned);
        assert_eq!(keys(&table), [(true, "id".to_owned())]);
        assert_eq!(
            table.leaves,
            [
                leaf("low", Persistence::Permanent, ReplicaIdentity::Full),
                leaf("mid1", Persistence::Unlogged, ReplicaIdentity::Default)
            ]
        );
        assert!(table.columns[1].can_toast, "the leaves hold the rows");

        let sql = "CREATE TABLE public.bare (id int) PARTITION BY RANGE (id)";
        assert_eq!(described(database, sql, "bare").await.leaves, []);
    })
    .await;
}

#[tokio::test]
async fn many_tables_are_described_as_each_of_them() {
    in_database(async |database| {
        let client = database.sql().await;
        client
            .execute(
                "CREATE TABLE public.plain (id int PRIMARY KEY, n numeric(4,1)); \
                 CREATE TABLE public.wide (a int NOT NULL UNIQUE, id int PRIMARY KEY, note text); \
                 CREATE TABLE public.root (id int, note text) PARTITION BY RANGE (id); \
                 CREATE TABLE public.leaf PARTITION OF public.root DEFAULT; \
                 CREATE TABLE public.other_root (id int PRIMARY KEY) PARTITION BY RANGE (id); \
                 CREATE TABLE public.other_leaf PARTITION OF public.other_root DEFAULT; \
                 ALTER TABLE public.other_leaf REPLICA IDENTITY FULL",
            )
            .await
            .unwrap();
        let names = ["wide", "gone", "other_root", "plain", "root", "wide"].map(|of| name("public", of));
        let all = table::describe_all(&client, &names).await.unwrap();
        assert_eq!(all.len(), names.len());
        for (name, found) in names.iter().zip(all) {
            assert_eq!(found.as_ref().map(|found| found.name.as_str()), Some(&*name.name).filter(|of| *of != "gone"));
            assert_eq!(found, table::describe(&client, name).await.unwrap());
        }
        assert_eq!(table::describe_all(&client, &[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn relations_that_are_no_tables() {
    in_database(async |database| {
        let sql = "CREATE VIEW public.v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a; \
            CREATE SEQUENCE public.s; CREATE UNLOGGED TABLE public.u (); \
            CREATE TABLE public.rls (id int); ALTER TABLE public.rls ENABLE ROW LEVEL SECURITY";
        assert_eq!(described(database, sql, "v").await.kind, TableKind::View);
        assert_eq!(described(database, "", "m").await.kind, TableKind::MaterializedView);
        assert_eq!(described(database, "", "s").await.kind, TableKind::Other);
        assert_eq!(described(database, "", "u").await.persistence, Persistence::Unlogged);
        assert!(described(database, "", "rls").await.row_security);

        let client = database.sql().await;
        client.execute("CREATE TABLE public.orders (id int)").await.unwrap();
        assert_eq!(table::describe(&client, &name("public", "order")).await.unwrap(), None);
        let similar = table::similar(&client, &name("public", "order")).await.unwrap();
        assert_eq!(similar, [name("public", "orders")]);
    })
    .await;
}

#[tokio::test]
async fn rows_to_expect() {
    in_database(async |database| {
        let client = database.sql().await;
        client
            .execute(
                "CREATE TABLE public.\"it's\" (id int) PARTITION BY RANGE (id); \
                 CREATE TABLE public.part PARTITION OF public.\"it's\" DEFAULT; CREATE TABLE public.plain (id int)",
            )
            .await
            .unwrap();
        for (of, sql) in [("it's", "INSERT INTO public.part"), ("plain", "INSERT INTO public.plain")] {
            let of = name("public", of);
            assert_eq!(table::estimate_rows(&client, &of).await.unwrap(), Some(0));
            client.execute(&format!("{sql} SELECT generate_series(1, 5000)")).await.unwrap();
            client.execute("ANALYZE").await.unwrap();
            assert_eq!(table::estimate_rows(&client, &of).await.unwrap(), Some(5000));
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_role_may_do() {
    in_database(async |database| {
        let admin = database.sql().await;
        let facts = server::facts(&admin).await.unwrap();
        assert!(facts.version >= 130_000 && facts.superuser && !facts.in_recovery);
        assert_eq!((facts.wal_level.as_str(), facts.encoding.as_str()), ("logical", "UTF8"));
        assert_eq!(facts.problems(&admin), []);
        assert!(server::flushed(&admin).await.unwrap() <= server::inserted(&admin).await.unwrap());

        let role = format!("{}_reader", database.name);
        let password = secret("p");
        let table = described(
            database,
            &format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'p'; CREATE SCHEMA closed; CREATE TABLE public.t (a int, b int); \
                 CREATE TABLE closed.t (a int); GRANT SELECT ON closed.t TO {role}; \
                 CREATE TABLE public.rls (a int); ALTER TABLE public.rls ENABLE ROW LEVEL SECURITY; \
                 GRANT SELECT ON public.rls TO {role}"
            ),
            "t",
        )
        .await;
        let reader = sql::connect(&database.plan_as(&role, &password)).await.unwrap();
        let facts = server::facts(&reader).await.unwrap();
        let problems = facts.problems(&reader);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].hint, format!("run ALTER ROLE \"{role}\" WITH REPLICATION;"));

        let hints = async |of: TableName| {
            let oid = table::describe(&reader, &of).await.unwrap().unwrap().oid;
            let access = server::table_access(&reader, oid).await.unwrap().unwrap();
            access.problems(&facts, &of).into_iter().map(|problem| problem.hint).collect::<Vec<_>>()
        };
        let grant = format!("run GRANT SELECT ON \"public\".\"t\" TO \"{role}\";");
        assert_eq!(hints(name("public", "t")).await, [grant.as_str()]);
        admin.execute(&format!("GRANT SELECT (a) ON public.t TO {role}")).await.unwrap();
        assert_eq!(hints(name("public", "t")).await, [grant], "one column is not all");
        admin.execute(&format!("GRANT SELECT (b) ON public.t TO {role}")).await.unwrap();
        assert_eq!(hints(name("public", "t")).await, [""; 0]);
        let usage = format!("run GRANT USAGE ON SCHEMA \"closed\" TO \"{role}\";");
        assert_eq!(hints(name("closed", "t")).await, [usage]);
        assert_eq!(hints(name("public", "rls")).await, [format!("run ALTER ROLE \"{role}\" WITH BYPASSRLS;")]);
        assert_eq!(server::table_access(&reader, 1).await.unwrap(), None);
        assert!(server::table_access(&admin, table.oid).await.unwrap().unwrap().owned);

        drop(reader);
        admin.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn publications() {
    in_database(async |database| {
        let admin = database.sql().await;
        admin
            .execute(
                "CREATE TABLE public.a (id int, g int GENERATED ALWAYS AS (id + 1) STORED); \
                 CREATE TABLE public.child () INHERITS (public.a); \
                 CREATE TABLE public.\"B\" (id int, note text); \
                 CREATE TABLE public.root (id int) PARTITION BY RANGE (id); \
                 CREATE TABLE public.leaf PARTITION OF public.root DEFAULT",
            )
            .await
            .unwrap();
        assert_eq!(publication::find(&admin, "my p").await.unwrap(), None);
        assert!(publication::may_create(&admin).await.unwrap());
        publication::create(&admin, "my p", &[name("public", "a")]).await.unwrap();
        publication::add_tables(&admin, "my p", &[name("public", "B"), name("public", "root")], 1000).await.unwrap();
        let found = publication::find(&admin, "my p").await.unwrap().unwrap();
        let names: Vec<_> = found.tables.iter().map(|published| published.table.name.as_str()).collect();
        assert_eq!(names, ["B", "a", "root"], "no child, no leaf");
        let is_whole = |of: &PublishedTable| of.columns.is_none() && of.row_filter.is_none();
        assert!(found.tables.iter().all(is_whole));
        let entry = |found: &Publication, of: &str| {
            found.tables.iter().find(|published| published.table.name == of).map(|published| published.entry)
        };
        let (first_a, first_b) = (entry(&found, "a"), entry(&found, "B"));
        let asked = publication::find_with(&admin, "my p", &[name("public", "B"), name("public", "c")]).await;
        let asked: Vec<_> = asked.unwrap().unwrap().tables.into_iter().map(|published| published.table.name).collect();
        assert_eq!(asked, ["B"], "of what is asked for, what it holds");
        assert_eq!(found.operations, Operations::ALL);
        assert!(found.via_partition_root && found.owned && !found.all_tables);

        // A writer keeps the table from joining; nothing is changed then, and the session is usable.
        publication::drop_tables(&admin, "my p", &[name("public", "a")]).await.unwrap();
        let writer = database.sql().await;
        writer.execute("BEGIN; INSERT INTO public.a VALUES (1)").await.unwrap();
        let error = publication::add_tables(&admin, "my p", &[name("public", "a")], 50).await.expect_err("a lock");
        assert_eq!(error.kind, PostgresErrorKind::Locked, "{error}");
        assert_eq!(publication::find(&admin, "my p").await.unwrap().unwrap().tables.len(), 2);
        writer.execute("COMMIT").await.unwrap();
        publication::add_tables(&admin, "my p", &[name("public", "a")], 5000).await.expect("nobody writes now");
        let found = publication::find(&admin, "my p").await.unwrap().unwrap();
        assert_ne!(entry(&found, "a"), first_a, "it was away");
        assert_eq!(entry(&found, "B"), first_b, "it was there all the time");

        if server::facts(&admin).await.unwrap().version >= 150_000 {
            admin.execute("CREATE PUBLICATION schemas FOR TABLES IN SCHEMA public").await.unwrap();
            let held = async || {
                let tables = [name("public", "a")];
                publication::find_with(&admin, "schemas", &tables).await.unwrap().unwrap().tables.remove(0)
            };
            let of_schema = held().await.entry;
            admin.execute("ALTER PUBLICATION schemas ADD TABLE public.a").await.unwrap();
            let twice = held().await;
            assert!(twice.entry != of_schema && twice.is_held_by(of_schema), "it was there all the time: {twice:?}");
            admin.execute("ALTER PUBLICATION schemas DROP TABLES IN SCHEMA public").await.unwrap();
            let own = held().await;
            assert!(own.is_held_by(twice.entry) && !own.is_held_by(of_schema), "{own:?}");

            admin
                .execute(
                    "CREATE PUBLICATION part FOR TABLE public.a (id), public.\"B\" (note) WHERE (id > 7) \
                     WITH (publish = 'insert')",
                )
                .await
                .unwrap();
            let found = publication::find(&admin, "part").await.unwrap().unwrap();
            assert!(is_whole(&found.tables[1]), "generated columns are left out anyway");
            assert_eq!(found.tables[0].columns.as_deref(), Some(["note".to_owned()].as_slice()));
            assert_eq!(found.tables[0].row_filter.as_deref(), Some("(id > 7)"));
            assert_eq!(
                found.operations,
                Operations { update: false, delete: false, truncate: false, ..Operations::ALL }
            );
        }
        publication::drop(&admin, "my p").await.unwrap();
        publication::drop(&admin, "my p").await.expect("a publication that is gone is no error");

        let role = format!("{}_other", database.name);
        let password = secret("p");
        admin.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'p'; CREATE PUBLICATION p")).await.unwrap();
        let other = sql::connect(&database.plan_as(&role, &password)).await.unwrap();
        assert!(!publication::find(&other, "p").await.unwrap().unwrap().owned);
        assert!(!publication::may_create(&other).await.unwrap());
        drop(other);
        admin.execute(&format!("DROP ROLE {role}")).await.unwrap();
    })
    .await;
}
