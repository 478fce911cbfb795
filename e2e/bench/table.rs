//! The table: eight columns of eight types, about 200 bytes as JSON.

use afterbay_e2e::Database;

/// Its name.
pub const TABLE: &str = "public.items";

/// Rows that one statement changes.
const ROWS_PER_STATEMENT: u64 = 1_000;

/// Makes it, with so many rows.
pub async fn create(database: &Database, rows: u64) {
    let columns = "id bigint PRIMARY KEY, name text NOT NULL, n int NOT NULL, amount numeric(12,2) NOT NULL, \
                   ts timestamptz NOT NULL, ok boolean NOT NULL, uid uuid NOT NULL, doc jsonb NOT NULL";
    database.run(&format!("CREATE TABLE items ({columns})")).await;
    // A value that may be stored out of line is not sent with an update that leaves it as it is, and Afterbay then asks
    // for the whole old row in the log. Here no value is: the default replica identity is enough for all.
    database.run("ALTER TABLE items ALTER name SET STORAGE PLAIN, ALTER doc SET STORAGE PLAIN").await;
    insert(database, 1, rows).await;
    database.run("VACUUM ANALYZE items").await;
    // What the making of it has left to do is not to be done while something is measured.
    database.run_as_superuser("CHECKPOINT").await;
}

/// Inserts rows of these ids, in one transaction.
pub async fn insert(database: &Database, first: u64, last: u64) {
    let row = "i, 'customer-' || lpad((i * 7919 % 100000000)::text, 11, '0'), (i * 31 % 100000)::int, \
               (i * 37 % 100000000) / 100.0, timestamptz '2026-01-01' + i * interval '1 second', i % 2 = 0, \
               md5(i::text)::uuid, jsonb_build_object('a', i % 100, 'b', 'tag' || i % 17)";
    database.run(&format!("INSERT INTO items SELECT {row} FROM generate_series({first}::bigint, {last}) i")).await;
}

/// Changes the first so many rows once each, in small transactions, as fast as the server can.
pub async fn update(database: &Database, rows: u64) {
    for first in (1..=rows).step_by(ROWS_PER_STATEMENT as usize) {
        let last = (first + ROWS_PER_STATEMENT - 1).min(rows);
        database.run(&format!("UPDATE items SET n = n + 1, ts = now() WHERE id BETWEEN {first} AND {last}")).await;
    }
}

/// Has the server send the whole old row with each update, from now on.
pub async fn send_old_rows(database: &Database) {
    database.run("ALTER TABLE items REPLICA IDENTITY FULL").await;
}

/// Changes one row, in a transaction of its own.
pub fn update_one(id: u64) -> String {
    format!("UPDATE items SET n = n + 1 WHERE id = {id}")
}

/// Reads the whole table, for nobody: what a snapshot costs the server at the least.
pub async fn copy_to_nowhere(database: &Database) {
    database.run_as_superuser("COPY items TO '/dev/null'").await;
}
