#!/usr/bin/env python3
"""Writes golden.jsonl: values as Postgres prints them, and the bytes and the JSON that they must become.

Nothing here is ours: Postgres gives the text form and, by another way than its text, the value; fastavro writes the Avro.
Run it with psycopg2 and fastavro against a scratch server whose role may create types (connection by libpq's PG* variables):

    python3 generate.py > golden.jsonl
"""
import base64
import decimal
import io
import json
import struct

import fastavro
import psycopg2

SESSION = ("SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = UTC; SET bytea_output = hex;"
           "SET extra_float_digits = 3; SET lc_monetary = 'C'; CREATE EXTENSION IF NOT EXISTS hstore;"
           "DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('sad', 'so \"so\"');"
           "DROP TYPE IF EXISTS item, part;"
           "CREATE TYPE part AS (n int, t text); CREATE TYPE item AS (id bigint, \"a b\" text, parts part[], ts timestamptz(3))")
PART = {"type": "record", "name": "part", "fields": [
    {"name": "n", "type": ["null", "int"]}, {"name": "t", "type": ["null", "string"]}]}
ITEM = {"type": "record", "name": "item", "fields": [
    {"name": "id", "type": ["null", "long"]}, {"name": "a_b", "type": ["null", "string"]},
    {"name": "parts", "type": ["null", {"type": "array", "items": ["null", PART]}]},
    {"name": "ts", "type": ["null", "long"]}]}
TEXT = "to_json({x}::text)"
# By day and time of day: an interval since 1970 would overflow for the last years.
MICROS = ("CASE WHEN isfinite({x}) THEN to_json(({x}::date - date '1970-01-01')::numeric * 86400000000"
          " + extract(epoch FROM {x}::time) * 1000000) ELSE to_json({x}::text) END")


def same(value):
    return value


def moment(unit):
    def convert(micros):
        if isinstance(micros, str):
            return 2**63 - 1 if micros == "infinity" else -2**63
        return int(decimal.Decimal(micros)) // unit
    return convert


def millis_text(micros):
    if isinstance(micros, str):
        return micros
    micros = int(micros)
    return f"{'-' if micros < 0 else ''}{abs(micros) // 1000}.{abs(micros) % 1000:03}"


def interval(hexadecimal):
    micros, days, months = struct.unpack(">qii", bytes.fromhex(hexadecimal))
    return struct.pack("<iiq", months, days, micros)


def item(value):
    return value and {"id": value["id"], "a_b": value["a b"], "parts": value["parts"],
                      "ts": value["ts"] and moment(1000)(value["ts"])}


def dec(scale):
    """Bytes made here: fastavro itself takes one more than -128 and its like need."""
    def convert(text):
        units = int(decimal.Decimal(text).scaleb(scale, decimal.Context(prec=100)))
        return units.to_bytes((units if units >= 0 else ~units).bit_length() // 8 + 1, "big", signed=True)
    return "bytes", TEXT, convert, TEXT, same


def array(items):
    return {"type": "array", "items": ["null", items]}


FLATTENED = "(SELECT coalesce(json_agg(e), '[]') FROM unnest({x}) e)"
FIXED16 = {"type": "fixed", "name": "interval", "size": 16}
FIXED4 = {"type": "fixed", "name": "uint4", "size": 4}
STRING = ("string", TEXT, same, TEXT, same)
# type: Avro schema, SQL of the value, its way into fastavro, SQL of the JSON, its way into JSON
TYPES = {
    "boolean": ("boolean", "to_json({x})", same, "to_json({x})", same),
    "smallint": ("int", "to_json({x})", same, "to_json({x})", same),
    "integer": ("int", "to_json({x})", same, "to_json({x})", same),
    "bigint": ("long", "to_json({x})", same, "to_json({x})", same),
    "oid": (FIXED4, "to_json({x}::bigint)", lambda n: struct.pack(">I", n), TEXT, same),
    "real": ("float", TEXT, float, TEXT, same),
    "double precision": ("double", TEXT, float, TEXT, same),
    "numeric": STRING,
    "numeric(12,2)": dec(2),
    "numeric(38,0)": dec(0),
    "numeric(60,30)": dec(30),
    "numeric(3,-2)": dec(0),
    "numeric(2,5)": dec(5),
    "text": STRING,
    "character varying(5)": STRING,
    # The cast to text would take the padding off.
    "character(5)": ("string", "to_json(concat({x}))", same, "to_json(concat({x}))", same),
    "bytea": ("bytes", "to_json(encode({x}, 'base64'))", base64.b64decode, TEXT, same),
    "date": ("int", "CASE WHEN isfinite({x}) THEN to_json({x} - '1970-01-01'::date) ELSE to_json({x}::text) END",
             lambda d: d if isinstance(d, int) else 2**31 - 1 if d == "infinity" else -2**31, TEXT, same),
    "time": ("long", "to_json((extract(epoch FROM {x}) * 1000000)::bigint)", same, TEXT, same),
    "timestamp": ("long", MICROS, moment(1), MICROS, millis_text),
    "timestamp(3)": ("long", MICROS, moment(1000), MICROS, millis_text),
    "timestamp(4)": ("long", MICROS, moment(1), MICROS, millis_text),
    "timestamptz": ("long", MICROS, moment(1), MICROS, millis_text),
    "timestamptz(0)": ("long", MICROS, moment(1000), MICROS, millis_text),
    "interval": (FIXED16, "to_json(encode(interval_send({x}), 'hex'))", interval, TEXT, same),
    "uuid": STRING,
    "json": STRING,
    "jsonb": STRING,
    "mood": STRING,
    "inet": STRING,
    "cidr": STRING,
    "macaddr": STRING,
    "int4range": STRING,
    "money": STRING,
    "timetz": STRING,
    "xml": STRING,
    "bit(3)": STRING,
    "point": STRING,
    "tsvector": STRING,
    "hstore": ({"type": "map", "values": ["null", "string"]}, "hstore_to_json({x})", same, TEXT, same),
    "integer[]": (array("int"), FLATTENED, same, "to_json({x})", same),
    "text[]": (array("string"), FLATTENED, same, "to_json({x})", same),
    "boolean[]": (array("boolean"), FLATTENED, same, "to_json({x})", same),
    "inet[]": (array("string"), "(SELECT json_agg(e::text) FROM unnest({x}) e)", same,
               "(SELECT json_agg(e::text) FROM unnest({x}) e)", same),
    "box[]": (array("string"), "(SELECT json_agg(e::text) FROM unnest({x}) e)", same,
              "(SELECT json_agg(e::text) FROM unnest({x}) e)", same),
    # unnest would make a row of NULLs of a NULL row.
    "part[]": (array(PART), "to_json({x})", same, "to_json({x})", same),
    "item": (ITEM, "json_build_object('id', ({x}).id, 'a b', ({x}).\"a b\", 'parts', ({x}).parts, 'ts', "
             "(extract(epoch FROM ({x}).ts) * 1000000)::bigint)", item,
             "json_build_object('id', ({x}).id, 'a b', ({x}).\"a b\", 'parts', ({x}).parts, 'ts', "
             "(extract(epoch FROM ({x}).ts) * 1000000)::bigint)",
             lambda v: v | {"ts": None if v["ts"] is None else millis_text(v["ts"])}),
}
VALUES = {
    "boolean": ["t", "f"],
    "smallint": ["0", "-32768", "32767"],
    "integer": ["0", "-1", "63", "64", "-2147483648", "2147483647"],
    "bigint": ["0", "-9223372036854775808", "9223372036854775807"],
    "oid": ["0", "3", "4294967295"],
    "real": ["0", "-0", "1.5", "3.4028235e38", "1e-45", "NaN", "Infinity", "-Infinity"],
    "double precision": ["0", "-0", "0.1", "1.7976931348623157e308", "5e-324", "NaN", "Infinity", "-Infinity"],
    "numeric": ["0", "0.00", "-123.4500", "1e-40", "1e60", "NaN", "Infinity", "-Infinity"],
    "numeric(12,2)": ["0", "0.01", "-0.01", "1.27", "1.28", "-1.28", "-1.29", "9999999999.99", "-9999999999.99"],
    "numeric(38,0)": ["9" * 38, "-" + "9" * 38, "170141183460469231731687303715884105"],
    "numeric(60,30)": ["0", "1", "-1", "-" + "9" * 30 + "." + "9" * 30, "0." + "0" * 29 + "1"],
    "numeric(3,-2)": ["0", "99900", "-12345"],
    "numeric(2,5)": ["0", "0.00099", "-0.00012"],
    "text": ["", "a", "grün 🐘", "a\"b\\c/\n\r\t\b\f\x01\x1f\x7f", "NULL", "null", "é" * 70],
    "character varying(5)": ["", "abc"],
    "character(5)": ["", "ab", "abcde"],
    "bytea": ["\\x", "\\x00", "\\xdeadbeef00ff"],
    "date": ["1970-01-01", "1969-12-31", "2024-02-29", "0044-03-15 BC", "4714-11-24 BC", "12345-01-01", "5874897-12-31",
             "infinity", "-infinity"],
    "time": ["00:00:00", "04:05:06.789", "23:59:59.999999", "24:00:00"],
    "timestamp": ["1970-01-01", "2011-11-11 11:11:11.12345", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:58.5",
                  "0044-03-15 01:02:03 BC", "4714-11-24 00:00:00 BC", "12345-01-01", "294247-01-10 04:00:54.775807",
                  "infinity", "-infinity"],
    "timestamp(3)": ["2011-11-11 11:11:11.123", "1969-12-31 23:59:59.999", "294276-12-31 23:59:59.999",
                     "infinity", "-infinity"],
    "timestamp(4)": ["2011-11-11 11:11:11.1234"],
    "timestamptz": ["2024-01-02 03:04:05.678+05:30", "1900-01-01 00:00:00-00:01:15", "0044-03-15 12:00:00+00 BC",
                    "infinity", "-infinity"],
    "timestamptz(0)": ["2024-01-02 03:04:05Z"],
    "interval": ["0", "1 month 1 day 1 microsecond", "1 year 2 mons -3 days 04:05:06.789", "-1 year -2 mons +3 days -04:05:06",
                 "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807",
                 "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807"],
    "uuid": ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "json": ['{"b": 1, "a": "x\\"y"}'],
    "jsonb": ['{"b": 1, "a": [null, 1.50, "x\\"y\\u00e9"]}', "null", '"\\n"'],
    "mood": ["sad", 'so "so"'],
    "inet": ["192.168.0.1", "192.168.0.0/24", "::1", "2001:db8::/32"],
    "cidr": ["10.0.0.0/8", "10.1.2.3/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "money": ["-1234.5"],
    "timetz": ["04:05:06.7+02", "24:00:00-08:30"],
    "xml": ["<a b=\"c\">d</a>"],
    "bit(3)": ["101"],
    "point": ["(1,-2.5)"],
    "tsvector": ["a fat 'c\"at'"],
    "hstore": ["", 'k=>v, k2=>NULL', '"a \\"b\\""=>"\\\\", ""=>"", n=>"NULL"'],
    "integer[]": ["{}", "{1,NULL,-3}", "[0:2]={1,2,3}", "{{1,2},{3,4}}", "[-1:0][5:6][1:1]={{{1},{2}},{{NULL},{4}}}"],
    "text[]": ["{}", '{"",NULL,"NULL","a \\"b\\"","\\\\","{x,y}",plain, " "}', '{{a,b},{c,"d,e"}}'],
    "boolean[]": ["{t,NULL,f}"],
    "inet[]": ["{10.0.0.1,10.0.0.0/8,::1}"],
    "box[]": ["{(1,1),(0,0);(3,3),(2,2)}"],
    "part[]": ['{"(1,x)","(,\\"a \\\\\\"\\\\\\"q\\\\\\"\\\\\\",\\")",NULL}'],
    "item": ["(,,,)", '(1,"x ""y"" \\\\ (z)","{""(1,a)"",""(,)"",NULL}","2024-01-02 03:04:05.678+00")', '(-1,"",{},)'],
}


def main():
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(SESSION)

    def ask(sql, value):
        cursor.execute(f"SELECT ({sql})::text", [value] * sql.count("%s"))
        return cursor.fetchone()[0]

    for sql_type, values in VALUES.items():
        schema, value_sql, to_avro, json_sql, to_json = TYPES[sql_type]
        parsed = fastavro.parse_schema(schema)
        for value in values:
            x = f"%s::{sql_type}"
            # What the output function writes, not the cast to text.
            cursor.execute(f"SELECT concat({x})", [value])
            text = cursor.fetchone()[0]
            fill = lambda sql: sql.replace("{x}", f"({x})")
            datum = to_avro(json.loads(ask(fill(value_sql), value), parse_float=decimal.Decimal))
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, datum)
            told = to_json(json.loads(ask(fill(json_sql), value), parse_float=decimal.Decimal))
            print(json.dumps({
                "type": sql_type, "text": text, "avro": out.getvalue().hex(),
                "json": json.dumps(told, ensure_ascii=False, separators=(",", ":")),
            }, ensure_ascii=False))


main()
