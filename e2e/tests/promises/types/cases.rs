//! Each SQL type, values of it, and how SQL itself tells what a message must hold.
//!
//! In the expressions `$` is the column. Where Avro has bytes, they are told as [`Read`] says.

use afterbay_e2e::Database;

use super::expressions::{
    DECIMAL, FLAT, FLAT_TEXTS, FLOAT, JSON_TIMESTAMP, JSON_TIMESTAMPS, JSON_TYPE, MICROS, MICROS_TYPE, MILLIS,
    MILLIS_TYPE, MIXED_AVRO, MIXED_JSON, MIXED_TYPE, PAIRS, STRING, STRINGS, TEXT, TEXTS, THING_AVRO, THING_JSON,
    THING_TYPE, VALUE,
};

/// One column.
pub struct Case {
    /// The type as `CREATE TABLE` takes it.
    pub sql_type: &'static str,
    /// Literals of it.
    pub values: &'static [&'static str],
    /// The JSON value, as jsonb.
    pub json: &'static str,
    /// The Avro value, as jsonb.
    pub avro: &'static str,
    /// The Avro type.
    pub schema: &'static str,
    /// How bytes are told.
    pub read: Read,
}

/// How the bytes of an Avro value are told, to compare them with what SQL says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// In hex.
    Plain,
    /// As the number that two's complement makes of them, big-endian and no longer than needed.
    Decimal,
    /// No bytes, but a number that SQL tells as text.
    Float,
    /// As Postgres sends an interval: microseconds, days, months, each big-endian.
    Interval,
}

const TIMESTAMPS: &[&str] = &[
    "2011-11-11 11:11:11.12345",
    "1969-12-31 23:59:59.999999",
    "4714-11-24 00:00:00 BC",
    "294247-01-10 04:00:54.775806",
    "infinity",
    "-infinity",
];
const ROUND_TIMESTAMPS: &[&str] = &[
    "2011-11-11 11:11:11.123",
    "1969-12-31 23:59:59.999",
    "0044-03-15 BC",
    "4714-11-24 BC",
    "294276-12-31 23:59:59",
    "infinity",
    "-infinity",
];

/// What the columns' types need.
pub const TYPES: &str = r#"
    CREATE EXTENSION hstore;
    CREATE FUNCTION seconds(timestamp) RETURNS numeric LANGUAGE sql AS
        'SELECT extract(epoch FROM date_trunc(''second'', $1))::numeric + extract(microseconds FROM $1)::numeric % 1000000 / 1000000';
    CREATE FUNCTION seconds(timestamptz) RETURNS numeric LANGUAGE sql AS
        'SELECT extract(epoch FROM date_trunc(''second'', $1))::numeric + extract(microseconds FROM $1)::numeric % 1000000 / 1000000';
    CREATE FUNCTION seconds(time) RETURNS numeric LANGUAGE sql AS
        'SELECT extract(epoch FROM date_trunc(''second'', $1))::numeric + extract(microseconds FROM $1)::numeric % 1000000 / 1000000';
    CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'glücklich');
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE DOMAIN price AS numeric(6, 3);
    CREATE DOMAIN price_list AS price[];
    CREATE TYPE pair AS (a bigint, at timestamp);
    CREATE TYPE thing AS (x int, "la bel" text, pair pair, list int[]);
    CREATE TYPE mixed AS (flag boolean, amount numeric(6, 2), raw bytea, mood mood);
"#;

const fn same(
    sql_type: &'static str,
    values: &'static [&'static str],
    told: &'static str,
    schema: &'static str,
) -> Case {
    Case { sql_type, values, json: told, avro: told, schema, read: Read::Plain }
}

/// An array, with how SQL tells an element `e` of it in Avro, and the Avro type of one.
macro_rules! array {
    ($sql_type:literal, $value:literal, $json:expr, $avro:literal, $items:literal $(,)?) => {
        Case {
            avro: concat!(
                "(SELECT coalesce(jsonb_agg(",
                $avro,
                " ORDER BY o), '[]') FROM unnest($) WITH ORDINALITY u(e, o))"
            ),
            ..same($sql_type, &[$value], $json, concat!(r#"{"type":"array","items":["null","#, $items, "]}"))
        }
    };
}

const fn text(sql_type: &'static str, values: &'static [&'static str]) -> Case {
    same(sql_type, values, TEXT, STRING)
}

const fn interval(values: &'static [&'static str]) -> Case {
    const SCHEMA: &str = r#"{"type":"fixed","size":16,"name":"com.afterbay.sink.interval"}"#;
    let told = "to_jsonb(encode(interval_send($), 'hex'))";
    Case { avro: told, read: Read::Interval, ..same("interval", values, TEXT, SCHEMA) }
}

/// Every type of the reference's tables that this database's Postgres has, and those that travel as text.
pub async fn cases(database: &Database) -> Vec<&'static Case> {
    let version = database.number("SELECT current_setting('server_version_num')::bigint").await;
    let since = |least: i64, cases: &'static [Case]| if version >= least { cases } else { &[] };
    CASES.iter().chain(since(140_000, SINCE_14)).chain(since(150_000, SINCE_15)).collect()
}

/// Older versions do not read these values. An Avro type is defined where it comes first, and then named.
const SINCE_15: &[Case] = &[Case {
    schema: r#""com.afterbay.sink.interval""#,
    ..interval(&["2562047788:00:54.775807", "-9223372036854775808 microseconds"])
}];
const SINCE_14: &[Case] = &[text("nummultirange", &["{[1.50,2],(3,)}"]), text("numeric", &["Infinity", "-Infinity"])];

const CASES: &[Case] = &[
    same("boolean", &["t", "f"], VALUE, r#""boolean""#),
    same("smallint", &["0", "32767", "-32768"], VALUE, r#""int""#),
    same("integer", &["0", "2147483647", "-2147483648"], VALUE, r#""int""#),
    same("bigint", &["0", "9223372036854775807", "-9223372036854775808"], VALUE, r#""long""#),
    Case {
        avro: "to_jsonb(encode(oidsend($), 'hex'))",
        ..same("oid", &["0", "3", "4294967295"], TEXT, r#"{"type":"fixed","size":4,"name":"com.afterbay.sink.uint4"}"#)
    },
    Case {
        avro: FLOAT,
        read: Read::Float,
        ..same("real", &["1.1", "-3.4028235e38", "1e-45", "-0", "NaN", "Infinity", "-Infinity"], TEXT, r#""float""#)
    },
    Case {
        avro: FLOAT,
        read: Read::Float,
        ..same(
            "double precision",
            &["0.1", "1.7976931348623157e308", "5e-324", "-0", "NaN", "Infinity", "-Infinity"],
            TEXT,
            r#""double""#,
        )
    },
    text(
        "numeric",
        &[
            "0",
            "123.4500",
            "-0.000001",
            "1e60",
            "12345678901234567890123456789012345678901234567890.5",
            "1e20000",
            "-1e-16383",
            "NaN",
        ],
    ),
    Case {
        avro: DECIMAL,
        read: Read::Decimal,
        ..same(
            "numeric(12,2)",
            &["0", "1.27", "1.28", "-1.28", "-1.29", "9999999999.99", "-9999999999.99"],
            TEXT,
            r#"{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}"#,
        )
    },
    Case {
        avro: DECIMAL,
        read: Read::Decimal,
        ..same(
            "numeric(38,0)",
            &["99999999999999999999999999999999999999", "-99999999999999999999999999999999999999", "255"],
            TEXT,
            r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":0}"#,
        )
    },
    text("text", &["", "plain", "ä€😀", "line\n\"quote\" \\ \t \u{1}", "NULL", "\\N", "{}"]),
    text("varchar(10)", &["", "ten chars!"]),
    same("char(5)", &["ab", "", "abcde"], "to_jsonb(rpad($::text, 5))", STRING),
    text("name", &["some_name"]),
    text("\"char\"", &["x"]),
    Case {
        avro: "to_jsonb(encode($, 'hex'))",
        ..same("bytea", &["\\x", "\\x00ff", "\\xdeadbeef"], TEXT, r#""bytes""#)
    },
    Case {
        avro: "to_jsonb(CASE WHEN $ = 'infinity' THEN 2147483647 WHEN $ = '-infinity' THEN -2147483648 \
               ELSE $ - date '1970-01-01' END)",
        ..same(
            "date",
            &["1970-01-01", "1969-12-31", "2024-02-29", "4714-11-24 BC", "5874897-12-31", "infinity", "-infinity"],
            TEXT,
            r#"{"type":"int","logicalType":"date"}"#,
        )
    },
    Case {
        avro: "to_jsonb(trunc(seconds($) * 1000000))",
        ..same(
            "time",
            &["00:00", "24:00", "12:34:56.789012", "23:59:59.999999"],
            TEXT,
            r#"{"type":"long","logicalType":"time-micros"}"#,
        )
    },
    text("timetz", &["12:34:56.789012+05:30", "24:00:00-14"]),
    Case { avro: MICROS, ..same("timestamp", TIMESTAMPS, JSON_TIMESTAMP, MICROS_TYPE) },
    Case { avro: MICROS, ..same("timestamp(6)", TIMESTAMPS, JSON_TIMESTAMP, MICROS_TYPE) },
    Case { avro: MILLIS, ..same("timestamp(3)", ROUND_TIMESTAMPS, JSON_TIMESTAMP, MILLIS_TYPE) },
    Case { avro: MILLIS, ..same("timestamp(0)", ROUND_TIMESTAMPS, JSON_TIMESTAMP, MILLIS_TYPE) },
    Case { avro: MICROS, ..same("timestamptz", TIMESTAMPS, JSON_TIMESTAMP, MICROS_TYPE) },
    Case { avro: MILLIS, ..same("timestamptz(3)", ROUND_TIMESTAMPS, JSON_TIMESTAMP, MILLIS_TYPE) },
    interval(&[
        "1 month 1 day 1 microsecond",
        "-1 year -2 mons +3 days -04:05:06.789",
        "0",
        "178956970 years 7 mons 2147483647 days",
        "-178956970 years -8 mons",
        "25:00:00.000001",
    ]),
    same(
        "uuid",
        &["00000000-0000-0000-0000-000000000000", "6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b"],
        TEXT,
        r#"{"type":"string","logicalType":"uuid"}"#,
    ),
    same("json", &["{\"a\":  [1, 2], \"a\": null}", "null", "\"ä\""], TEXT, STRING),
    same("jsonb", &["{\"a\": [1, 2.50, null], \"ä\": \"\\\"\"}", "null", "17"], TEXT, JSON_TYPE),
    Case {
        avro: FLAT,
        ..same(
            "int[]",
            &["{}", "{1,NULL,3}", "{{1,2},{3,NULL}}", "[0:2]={7,8,9}"],
            VALUE,
            r#"{"type":"array","items":["null","int"]}"#,
        )
    },
    Case {
        avro: FLAT,
        ..same("text[]", &["{}", r#"{"a,b","\"q\"","\\","","NULL",NULL,"{x}"," "}"#, "{{ä,b},{c,d}}"], VALUE, STRINGS)
    },
    Case { avro: FLAT, ..same("boolean[]", &["{t,f,NULL}"], VALUE, r#"{"type":"array","items":["null","boolean"]}"#) },
    Case {
        avro: "(SELECT jsonb_agg(to_jsonb(trim_scale(e * 100)::text) ORDER BY o) FROM unnest($) WITH ORDINALITY u(e, o))",
        read: Read::Decimal,
        ..same(
            "numeric(5,2)[]",
            &["{1.50,-2,NULL}"],
            TEXTS,
            r#"{"type":"array","items":["null",{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}]}"#,
        )
    },
    Case {
        avro: "(SELECT jsonb_agg(encode(e, 'hex') ORDER BY o) FROM unnest($) WITH ORDINALITY u(e, o))",
        ..same("bytea[]", &[r#"{"\\x00","\\x",NULL}"#], TEXTS, r#"{"type":"array","items":["null","bytes"]}"#)
    },
    Case {
        json: JSON_TIMESTAMPS,
        avro: "(SELECT jsonb_agg(trunc(seconds(e) * 1000000) ORDER BY o) FROM unnest($) \
               WITH ORDINALITY u(e, o))",
        ..same(
            "timestamptz[]",
            &["{\"2024-01-02 03:04:05.000006+07\",NULL}"],
            "",
            r#"{"type":"array","items":["null",{"type":"long","logicalType":"timestamp-micros"}]}"#,
        )
    },
    Case { avro: FLAT_TEXTS, ..same("mood[]", &["{sad,\"so \\\"so\\\"\",NULL}"], TEXTS, STRINGS) },
    Case { avro: FLAT_TEXTS, ..same("box[]", &["{(1,1),(0,0);(3,3),(2,2)}"], TEXTS, STRINGS) },
    array!("smallint[]", "{32767,-32768,NULL}", VALUE, "to_jsonb(e)", r#""int""#),
    array!("bigint[]", "{9223372036854775807,-9223372036854775808,NULL}", VALUE, "to_jsonb(e)", r#""long""#),
    array!(
        "oid[]",
        "{0,4294967295,NULL}",
        TEXTS,
        "to_jsonb(encode(oidsend(e), 'hex'))",
        r#""com.afterbay.sink.uint4""#,
    ),
    Case {
        read: Read::Float,
        ..array!("real[]", "{1.1,-0,NaN,-Infinity,NULL}", TEXTS, "to_jsonb(e::float8::text)", r#""float""#)
    },
    Case {
        read: Read::Float,
        ..array!("double precision[]", "{0.1,5e-324,NaN,Infinity,NULL}", TEXTS, "to_jsonb(e::text)", r#""double""#)
    },
    array!(
        "date[]",
        "{1969-12-31,4714-11-24 BC,NULL}",
        TEXTS,
        "to_jsonb(e - date '1970-01-01')",
        r#"{"type":"int","logicalType":"date"}"#,
    ),
    array!(
        "time[]",
        "{24:00,12:34:56.789012,NULL}",
        TEXTS,
        "to_jsonb(trunc(seconds(e) * 1000000))",
        r#"{"type":"long","logicalType":"time-micros"}"#,
    ),
    array!(
        "timestamp[]",
        "{1969-12-31 23:59:59.999999,4714-11-24 BC,NULL}",
        JSON_TIMESTAMPS,
        "to_jsonb(trunc(seconds(e) * 1000000))",
        r#"{"type":"long","logicalType":"timestamp-micros"}"#,
    ),
    array!(
        "timestamp(3)[]",
        "{1969-12-31 23:59:59.999,2024-01-02 03:04:05,NULL}",
        JSON_TIMESTAMPS,
        "to_jsonb(trunc(seconds(e) * 1000))",
        r#"{"type":"long","logicalType":"timestamp-millis"}"#,
    ),
    Case {
        read: Read::Interval,
        ..array!(
            "interval[]",
            "{1 mon -2 days 00:00:00.000003,0,NULL}",
            TEXTS,
            "to_jsonb(encode(interval_send(e), 'hex'))",
            r#""com.afterbay.sink.interval""#,
        )
    },
    array!(
        "uuid[]",
        "{6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b,NULL}",
        TEXTS,
        "to_jsonb(e::text)",
        r#"{"type":"string","logicalType":"uuid"}"#,
    ),
    array!(
        "jsonb[]",
        r#"{"{\"a\": [1, \"\\\"\"]}","null",NULL}"#,
        TEXTS,
        "to_jsonb(e::text)",
        r#"{"type":"string","connect.name":"io.debezium.data.Json"}"#
    ),
    array!(
        "hstore[]",
        r#"{"\"a\"=>\"1,\", \"b\"=>NULL","",NULL}"#,
        TEXTS,
        "hstore_to_jsonb(e)",
        r#"{"type":"map","values":["null","string"]}"#,
    ),
    array!("varchar(10)[]", r#"{"ten chars!","",NULL}"#, VALUE, "to_jsonb(e)", r#""string""#),
    array!("inet[]", "{10.0.0.1,10.0.0.1/24,::1,NULL}", TEXTS, "to_jsonb(e::text)", r#""string""#),
    array!("int4range[]", r#"{"[1,5)",empty,NULL}"#, TEXTS, "to_jsonb(e::text)", r#""string""#),
    array!("money[]", "{\"$1,234.56\",-0.01,NULL}", TEXTS, "to_jsonb(e::text)", r#""string""#),
    array!("positive[]", "{1,2147483647,NULL}", VALUE, "to_jsonb(e)", r#""int""#),
    Case {
        json: THING_JSON,
        avro: THING_AVRO,
        ..same(
            "thing",
            &[
                r#"(1,"a ""quoted"", one","(9223372036854775807,""2024-01-02 03:04:05.678"")","{1,NULL}")"#,
                "(,,,)",
                r#"(-1,"","(,)",{})"#,
            ],
            "",
            THING_TYPE,
        )
    },
    Case {
        json: PAIRS,
        avro: PAIRS,
        ..same("pair[]", &[r#"{"(1,)","(,)"}"#], "", r#"{"type":"array","items":["null","com.afterbay.sink.record1"]}"#)
    },
    Case {
        json: MIXED_JSON,
        avro: MIXED_AVRO,
        ..same("mixed", &[r#"(t,1.50,"\\x00ff",sad)"#, r#"(f,-1.28,"\\x","so ""so""")"#, "(,,,)"], "", MIXED_TYPE)
    },
    same("positive", &["1", "2147483647"], VALUE, r#""int""#),
    Case {
        avro: DECIMAL,
        read: Read::Decimal,
        ..same(
            "price",
            &["-1.5", "999.999"],
            TEXT,
            r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":3}"#,
        )
    },
    Case {
        avro: "(SELECT jsonb_agg(to_jsonb(trim_scale(e * 1000)::text) ORDER BY o) FROM unnest($) WITH ORDINALITY u(e, o))",
        read: Read::Decimal,
        ..same(
            "price_list",
            &["{1.5,NULL,-0.001}"],
            TEXTS,
            r#"{"type":"array","items":["null",{"type":"bytes","logicalType":"decimal","precision":6,"scale":3}]}"#,
        )
    },
    text("mood", &["sad", "so \"so\"", "glücklich"]),
    text("int4range", &["[1,5)", "empty", "(,)"]),
    text("int8range", &["[-9223372036854775808,9223372036854775807)"]),
    text("numrange", &["(1.50,]", "[-1e30,1e-30]"]),
    text("daterange", &["[2024-01-01,2024-02-29]", "[4714-11-24 BC,infinity]"]),
    text("tsrange", &["[2024-01-01 00:00,2024-01-02 00:00:00.5]", "(-infinity,)"]),
    text("tstzrange", &["[2024-01-01 00:00:00+02,infinity)"]),
    Case {
        avro: "hstore_to_jsonb($)",
        ..same(
            "hstore",
            &["", "\"a\"=>\"1\", \"b\"=>NULL", r#""q\"k"=>"v\\ ,=>", "ä"=>"NULL""#],
            TEXT,
            r#"{"type":"map","values":["null","string"]}"#,
        )
    },
    text("inet", &["10.0.0.1", "10.0.0.1/24", "::1", "2001:db8::/32"]),
    text("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
    text("macaddr", &["08:00:2b:01:02:03"]),
    text("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    text("money", &["1234.56", "-0.01", "92233720368547758.07", "-92233720368547758.08"]),
    text("xml", &["<a b=\"c\">ä</a>"]),
    text("bit(5)", &["10101"]),
    text("varbit", &["", "1"]),
    text("tsvector", &["'fat':2 'rat':3"]),
    text("pg_lsn", &["16/B374D848"]),
    text("point", &["(1.5,-2)", "(NaN,1e300)"]),
    text("line", &["{1,-2.5,3}"]),
    text("lseg", &["[(1,2),(3,4)]"]),
    text("box", &["(3,4),(1,2)"]),
    text("path", &["[(1,2),(3,4)]", "((1,2),(3,4))"]),
    text("polygon", &["((0,0),(1,0),(0,1))"]),
    text("circle", &["<(1,2),3.5>"]),
];
