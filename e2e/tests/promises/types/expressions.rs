//! How SQL tells what a message must hold of a column, and the Avro types that several cases share.
//!
//! `$` is the column.

/// As jsonb has it.
pub const VALUE: &str = "to_jsonb($)";
/// As text.
pub const TEXT: &str = "to_jsonb($::text)";
/// An array of texts, nested as the array is.
pub const TEXTS: &str = "to_jsonb($::text[])";
/// Every element of an array, in row-major order.
pub const FLAT: &str =
    "(SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY o), '[]') FROM unnest($) WITH ORDINALITY u(e, o))";
/// The same, as texts.
pub const FLAT_TEXTS: &str =
    "(SELECT coalesce(jsonb_agg(to_jsonb(e::text) ORDER BY o), '[]') FROM unnest($) WITH ORDINALITY u(e, o))";
/// A float in all its digits.
pub const FLOAT: &str = "to_jsonb($::float8::text)";
/// A decimal without its point.
pub const DECIMAL: &str = "to_jsonb(trim_scale($ * 10 ^ scale($)::numeric)::text)";
/// Milliseconds with three digits of microseconds, or a word.
pub const JSON_TIMESTAMP: &str =
    "to_jsonb(CASE WHEN isfinite($) THEN round(seconds($) * 1000, 3)::text ELSE $::text END)";
/// An array of those.
pub const JSON_TIMESTAMPS: &str =
    "(SELECT jsonb_agg(round(seconds(e) * 1000, 3)::text ORDER BY o) FROM unnest($) WITH ORDINALITY u(e, o))";
/// Milliseconds since 1970; infinities are the ends of a long.
pub const MILLIS: &str = "to_jsonb(CASE WHEN $ = 'infinity' THEN 9223372036854775807 \
                      WHEN $ = '-infinity' THEN -9223372036854775808 ELSE trunc(seconds($) * 1000) END)";
/// The same in microseconds.
pub const MICROS: &str = "to_jsonb(CASE WHEN $ = 'infinity' THEN 9223372036854775807 \
                      WHEN $ = '-infinity' THEN -9223372036854775808 ELSE trunc(seconds($) * 1000000) END)";
pub const MILLIS_TYPE: &str = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
pub const MICROS_TYPE: &str = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
pub const JSON_TYPE: &str = r#"{"type":"string","connect.name":"io.debezium.data.Json"}"#;
pub const STRING: &str = r#""string""#;
pub const STRINGS: &str = r#"{"type":"array","items":["null","string"]}"#;
pub const THING_JSON: &str = "jsonb_build_object('x', ($).x, 'la bel', ($).\"la bel\", 'pair', CASE WHEN ($).pair IS NOT DISTINCT FROM NULL \
     THEN NULL ELSE jsonb_build_object('a', (($).pair).a, 'at', to_jsonb(round(seconds((($).pair).at) * 1000, \
     3)::text)) END, 'list', to_jsonb(($).list))";
pub const THING_AVRO: &str = "jsonb_build_object('x', ($).x, 'la_bel', ($).\"la bel\", 'pair', CASE WHEN ($).pair IS NOT DISTINCT FROM NULL \
     THEN NULL ELSE jsonb_build_object('a', (($).pair).a, 'at', trunc(seconds((($).pair).at) * 1000000)) END, \
     'list', to_jsonb(($).list))";
pub const THING_TYPE: &str = r#"{"type":"record","name":"com.afterbay.sink.record0","fields":[
    {"name":"x","type":["null","int"]},
    {"name":"la_bel","type":["null","string"]},
    {"name":"pair","type":["null",{"type":"record","name":"com.afterbay.sink.record1","fields":[
        {"name":"a","type":["null","long"]},
        {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}]}]},
    {"name":"list","type":["null",{"type":"array","items":["null","int"]}]}]}"#;

pub const MIXED_JSON: &str = "jsonb_build_object('flag', ($).flag, 'amount', ($).amount::text, 'raw', ($).raw::text, \
     'mood', ($).mood)";
/// The decimal in the fewest bytes that hold it: one or two, for the values here.
pub const MIXED_AVRO: &str = "jsonb_build_object('flag', ($).flag, 'amount', CASE WHEN abs(($).amount) < 1.28 OR ($).amount = -1.28 \
     THEN right(encode(int2send((($).amount * 100)::int2), 'hex'), 2) ELSE encode(int2send((($).amount * 100)::int2), \
     'hex') END, 'raw', encode(($).raw, 'hex'), 'mood', ($).mood)";
pub const MIXED_TYPE: &str = r#"{"type":"record","name":"com.afterbay.sink.record2","fields":[
    {"name":"flag","type":["null","boolean"]},
    {"name":"amount","type":["null",{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}]},
    {"name":"raw","type":["null","bytes"]},
    {"name":"mood","type":["null","string"]}]}"#;

/// An array of `pair`.
pub const PAIRS: &str =
    "(SELECT jsonb_agg(jsonb_build_object('a', a, 'at', at) ORDER BY o) FROM unnest($) WITH ORDINALITY u(a, at, o))";
