use afterbay_formats::relation::{Column, SqlType};

use super::*;

fn relation() -> Relation {
    let columns = vec![
        Column::not_null("id", SqlType::Int4),
        Column::nullable("name", SqlType::Text),
        Column::nullable("amount", SqlType::Numeric { typmod: Some((12, 2)) }),
        Column::nullable("exact", SqlType::Numeric { typmod: None }),
        Column::nullable("Ratio", SqlType::Float8),
        Column::nullable("at", SqlType::Timestamptz { precision: None }),
        Column::nullable("raw", SqlType::Bytea),
        Column::nullable("status", SqlType::Other("mood".to_owned())),
    ];
    Relation { schema: "public".to_owned(), name: "orders".to_owned(), columns }
}

fn compile(sql: &str) -> Result<HashExpression, QueryError> {
    HashExpression::compile(sql, &relation(), Scope::AllColumns)
}

fn row(id: &'static str) -> Vec<Option<&'static str>> {
    vec![
        Some(id),
        Some("apple"),
        Some("10.50"),
        Some("12345678901234567890.5"),
        Some("2.5"),
        Some("2024-01-02 03:04:05.678+00"),
        Some("\\x6170706c65"),
        Some("happy"),
    ]
}

fn hashes(sql: &str, rows: &[Vec<Option<&str>>]) -> Vec<u64> {
    let rows: Vec<&[Option<&str>]> = rows.iter().map(Vec::as_slice).collect();
    let mut out = vec![99];
    compile(sql).unwrap().hashes(&rows, &mut out);
    out
}

fn check(sql: &str, expected: u64) {
    assert_eq!(hashes(sql, &[row("7")]), [expected], "{sql}");
}

fn refused(sql: &str) -> QueryError {
    compile(sql).expect_err(sql)
}

#[test]
fn hash_functions() {
    check("kafka_murmur2(name)", 95_915_317);
    check("kafka_murmur2(raw)", 95_915_317);
    check("kafka_murmur2('banana')", 885_931_309);
    // Python: zlib.crc32(b'apple'), zlib.crc32(b'7apple')
    check("crc32(name)", 2_838_417_488);
    check("crc32(id::text || name)", 3_350_311_419);
    check("seahash('to be or not to be')", 1_988_685_042_348_123_509);
    check("seahash('to be or not to be') % 7", 1_988_685_042_348_123_509 % 7);
}

#[test]
fn numbers_of_every_kind() {
    check("id", 7);
    check("id % 4", 3);
    check("id::bigint * 3000000000", 21_000_000_000);
    check("amount", 11);
    check("amount - 0.01", 10);
    check("exact", 12_345_678_901_234_567_891);
    check("\"Ratio\"", 2);
    check("\"Ratio\" + 1", 4);
    check("extract(epoch from at)", 1_704_164_646);
    check("1", 1);
    check("1.5", 2);
    check("18446744073709551615", u64::MAX);
    check("case when status::text = 'happy' then 5 end", 5);
    check("length(status::text)", 5);
}

#[test]
fn null_error_and_negative_are_0() {
    check("NULL", 0);
    check("-id", 0);
    check("id / 0", 0);
    check("id / (id - 7)", 0);
    check("18446744073709551616", 0);
    check("'NaN'::float8", 0);
    check("2147483647 + id", 0);
    check("name::int", 0);
    check("-0.4", 0);
}

#[test]
fn an_error_is_that_of_its_row_alone() {
    let mut rows = vec![row("1"), row("0"), row("3")];
    rows.push(row("4"));
    rows[3][0] = None;
    assert_eq!(hashes("12 / id", &rows), [12, 0, 4, 0]);
    rows[0][5] = Some("not a moment");
    assert_eq!(hashes("extract(year from at) + id", &rows), [0, 2024, 2027, 0]);
    assert!(hashes("12 / id", &[]).is_empty());
}

#[test]
fn columns_that_are_read() {
    assert_eq!(compile("crc32(name || id::text || name)").unwrap().columns(), [0, 1]);
    assert_eq!(compile("id").unwrap().columns(), [0]);
    assert_eq!(compile("orders.id + public.orders.id").unwrap().columns(), [0]);
    assert_eq!(compile("1").unwrap().columns(), [] as [usize; 0]);
}

#[test]
fn the_key_alone_where_the_envelope_wants_it() {
    let compile = |sql: &str| HashExpression::compile(sql, &relation(), Scope::KeyColumns(&[0]));
    assert!(compile("id + 1").is_ok());
    let error = compile("id + length(name)").unwrap_err();
    assert_eq!(error.message, "PARTITION BY expression cannot refer to non-key column \"name\"");
    assert_eq!(error.place.map(|place| place.column), Some(13));
}

#[test]
fn types_that_are_no_number() {
    for (sql, name) in [
        ("name", "text"),
        ("'a'", "text"),
        ("id > 1", "boolean"),
        ("at", "timestamp with time zone"),
        ("raw", "bytea"),
        ("status", "mood"),
    ] {
        let error = refused(sql);
        assert_eq!(
            error.message,
            format!("expression must be of a type that can be cast to uint8, but it is of type {name}")
        );
        assert!(error.hint.is_some());
    }
}

#[test]
fn errors_say_what_and_where() {
    for (sql, message, hint) in [
        ("nmae", "there is no column \"nmae\" in public.orders (at character 1)", "did you mean \"name\"?"),
        (
            "1 + ratio",
            "there is no column \"ratio\" in public.orders (at character 5)",
            "did you mean \"Ratio\"? Names with capitals need the double quotes",
        ),
        (
            "random()",
            "function random gives another result each time, so that a repeated message would differ from the first \
             (at character 1)",
            "keep its result in a column of the table, for example as the column's default",
        ),
        ("lenght(name)", "function lenght is not supported (at character 1)", "did you mean length?"),
        (
            "length(id)",
            "function length(integer) does not exist (at character 1)",
            "cast the arguments, for example x::text",
        ),
        (
            "id + name",
            "operator does not exist: integer + text (at character 1)",
            "cast one side to the type of the other",
        ),
        (
            "status = 'happy'",
            "values of type mood cannot be compared here (at character 1)",
            "compare their texts: x::text = '…'",
        ),
        ("id 7", "syntax error at or near \"7\" (at character 4)", "one expression is expected, and nothing behind it"),
        (
            "amount / 3",
            "division of numeric: not supported, as its digits depend on the values (at character 1)",
            "cast both to double precision, or multiply by the inverse",
        ),
        (
            "exact * 2",
            "numeric without a precision cannot be computed with (at character 1)",
            "cast it to numeric(p,s) with as many digits as needed, or to double precision",
        ),
    ] {
        let error = refused(sql);
        assert_eq!((error.to_string().as_str(), error.hint.as_deref()), (message, Some(hint)), "{sql}");
    }
    for (sql, word) in [
        ("count(*)", "count"),
        ("sum(id)", "sum"),
        ("row_number() over ()", "row_number"),
        ("(select 1)", "subquery"),
        ("current_date", "current_date"),
        ("now()", "now"),
        ("id in (select 1)", "subquery"),
        ("unnest(id)", "unnest"),
        ("$1", "parameters"),
        ("name ~ 'a'", "regular expressions"),
        ("", "syntax error"),
        ("id +", "syntax error"),
        ("'unfinished", "syntax error"),
    ] {
        let error = refused(sql);
        assert!(error.message.contains(word), "{sql}: {error}");
    }
}

#[test]
fn depth_and_length_have_limits() {
    let sum = |terms: usize| vec!["id"; terms].join(" + ");
    assert!(compile(&sum(100)).is_ok());
    assert!(refused(&sum(2_000)).message.contains("nested too deeply"));
    assert!(refused(&sum(4_000)).message.contains("at most"));
    assert!(refused(&format!("{}1{}", "(".repeat(3_000), ")".repeat(3_000))).message.contains("nested too deeply"));
}
