//! YAML as kubectl reads it.

use serde_json::{Map, Value};

use super::split::chunks;
use super::yaml_1_1::in_words_of_1_2;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// What is wrong, with line and column where they are known.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

/// The documents of a text by their number, from 1; empty ones are left out, but counted.
pub fn documents(text: &str) -> Vec<(usize, Result<Value, YamlError>)> {
    let documents = chunks(text).into_iter().map(|chunk| {
        // With as many lines in front as stand before it in the file, so that errors tell its lines.
        let padded = "\n".repeat(chunk.line) + chunk.text;
        (chunk.document, document(&padded))
    });
    documents.filter(|(_, document)| *document != Ok(Value::Null)).collect()
}

fn document(text: &str) -> Result<Value, YamlError> {
    // YAML takes it for a line end, but nothing else that looks at lines does: not what tells documents apart.
    if let Some(line) = text.split('\n').position(|line| line.strip_suffix('\r').unwrap_or(line).contains('\r')) {
        let what = format!("line {} ends with a carriage return alone", line + 1);
        return Err(YamlError { what, remedy: "save the file with the line ends of Unix (LF) or Windows (CRLF)" });
    }
    let (rewritten, scanned) = in_words_of_1_2(text);
    let parsed = serde_yaml::from_str::<serde_yaml::Value>(&rewritten).and_then(|mut value| {
        value.apply_merge()?;
        Ok(value)
    });
    match parsed {
        // Behind the place where the search ended plain words are as they were: better no document than another one.
        Ok(value) => match scanned {
            Some(what) => Err(YamlError { what, remedy: "write it more plainly" }),
            None => to_json(value).map_err(|what| YamlError { what, remedy: "leave it out" }),
        },
        Err(error) => {
            let line = error.location().and_then(|location| text.lines().nth(location.line().saturating_sub(1)));
            let indent = line.unwrap_or_default().chars().take_while(|c| c.is_whitespace());
            if let Some(line) = second_json(text) {
                let what = format!("another JSON document begins at line {line}");
                return Err(YamlError { what, remedy: "write a line with --- between one document and the next" });
            }
            let remedy = if error.to_string().contains("duplicate") {
                "leave one of the two out"
            } else if indent.into_iter().any(|c| c == '\t') {
                "indent with spaces: YAML takes no tabs there"
            } else {
                "correct the text there; often it is the indentation, a missing quote or a missing space after a colon"
            };
            Err(YamlError { what: error.to_string(), remedy })
        }
    }
}

/// The line where a second JSON document begins, as in files with one on each line, which YAML does not take.
fn second_json(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let (before, rest) = text.split_at(values.byte_offset());
    let space = rest.len() - rest.trim_start().len();
    rest.trim_start().starts_with(['{', '[']).then(|| 1 + (before.to_owned() + &rest[..space]).matches('\n').count())
}

fn to_json(value: serde_yaml::Value) -> Result<Value, String> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (_, Some(number), _) => number.into(),
            // kubectl hands it on as JSON, where a float without a fraction has no point: 1e3 is the integer 1000.
            (_, _, Some(float)) if float.fract() == 0.0 && float.abs() < 1e18 => (float as i64).into(),
            (_, _, Some(float)) => serde_json::Number::from_f64(float)
                .map(Value::Number)
                .ok_or_else(|| format!("the number {number} has no place in a manifest"))?,
            _ => return Err(format!("{number} is not a number")),
        },
        serde_yaml::Value::String(text) => Value::String(text),
        serde_yaml::Value::Sequence(items) => Value::Array(items.into_iter().map(to_json).collect::<Result<_, _>>()?),
        serde_yaml::Value::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                object.insert(to_key(key)?, to_json(value)?);
            }
            Value::Object(object)
        }
        serde_yaml::Value::Tagged(tagged) => return Err(format!("the tag {} has no place in a manifest", tagged.tag)),
    })
}

fn to_key(key: serde_yaml::Value) -> Result<String, String> {
    match key {
        serde_yaml::Value::String(key) => Ok(key),
        serde_yaml::Value::Bool(key) => Ok(key.to_string()),
        number @ serde_yaml::Value::Number(_) => to_json(number).map(|number| number.to_string()),
        _ => Err("a key that is no word has no place in a manifest".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: &Value) {
        let found: Vec<_> = documents(text).into_iter().map(|(_, document)| document).collect();
        assert_eq!(found, [Ok(expected.clone())], "{text}");
    }

    fn check_error(text: &str, document: usize, what: &str, remedy: &str) {
        let found: Vec<_> =
            documents(text).into_iter().filter_map(|(number, found)| Some((number, found.err()?))).collect();
        let [(number, error)] = &found[..] else { panic!("{text}: {found:?}") };
        assert_eq!(*number, document, "{text}");
        assert!(error.what.contains(what), "{text}: {error:?}");
        assert!(error.remedy.contains(remedy), "{text}: {error:?}");
    }

    #[test]
    fn plain_words_of_1_1_are_booleans_and_quoted_ones_are_not() {
        check(
            "a: yes\nb: 'yes'\nc: \"on\"\nd: off\ne: N\n",
            &json!({"a": true, "b": "yes", "c": "on", "d": false, "e": false}),
        );
        check("{a: on, b: [no, 'no', nothing]}", &json!({"a": true, "b": [false, "no", "nothing"]}));
        check("n: 1", &json!({"false": 1}));
        check("a: |\n  yes\nb: >-\n  no", &json!({"a": "yes\n", "b": "no"}));
        check("grün: yes # no\n", &json!({"grün": true}));
        check("a: !!str yes", &json!({"a": "yes"}));
        check("on: &x on\nb: *x\n", &json!({"true": true, "b": true}));
        check("a: yes\r\nb: no\r\n", &json!({"a": true, "b": false}));
    }

    #[test]
    fn numbers_of_1_1_are_numbers() {
        check("[010, 1_000, -0_17, 0, 0x1F, '010', 09, 1.50, +7]", &json!([8, 1000, -15, 0, 31, "010", 9, 1.5, 7]));
        check("[0o7, -0O17, 0b101, -0b1_1, 0x_ff, 1e3, 2.0, 0_8.5]", &json!([7, -15, 5, -3, 255, 1000, 2, 8.5]));
        check(
            "[0o8, 0b2, 0xg, 0x, 1e, ., ._5, _1, -a]",
            &json!(["0o8", "0b2", "0xg", "0x", "1e", ".", "._5", "_1", "-a"]),
        );
        check("[18446744073709551615, 18446744073709551616]", &json!([u64::MAX, 18_446_744_073_709_551_616.0]));
        check("[-9223372036854775808, -9223372036854775809]", &json!([i64::MIN, -9_223_372_036_854_775_809.0]));
        check("09: 1_0\n'09': '1_0'\n", &json!({"9": 10, "09": "1_0"}));
        check("[2020-01-01, 12:30, 1__a, null, ~]", &json!(["2020-01-01", "12:30", "1__a", null, null]));
    }

    #[test]
    fn anchors_and_merges_are_followed() {
        check("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", &json!({"a": {"x": 1, "true": 2}, "b": {"x": 1, "true": 3}}));
    }

    #[test]
    fn a_key_twice_is_refused() {
        check_error("a: 1\nb: {x: 1, x: 2}\n", 1, "duplicate entry with key \"x\"", "leave one of the two out");
        check_error("a: 1\n---\nyes: 1\non: 2\n", 2, "duplicate", "leave one of the two out");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line_and_does_not_hide_the_rest() {
        let text = "a: 1\n---\nb: [1, 2\nc: 3\n---\nd: 4\n";
        check_error(text, 2, "line 4", "correct the text there");
        let read: Vec<_> =
            documents(text).into_iter().filter_map(|(number, found)| Some((number, found.ok()?))).collect();
        assert_eq!(read, [(1, json!({"a": 1})), (3, json!({"d": 4}))]);
        check_error("a:\n\tb: 1\n", 1, "line 2", "tabs");
        check_error("a: b: c", 1, "line 1 column", "colon");
        check_error("a: !custom 1", 1, "!custom", "leave it out");
        check_error("{\"a\": 1}\n{\"b\": 2}\n", 1, "another JSON document begins at line 2", "---");
        check_error("a: 1\n---\nb: yes\rc: no\r", 2, "line 3 ends with a carriage return alone", "LF");
        check_error("a: .nan", 1, ".nan", "leave it out");
    }

    /// Any JSON whose numbers are integers.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[yno0_ :#'\"\\\\a-c\n\t-]{0,8}|yes|no|on|off|010|1_000".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ynoa-c:# -]{1,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_is_read_as_what_it_is(value in any_json()) {
            check(&value.to_string(), &value);
            check(&serde_json::to_string_pretty(&value).expect("it is JSON"), &value);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[ab:\\-\\[\\]{}\"'#&*!|>%@` \n\t,?yno0_.~ü]{0,60}") {
            documents(&text);
        }
    }
}
