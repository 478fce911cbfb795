//! Tables: their columns with resolved types, their unique keys, what old rows hold.

use std::collections::HashMap;

use afterbay_crds::plan::TableName;
use afterbay_formats::documentation::Comments;
use afterbay_formats::table::{
    ColumnDescription, Leaf, Persistence, ReplicaIdentity, TableDescription, TableKind, UniqueKey,
};
use tokio_postgres::Row;

use super::types::{self, TypeRef, Types};
use crate::postgres::pgoutput::RelationColumn;
use crate::postgres::quote;
use crate::postgres::{PostgresError, SqlClient};

/// How many names [`similar`] gives at the most.
const SIMILAR_MAX: usize = 3;
/// How much alike a name must be, from 0 to 1 (Jaro-Winkler).
const SIMILARITY_MIN: f64 = 0.8;

/// The columns of the index that is the replica identity of `pg_class c`.
const IDENTITY_COLUMNS: &str = "ARRAY(SELECT a.attname::text FROM pg_index i \
    CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indrelid = c.oid AND i.indisreplident AND k.place <= i.indnkeyatts ORDER BY k.place)";

/// Whether the column `pg_attribute a` holds no NULL. From version 18 on the mark alone does not say so: the constraint
/// can be NOT VALID. A domain that forbids NULL does not count, as NULLs get into its columns (`CREATE DOMAIN`, notes).
const NOT_NULL: &str = "(a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conrelid = a.attrelid \
    AND n.contype = 'n' AND NOT n.convalidated AND a.attnum = ANY (n.conkey)))";

/// All that the catalogue says of a table; none when it does not exist (or its schema does not).
pub async fn describe(client: &SqlClient, table: &TableName) -> Result<Option<TableDescription>, PostgresError> {
    Ok(describe_all(client, std::slice::from_ref(table)).await?.pop().flatten())
}

/// [`describe`] for many tables, in as many statements as for one.
pub async fn describe_all(
    client: &SqlClient,
    tables: &[TableName],
) -> Result<Vec<Option<TableDescription>>, PostgresError> {
    let names = |part: fn(&TableName) -> &str| tables.iter().map(part).collect::<Vec<_>>();
    let rows = client
        .query(
            &format!(
                "SELECT w.place, c.oid, c.relkind::text, c.relpersistence::text, c.relrowsecurity, c.relreplident::text, \
                    {IDENTITY_COLUMNS}, current_setting('server_version_num')::int4 >= 180000, c.reltoastrelid <> 0, \
                    obj_description(c.oid, 'pg_class') \
                 FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (schema, name, place) \
                 JOIN pg_namespace n ON n.nspname = w.schema \
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name"
            ),
            &[&names(|table| &table.schema), &names(|table| &table.name)],
        )
        .await?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(1)).collect();
    let roots = rows.iter().filter(|row| table_kind(row.get(2)) == TableKind::Partitioned);
    let leaves = leaves(client, &roots.map(|row| row.get(1)).collect::<Vec<_>>()).await?;
    let columns = columns(client, &oids).await?;
    let unique_keys = unique_keys(client, &oids).await?;

    let describe = |row: &Row, table: &TableName| {
        let oid: u32 = row.get(1);
        let leaves = leaves.get(&oid).cloned().unwrap_or_default();
        let found = columns.get(&oid).map(Vec::as_slice).unwrap_or_default();
        let comments = comments(&table.to_string(), row.get(9), found);
        let mut columns: Vec<_> = found.iter().map(|(column, _)| column.clone()).collect();
        // Without a table for them beside it, no value of a table can be stored out of line.
        let stores_apart = row.get(8) || leaves.iter().any(|(_, stores_apart)| *stores_apart);
        for column in &mut columns {
            column.can_toast &= stores_apart;
        }
        TableDescription {
            oid,
            schema: table.schema.clone(),
            name: table.name.clone(),
            kind: table_kind(row.get(2)),
            persistence: persistence(row.get(3)),
            columns,
            unique_keys: unique_keys.get(&oid).cloned().unwrap_or_default(),
            replica_identity: replica_identity(row.get(5), row.get(6)),
            leaves: leaves.into_iter().map(|(leaf, _)| leaf).collect(),
            comments,
            row_security: row.get(4),
            refuses_generated_identity: row.get(7),
        }
    };
    // Places are counted from 1.
    let by_place: HashMap<i64, &Row> = rows.iter().map(|row| (row.get(0), row)).collect();
    let place = |(table, place): (&TableName, i64)| by_place.get(&place).map(|row| describe(row, table));
    Ok(tables.iter().zip(1..).map(place).collect())
}

/// All tables that leave changes in the log, of these schemas or of all, by name: those of the system are left out, and so are
/// partitions, whose changes are those of their root.
pub async fn all(client: &SqlClient, schemas: Option<&[String]>) -> Result<Vec<TableName>, PostgresError> {
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition \
                AND n.nspname !~ '^(pg_|information_schema$)' \
                AND ($1::text[] IS NULL OR n.nspname::text = ANY ($1)) \
             ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"",
            &[&schemas],
        )
        .await?;
    Ok(rows.into_iter().map(|row| TableName { schema: row.get(0), name: row.get(1) }).collect())
}

/// The table as it was when the stream described it with these columns: `now`, with the columns, their types and the
/// replica identity of then. None where a type of then does not exist any more.
///
/// What the stream does not tell is taken from the column of the same name, if there is one, else the cautious way: the
/// column may hold NULLs.
pub async fn describe_then(
    client: &SqlClient,
    now: &TableDescription,
    columns: &[RelationColumn],
) -> Result<Option<TableDescription>, PostgresError> {
    let types = Types::load(client, columns.iter().map(|column| column.type_oid)).await?;
    if !columns.iter().all(|column| types.has(column.type_oid)) {
        return Ok(None);
    }
    let describe = |column: &RelationColumn| {
        let type_ref = TypeRef { oid: column.type_oid, modifier: column.type_modifier };
        let same = now.columns.iter().find(|known| known.name == column.name && known.type_oid == column.type_oid);
        ColumnDescription {
            name: column.name.clone(),
            attnum: same.map_or(0, |known| known.attnum),
            type_oid: column.type_oid,
            typmod: column.type_modifier,
            sql_type: types.resolve(type_ref),
            not_null: same.is_some_and(|known| known.not_null),
            generated: false,
            // Whether a value is missing for that shows in each change; here it would refuse those that are whole.
            can_toast: false,
        }
    };
    let identity = || columns.iter().filter(|column| column.key).map(|column| column.name.clone()).collect();
    Ok(Some(TableDescription {
        columns: columns.iter().map(describe).collect(),
        replica_identity: if columns.iter().all(|column| column.key) {
            ReplicaIdentity::Full
        } else {
            ReplicaIdentity::Index { columns: identity() }
        },
        ..now.clone()
    }))
}

/// How many rows a `SELECT` of the table is expected to give, by the planner. Needs the right to select.
pub async fn estimate_rows(client: &SqlClient, table: &TableName) -> Result<Option<u64>, PostgresError> {
    let name = quote::table(table);
    // A table that was never analysed and holds nothing would be guessed at ten pages.
    let bytes: Option<i64> = client
        .query_one(
            &format!(
                "SELECT sum(pg_relation_size(p.relid))::int8 FROM pg_partition_tree({regclass}) p \
                 UNION ALL SELECT pg_relation_size({regclass})::int8 ORDER BY 1 DESC NULLS LAST LIMIT 1",
                regclass = format_args!("{}::regclass", quote::literal(&name))
            ),
            &[],
        )
        .await?
        .get(0);
    if bytes == Some(0) {
        return Ok(Some(0));
    }
    let rows = client.query(&format!("EXPLAIN SELECT FROM {name}"), &[]).await?;
    let plan: Option<String> = rows.first().map(|row| row.get(0));
    Ok(plan.as_deref().and_then(planned_rows))
}

/// The number in `Seq Scan on t  (cost=0.00..35.50 rows=2550 width=0)`.
fn planned_rows(plan: &str) -> Option<u64> {
    let (_, rows) = plan.split_once(" rows=")?;
    rows.split(|byte: char| !byte.is_ascii_digit()).next()?.parse().ok()
}

/// Tables whose names are like this one, the most alike first, for "did you mean".
pub async fn similar(client: &SqlClient, table: &TableName) -> Result<Vec<TableName>, PostgresError> {
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)' ORDER BY 1, 2",
            &[],
        )
        .await?;
    let names = rows.into_iter().map(|row| TableName { schema: row.get(0), name: row.get(1) });
    Ok(most_similar(table, names))
}

fn most_similar(table: &TableName, candidates: impl Iterator<Item = TableName>) -> Vec<TableName> {
    let wanted = table.name.to_lowercase();
    let mut ranked: Vec<(f64, TableName)> = candidates
        .map(|candidate| {
            let likeness = strsim::jaro_winkler(&wanted, &candidate.name.to_lowercase());
            // Of two that are equally alike, the one in the schema that was named.
            let bonus = if candidate.schema == table.schema { 0.01 } else { 0.0 };
            (likeness + bonus, candidate)
        })
        .filter(|(likeness, _)| *likeness >= SIMILARITY_MIN)
        .collect();
    ranked.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    ranked.into_iter().take(SIMILAR_MAX).map(|(_, name)| name).collect()
}

fn table_kind(relkind: &str) -> TableKind {
    match relkind {
        "r" => TableKind::Ordinary,
        "p" => TableKind::Partitioned,
        "v" => TableKind::View,
        "m" => TableKind::MaterializedView,
        "f" => TableKind::Foreign,
        _ => TableKind::Other,
    }
}

fn persistence(relpersistence: &str) -> Persistence {
    match relpersistence {
        "u" => Persistence::Unlogged,
        "t" => Persistence::Temporary,
        _ => Persistence::Permanent,
    }
}

fn replica_identity(relreplident: &str, index_columns: Vec<String>) -> ReplicaIdentity {
    match relreplident {
        "d" => ReplicaIdentity::Default,
        "f" => ReplicaIdentity::Full,
        // Without columns the index was dropped, and nothing is left.
        "i" if !index_columns.is_empty() => ReplicaIdentity::Index { columns: index_columns },
        _ => ReplicaIdentity::Nothing,
    }
}

/// By root, the partitions that hold rows, and whether there is a table beside each for what is stored out of line.
async fn leaves(client: &SqlClient, roots: &[u32]) -> Result<HashMap<u32, Vec<(Leaf, bool)>>, PostgresError> {
    if roots.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = client
        .query(
            // A root without partitions is its own leaf.
            &format!(
                "SELECT r.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, \
                    c.relreplident::text, {IDENTITY_COLUMNS}, c.reltoastrelid <> 0 \
                 FROM unnest($1::oid[]) AS r (oid) CROSS JOIN LATERAL pg_partition_tree(r.oid::regclass) p \
                 JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE p.isleaf AND c.oid <> r.oid ORDER BY 1, 2, 3"
            ),
            &[&roots],
        )
        .await?;
    let leaf = |row: &Row| Leaf {
        schema: row.get(1),
        name: row.get(2),
        kind: table_kind(row.get(3)),
        persistence: persistence(row.get(4)),
        replica_identity: replica_identity(row.get(5), row.get(6)),
    };
    Ok(by_table(rows.iter().map(|row| (row.get(0), (leaf(row), row.get(7))))))
}

/// The comments on a table, on its columns and on the types that those are made of.
fn comments(table: &str, own: Option<String>, columns: &[(ColumnDescription, Comments)]) -> Comments {
    let mut all = Comments::default();
    if let Some(comment) = own {
        all.on_type(table, comment);
    }
    for (_, found) in columns {
        all.extend(found.clone());
    }
    all
}

/// The columns by table, as far as those tell, each with the comments on it and on its type; the ones that were dropped are
/// left out.
async fn columns(
    client: &SqlClient,
    tables: &[u32],
) -> Result<HashMap<u32, Vec<(ColumnDescription, Comments)>>, PostgresError> {
    let rows = client
        .query(
            &format!(
                "SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod, {NOT_NULL}, \
                    a.attgenerated::text <> '', a.attstorage::text <> 'p', col_description(a.attrelid, a.attnum), \
                    n.nspname || '.' || c.relname \
                 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped \
                 ORDER BY a.attrelid, a.attnum"
            ),
            &[&tables],
        )
        .await?;
    let types = Types::load(client, rows.iter().map(|row| row.get(3))).await?;
    let describe = |row: &Row| {
        let column = TypeRef { oid: row.get(3), modifier: row.get(4) };
        let mut comments = types.comments(column);
        let (name, table): (String, String) = (row.get(2), row.get(9));
        if let Some(comment) = row.get::<_, Option<String>>(8) {
            comments.on_column(table, &name, comment);
        }
        let description = ColumnDescription {
            name,
            attnum: row.get(1),
            type_oid: column.oid,
            typmod: column.modifier,
            sql_type: types.resolve(column),
            not_null: row.get(5),
            generated: row.get(6),
            can_toast: row.get::<_, bool>(7) && !types::always_inline(types.base(column)),
        };
        (description, comments)
    };
    Ok(by_table(rows.iter().map(|row| (row.get(0), describe(row)))))
}

/// By table, the keys that hold for all rows at every moment: on columns that are never NULL, without a condition, an
/// expression or a delay. The primary key first.
async fn unique_keys(client: &SqlClient, tables: &[u32]) -> Result<HashMap<u32, Vec<UniqueKey>>, PostgresError> {
    let rows = client
        .query(
            // An exclusion (also that of a key WITHOUT OVERLAPS) is not equality.
            &format!(
                "SELECT i.indrelid, i.indisprimary, k.columns FROM pg_index i CROSS JOIN LATERAL ( \
                    SELECT array_agg(a.attname::text ORDER BY p.place) AS columns, bool_and({NOT_NULL}) AS not_null \
                    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p (attnum, place) \
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = p.attnum \
                    WHERE p.place <= i.indnkeyatts) k \
                 WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indimmediate AND i.indisvalid \
                    AND NOT i.indisexclusion AND i.indpred IS NULL AND i.indexprs IS NULL AND k.not_null \
                 ORDER BY i.indrelid, i.indisprimary DESC, i.indexrelid"
            ),
            &[&tables],
        )
        .await?;
    let key = |row: &Row| UniqueKey { primary: row.get(1), columns: row.get(2) };
    Ok(by_table(rows.iter().map(|row| (row.get(0), key(row)))))
}

/// What belongs to a table, under its oid, in the order in which it comes.
fn by_table<T>(rows: impl Iterator<Item = (u32, T)>) -> HashMap<u32, Vec<T>> {
    let mut tables: HashMap<u32, Vec<T>> = HashMap::new();
    for (table, row) in rows {
        tables.entry(table).or_default().push(row);
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn the_planners_number() {
        assert_eq!(planned_rows("Seq Scan on t  (cost=0.00..35.50 rows=2550 width=0)"), Some(2550));
        assert_eq!(planned_rows("Append  (cost=0.00..1 rows=7)"), Some(7));
        assert_eq!(planned_rows("nothing"), None);
    }

    #[test]
    fn did_you_mean() {
        let tables = || ["orders", "order_items", "customers", "Ordres"].map(|table| name("public", table)).into_iter();
        let similar = |schema, table| most_similar(&name(schema, table), tables());
        assert_eq!(similar("public", "order").first(), Some(&name("public", "orders")));
        assert_eq!(similar("shop", "orders").first(), Some(&name("public", "orders")), "the schema was wrong");
        assert_eq!(similar("public", "xyz"), []);
        assert!(similar("public", "ordres").contains(&name("public", "Ordres")), "the case was wrong");
    }
}
