use afterbay_formats::relation::Column;

use super::*;
use crate::error::{Clause, QueryError};
use crate::statement::Query;

mod golden;

const NONE: &str = "<NULL>";

fn numeric(precision: u16, scale: i16) -> SqlType {
    SqlType::Numeric { typmod: Some((precision, scale)) }
}

/// The table of the golden values, and its one row.
fn table() -> (Relation, Vec<Option<&'static str>>) {
    let columns = [
        ("i2", SqlType::Int2, Some("-7")),
        ("i4", SqlType::Int4, Some("42")),
        ("i8", SqlType::Int8, Some("9007199254740993")),
        ("r", SqlType::Float4, Some("0.1")),
        ("d", SqlType::Float8, Some("2.5")),
        ("n", numeric(12, 2), Some("-1234.55")),
        ("u", SqlType::Numeric { typmod: None }, Some("12345678901234567890.123456789")),
        ("w", numeric(50, 10), Some("1234567890123456789012345678901234567890.0123456789")),
        ("b", SqlType::Bool, Some("t")),
        ("s", SqlType::Text, Some("  Hello, Wörld ")),
        ("c", SqlType::Bytea, Some("\\x00ff10")),
        ("dt", SqlType::Date, Some("2024-02-29")),
        ("tm", SqlType::Time, Some("13:14:15.5")),
        ("ts", SqlType::Timestamp { precision: None }, Some("2024-02-29 23:59:58.123456")),
        ("tz", SqlType::Timestamptz { precision: None }, Some("2021-01-03 01:02:03+00")),
        ("iv", SqlType::Interval, Some("1 year 2 mons -3 days +04:05:06")),
        ("id", SqlType::Uuid, Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("j", SqlType::Jsonb, Some(r#"{"a": 1}"#)),
        ("arr", SqlType::Array(Box::new(SqlType::Int4)), Some("{1,2}")),
        ("ip", SqlType::Other("inet".to_owned()), Some("10.0.0.1")),
        ("z", SqlType::Int4, None),
        ("inf", SqlType::Date, Some("infinity")),
        ("o", SqlType::Oid, Some("4294967295")),
        ("bc", SqlType::Timestamp { precision: None }, Some("0044-03-15 12:00:00 BC")),
    ];
    let (columns, row) =
        columns.into_iter().map(|(name, sql_type, value)| (Column::nullable(name, sql_type), value)).unzip();
    (Relation { schema: "public".to_owned(), name: "t".to_owned(), columns }, row)
}

/// The text form of an expression's value for the row, and its type.
fn value(sql: &str) -> Result<(String, String), String> {
    let (table, row) = table();
    let query = Query::parse(&format!("SELECT {sql} AS x FROM t")).map_err(|error| error.to_string())?;
    let query = query.compile(&table, &[]).map_err(|error| error.to_string())?;
    let mut evaluated = Evaluated::default();
    let row = row.as_slice();
    query.evaluate(&[row], &mut evaluated);
    if let Some(error) = evaluated.error(0) {
        return Err(error.reason.to_owned());
    }
    let output = query.output(&evaluated, 0, row);
    let cell = output.cell(0).map_or(NONE.to_owned(), |cell| String::from_utf8(cell.to_vec()).unwrap());
    Ok((cell, crate::types::name(&query.relation().columns[0].sql_type)))
}

/// What has another scale or another type here: a `numeric` has one scale for all values of an expression, `varchar` is
/// `text`, and a text in quotes is one.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("case i4 when 42 then 1 when 43 then 2.5 end", "1.0", "numeric"),
    ("coalesce(z, i8, 1.5)", "9007199254740993.0", "numeric"),
    ("greatest(n, 5)", "5.00", "numeric"),
    ("s::varchar(4)", "  He", "text"),
    ("s::varchar", "  Hello, Wörld ", "text"),
    ("'x'", "x", "text"),
    ("NULL", "<NULL>", "text"),
];

#[test]
fn as_postgres_has_it() {
    let mut wrong = Vec::new();
    for (sql, expected, sql_type) in golden::GOLDEN {
        let found = value(sql);
        let otherwise = OTHERWISE.iter().find(|(otherwise, ..)| otherwise == sql);
        let (expected, sql_type) = otherwise.map_or((expected, sql_type), |(_, value, sql_type)| (value, sql_type));
        let fits = match (&found, expected.strip_prefix('!')) {
            (Err(_), Some(_)) => true,
            (Err(_), None) | (Ok(_), Some(_)) => false,
            (Ok((value, found)), None) => value == expected && found == sql_type,
        };
        if !fits {
            wrong.push(format!("{sql}: {found:?} is not {expected} ({sql_type})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A row has the same result among others, of which some are NULL throughout, as by itself.
#[test]
fn alone_and_among_others() {
    let (table, row) = table();
    let nulls = vec![None; row.len()];
    for (sql, ..) in golden::GOLDEN {
        let Ok((alone, _)) = value(sql) else { continue };
        let query = Query::parse(&format!("SELECT {sql} AS x FROM t")).unwrap().compile(&table, &[]).unwrap();
        let rows = [row.as_slice(), nulls.as_slice(), row.as_slice()];
        let mut evaluated = Evaluated::default();
        query.evaluate(&rows, &mut evaluated);
        assert_eq!(evaluated.errors(), [], "{sql}");
        for at in [0, 2] {
            let output = query.output(&evaluated, at, rows[at]);
            let cell = output.cell(0).map_or(NONE.as_bytes(), |cell| cell);
            assert_eq!(cell, alone.as_bytes(), "{sql}");
        }
        let of_nulls = query.output(&evaluated, 1, rows[1]);
        let nullable = query.relation().columns[0].nullable;
        assert!(nullable || of_nulls.cell(0).is_some(), "{sql} is said to be NOT NULL");
    }
}

fn orders() -> Relation {
    let columns = vec![
        Column::not_null("id", SqlType::Int8),
        Column::not_null("tenant", SqlType::Int4),
        Column::nullable("note", SqlType::Text),
        Column::nullable("amount", numeric(12, 2)),
        Column::nullable("tags", SqlType::Array(Box::new(SqlType::Text))),
        Column::nullable("until", SqlType::Timestamp { precision: Some(3) }),
        Column::nullable("Weird", SqlType::Bool),
    ];
    Relation { schema: "shop".to_owned(), name: "orders".to_owned(), columns }
}

fn compile(sql: &str) -> Result<CompiledQuery, QueryError> {
    let keys = [vec!["id".to_owned()], vec!["tenant".to_owned(), "note".to_owned()]];
    Query::parse(sql)?.compile(&orders(), &keys)
}

fn refused(sql: &str) -> QueryError {
    compile(sql).expect_err(sql)
}

type Cells = Vec<Option<&'static str>>;

fn order(id: &'static str, note: Option<&'static str>, amount: Option<&'static str>) -> Cells {
    vec![Some(id), Some("1"), note, amount, Some("{a,\"b c\"}"), Some("2024-01-02 03:04:05.678"), Some("t")]
}

fn evaluated(query: &CompiledQuery, rows: &[Cells], out: &mut Evaluated) -> Result<Vec<Option<Vec<String>>>, RowError> {
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    query.evaluate(&rows, out);
    let cells = |row: usize| {
        let output = query.output(out, row, rows[row]);
        let cell = |at| output.cell(at).map_or(NONE.to_owned(), |cell| String::from_utf8(cell.to_vec()).unwrap());
        (0..query.relation().columns.len()).map(cell).collect()
    };
    let all = (0..rows.len()).map(|row| out.passes(row).then(|| cells(row))).collect();
    out.errors().first().map_or(Ok(all), |error| Err(error.clone()))
}

#[test]
fn tables_and_aliases() {
    for (sql, table) in [
        ("SELECT * FROM orders", ("public", "orders")),
        ("select * from Shop.ORDERS;", ("shop", "orders")),
        ("SELECT * FROM \"Shop\".\"Orders\" AS o", ("Shop", "Orders")),
        ("(SELECT * FROM orders)", ("public", "orders")),
    ] {
        assert_eq!(Query::parse(sql).unwrap().table(), table, "{sql}");
    }
    for sql in [
        "SELECT o.id FROM shop.orders o WHERE o.id > 1",
        "SELECT o.* FROM shop.orders AS o",
        "SELECT orders.id, shop.orders.tenant FROM shop.orders",
        "SELECT \"Weird\" FROM shop.orders",
    ] {
        assert!(compile(sql).is_ok(), "{sql}");
    }
    for (sql, message) in [
        ("SELECT x.id FROM shop.orders o", "there is no table \"x\" here (at character 8)"),
        ("SELECT orders.id FROM shop.orders o", "there is no table \"orders\" here (at character 8)"),
        ("SELECT x.* FROM shop.orders o", "there is no table \"x\" here"),
        ("SELECT weird FROM shop.orders", "there is no column \"weird\" in shop.orders (at character 8)"),
        ("SELECT id, note AS id FROM shop.orders", "there are two columns with the name \"id\" (at character 12)"),
        ("SELECT *, id FROM shop.orders", "there are two columns with the name \"id\" (at character 11)"),
        ("SELECT id + 1 FROM shop.orders", "the column id + 1 has no name (at character 8)"),
        (
            "SELECT id FROM shop.orders WHERE note",
            "argument of WHERE must be type boolean, not type text (at character 34)",
        ),
    ] {
        assert_eq!(refused(sql).to_string(), message, "{sql}");
    }
}

#[test]
fn columns_types_and_keys() {
    let query = compile(
        "SELECT id AS order_id, tenant, tags, until, amount * 2 AS twice, coalesce(note, '-') AS note, lower(note), \
         id::text AS t, until > '2024-01-01' AS late, 1 AS one, amount::numeric(10,1) FROM shop.orders WHERE \"Weird\"",
    )
    .unwrap();
    let relation = query.relation();
    assert_eq!((relation.schema.as_str(), relation.name.as_str()), ("shop", "orders"));
    let expected = [
        Column::not_null("order_id", SqlType::Int8),
        Column::not_null("tenant", SqlType::Int4),
        Column::nullable("tags", SqlType::Array(Box::new(SqlType::Text))),
        Column::nullable("until", SqlType::Timestamp { precision: Some(3) }),
        Column::nullable("twice", numeric(13, 2)),
        Column::not_null("note", SqlType::Text),
        Column::nullable("lower", SqlType::Text),
        Column::not_null("t", SqlType::Text),
        Column::nullable("late", SqlType::Bool),
        Column::not_null("one", SqlType::Int4),
        Column::nullable("amount", numeric(10, 1)),
    ];
    assert_eq!(relation.columns, expected);
    // The note of the second key does not come through as it is.
    assert_eq!(query.unique_keys(), [["order_id"]]);
    assert_eq!(query.source_columns(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(query.filter_columns(), [6]);
    assert_eq!((query.column_origin(0), query.column_origin(4), query.column_origin(99)), (Some(0), None, None));
    let all = compile("SELECT * FROM shop.orders").unwrap();
    assert_eq!(all.relation(), &orders());
    assert_eq!(all.unique_keys().len(), 2);
    assert!(all.passes_all());
}

#[test]
fn rows_pass_or_not() {
    let query =
        compile("SELECT id, upper(note) AS note, amount > 5 AS big, tags FROM shop.orders WHERE amount <> 7").unwrap();
    let rows = [
        order("1", Some("a"), Some("10.50")),
        order("2", Some("b"), Some("7.00")),
        order("3", None, None),
        order("4", None, Some("0.01")),
    ];
    let mut out = Evaluated::default();
    for _ in 0..2 {
        let cells = evaluated(&query, &rows, &mut out).unwrap();
        let texts = |cells: [&str; 4]| Some(cells.map(str::to_owned).to_vec());
        assert_eq!(cells[0], texts(["1", "A", "t", "{a,\"b c\"}"]));
        assert_eq!(cells[1], None);
        assert_eq!(cells[2], None, "NULL is not true");
        assert_eq!(cells[3], texts(["4", NONE, "f", "{a,\"b c\"}"]));
        assert_eq!(out.passing(), [0, 3]);
    }
    assert_eq!(evaluated(&query, &[], &mut out).unwrap().len(), 0);
    assert!(!out.passes(0));
}

#[test]
fn errors_name_row_and_column() {
    let query = compile("SELECT id, 12 / id AS share FROM shop.orders WHERE 6 / (id - 9) <= 6").unwrap();
    let ids = |ids: &[&'static str]| ids.iter().map(|id| order(id, None, None)).collect::<Vec<_>>();
    let mut out = Evaluated::default();
    assert!(evaluated(&query, &ids(&["1", "2"]), &mut out).is_ok());
    let error = evaluated(&query, &ids(&["1", "2", "0", "9"]), &mut out).unwrap_err();
    assert_eq!(error, RowError { row: 2, clause: Clause::Column("share".to_owned()), reason: "division by zero" });
    assert_eq!(error.to_string(), "output column \"share\" cannot be computed: division by zero");
    assert!(out.passes(0) && out.passes(1));
    let error = evaluated(&query, &ids(&["1", "9", "0"]), &mut out).unwrap_err();
    assert_eq!(error, RowError { row: 1, clause: Clause::Where, reason: "division by zero" });
    assert_eq!(error.to_string(), "the condition after WHERE cannot be computed: division by zero");
    // An error touches no other row, and of a row the first is told.
    assert!(out.passes(0) && !out.passes(1) && out.passes(2));
    assert_eq!(out.errors().iter().map(|error| error.row).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(out.error(2).map(|error| &error.clause), Some(&Clause::Column("share".to_owned())));
    assert_eq!(out.error(0), None);
    // What does not pass is not computed.
    let query = compile("SELECT id, 12 / id AS share FROM shop.orders WHERE id <> 0").unwrap();
    assert!(evaluated(&query, &ids(&["0", "1"]), &mut out).is_ok());
    // One condition shields the other, also where only some rows need it.
    let query = compile("SELECT id FROM shop.orders WHERE id <> 0 AND 12 / id > 2").unwrap();
    assert_eq!(evaluated(&query, &ids(&["0", "1", "2", "0", "3"]), &mut out).unwrap().iter().flatten().count(), 3);
}

#[test]
fn outputs_that_nobody_asks_for_are_not_computed() {
    let sql = "SELECT upper(note) AS c, id AS k, 12 / id AS share, id + 1 AS next FROM shop.orders WHERE id < 9";
    let table = orders();
    let query = Query::parse(sql).unwrap().compile_only(&table, &[1, 3]).unwrap();
    let whole = compile(sql).unwrap();
    assert_eq!(query.relation(), whole.relation());
    let names = |columns: &[usize]| columns.iter().map(|at| table.columns[*at].name.clone()).collect::<Vec<_>>();
    assert_eq!(names(query.source_columns()), ["id"]);
    assert_eq!(names(whole.source_columns()), ["id", "note"]);
    assert_eq!(names(whole.behind(0)), ["note"]);
    assert_eq!((names(whole.behind(1)), names(whole.behind(2))), (names(&[0]), names(&[0])));
    let mut out = Evaluated::default();
    let cells = evaluated(&query, &[order("0", None, None), order("9", None, None)], &mut out).unwrap();
    let row = [NONE, "0", NONE, "1"].map(str::to_owned).to_vec();
    assert_eq!(cells, [Some(row), None]);
}

#[test]
fn values_that_cannot_be_read() {
    let query = compile("SELECT id, until + interval '1 day' AS u, amount + 1 AS a FROM shop.orders").unwrap();
    let mut row = order("1", None, Some("NaN"));
    let mut out = Evaluated::default();
    let error = evaluated(&query, &[order("2", None, None), row.clone()], &mut out).unwrap_err();
    assert_eq!((error.row, &error.clause), (1, &Clause::Column("a".to_owned())));
    row[3] = None;
    row[5] = Some("294276-12-31 23:59:59.999999");
    let error = evaluated(&query, &[row.clone()], &mut out).unwrap_err();
    assert_eq!(error.clause, Clause::Column("u".to_owned()));
    // As it is, and whether it is there, any value will do.
    let query = compile("SELECT until FROM shop.orders WHERE until IS NOT NULL").unwrap();
    let cells = evaluated(&query, &[row], &mut out).unwrap();
    assert_eq!(cells, [Some(vec!["294276-12-31 23:59:59.999999".to_owned()])]);
}

#[test]
fn what_is_not_stateless_is_refused_by_name() {
    for (sql, word) in [
        ("SELECT * FROM a JOIN b ON true", "JOIN"),
        ("SELECT * FROM a, b", "several tables"),
        ("SELECT id FROM a GROUP BY id", "GROUP BY"),
        ("SELECT id FROM a HAVING true", "HAVING"),
        ("SELECT count(*) FROM a", "count"),
        ("SELECT string_agg(x, ',') FROM a", "string_agg"),
        ("SELECT sum(x) FILTER (WHERE true) FROM a", "sum"),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM a", "percentile_cont"),
        ("SELECT DISTINCT id FROM a", "DISTINCT"),
        ("SELECT DISTINCT ON (id) id FROM a", "DISTINCT"),
        ("SELECT row_number() OVER () FROM a", "window function row_number"),
        ("SELECT lower(x) OVER () FROM a", "window function lower"),
        ("SELECT id FROM a WINDOW w AS (ORDER BY id)", "WINDOW"),
        ("SELECT id FROM a ORDER BY id", "ORDER BY"),
        ("SELECT id FROM a LIMIT 1", "LIMIT"),
        ("SELECT id FROM a OFFSET 1", "OFFSET"),
        ("SELECT id FROM a FETCH FIRST 1 ROW ONLY", "FETCH"),
        ("SELECT id FROM a UNION SELECT id FROM b", "UNION"),
        ("SELECT id FROM a INTERSECT SELECT id FROM b", "INTERSECT"),
        ("SELECT id FROM a EXCEPT SELECT id FROM b", "EXCEPT"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "WITH"),
        ("SELECT (SELECT 1) FROM a", "subquery"),
        ("SELECT id FROM a WHERE id IN (SELECT 1)", "subquery"),
        ("SELECT id FROM a WHERE EXISTS (SELECT 1)", "subquery"),
        ("SELECT id FROM (SELECT * FROM a) AS a", "subquery after FROM"),
        ("VALUES (1)", "VALUES"),
        ("TABLE a", "TABLE"),
        ("SELECT unnest(x) FROM a", "set-returning function unnest"),
        ("SELECT * FROM unnest(x)", "unnest"),
        ("SELECT generate_series(1, 2) FROM a", "set-returning function generate_series"),
        ("SELECT * FROM generate_series(1, 2)", "generate_series"),
        ("SELECT id FROM a FOR UPDATE", "FOR UPDATE"),
        ("SELECT id INTO b FROM a", "INTO"),
        ("SELECT id FROM a TABLESAMPLE system (1)", "TABLESAMPLE"),
        ("SELECT id FROM a; SELECT id FROM b", "more than one statement"),
        ("", "no query"),
        ("SELECT 1", "no table"),
        ("DELETE FROM a", "DELETE is no SELECT"),
        ("INSERT INTO a VALUES (1)", "INSERT is no SELECT"),
        ("UPDATE a SET b = 1", "UPDATE is no SELECT"),
        ("SELECT now() FROM a", "now"),
        ("SELECT id FROM a WHERE at > current_date", "current_date"),
        ("SELECT id FROM a WHERE at > current_timestamp", "current_timestamp"),
        ("SELECT gen_random_uuid() FROM a", "gen_random_uuid"),
        ("SELECT id FROM a WHERE random() < 0.5", "random"),
        ("SELECT id FROM db.public.a", "db.public.a"),
        ("SELECT id FROM a AS x(y)", "alias"),
        ("SELECT FROM a", "no columns"),
        ("SELECT x[1] FROM a", "parts of arrays"),
        ("SELECT j ->> 'x' FROM a", "->>"),
        ("SELEC id FROM a", "syntax error"),
    ] {
        let error = Query::parse(sql).expect_err(sql);
        assert!(error.message.contains(word), "{sql}: {error}");
    }
}
