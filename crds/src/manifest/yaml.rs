//! YAML as kubectl reads it.
//!
//! kubectl's YAML is 1.1: a plain `yes`, `no`, `on`, `off`, `y` or `n` is a boolean, also as a key. serde_yaml reads 1.2,
//! where these are strings, and does not tell a plain scalar from a quoted one. So the plain ones are found by the events
//! of a parser that does, and replaced in the text by the word that both versions agree on.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Deserialize as _;
use serde_json::{Map, Value};

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Which document of the text, from 1.
    pub document: usize,
    /// What is wrong, with line and column where they are known.
    pub what: String,
}

/// The documents of a text; empty ones are left out, but counted.
pub fn documents(text: &str) -> (Vec<(usize, Value)>, Vec<YamlError>) {
    let text = with_booleans_of_1_1(text);
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for (index, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
        let number = index + 1;
        match serde_yaml::Value::deserialize(document) {
            Ok(serde_yaml::Value::Null) => {}
            Ok(value) => match to_json(value) {
                Ok(value) => found.push((number, value)),
                Err(what) => errors.push(YamlError { document: number, what }),
            },
            Err(error) => {
                // What follows a document that cannot be parsed cannot be told from it.
                errors.push(YamlError { document: number, what: error.to_string() });
                break;
            }
        }
    }
    (found, errors)
}

/// The word that a plain scalar of YAML 1.1 stands for.
fn boolean(word: &str) -> Option<&'static str> {
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some("true"),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some("false"),
        _ => None,
    }
}

fn with_booleans_of_1_1(text: &str) -> String {
    let mut lines: Vec<Vec<char>> = text.split('\n').map(|line| line.chars().collect()).collect();
    let mut found = Vec::new();
    for event in Parser::new_from_str(text) {
        // What cannot be parsed is told by who reads the result.
        let Ok((event, span)) = event else { break };
        if let Event::Scalar(word, ScalarStyle::Plain, _, None) = event
            && let Some(replacement) = boolean(&word)
        {
            found.push((span.start.line(), span.start.col(), word.chars().count(), replacement));
        }
    }
    // From the end, so that what stands before keeps its place.
    for (line, column, length, replacement) in found.into_iter().rev() {
        if let Some(line) = line.checked_sub(1).and_then(|line| lines.get_mut(line))
            && column + length <= line.len()
        {
            line.splice(column..column + length, replacement.chars());
        }
    }
    lines.into_iter().map(String::from_iter).collect::<Vec<_>>().join("\n")
}

fn to_json(value: serde_yaml::Value) -> Result<Value, String> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(value),
        serde_yaml::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (_, Some(number), _) => number.into(),
            (_, _, Some(number)) => serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| format!("{number} has no place in a manifest"))?,
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
        serde_yaml::Value::Number(key) => Ok(key.to_string()),
        _ => Err("a key must be a word".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: &Value) {
        let (found, errors) = documents(text);
        assert_eq!(errors, []);
        assert_eq!(found.first().map(|(_, value)| value), Some(expected), "{text}");
    }

    #[test]
    fn plain_words_of_1_1_are_booleans_and_quoted_ones_are_not() {
        check(
            "a: yes\nb: 'yes'\nc: \"on\"\nd: off\ne: N\n",
            &json!({"a": true, "b": "yes", "c": "on", "d": false, "e": false}),
        );
        check("{a: on, b: [no, 'no', nothing]}", &json!({"a": true, "b": [false, "no", "nothing"]}));
        check("n: 1", &json!({"false": 1}));
        check("a: |\n  yes\n", &json!({"a": "yes\n"}));
        check("grün: yes # no\n", &json!({"grün": true}));
    }

    #[test]
    fn documents_are_counted_and_empty_ones_left_out() {
        let (found, errors) = documents("---\n---\na: 1\n---\n# nothing\n---\nb: 2\n");
        assert_eq!(errors, []);
        assert_eq!(found, [(2, json!({"a": 1})), (4, json!({"b": 2}))]);
    }

    #[test]
    fn a_key_twice_is_refused() {
        let (_, errors) = documents("a: 1\na: 2\n");
        assert!(errors[0].what.contains("duplicate"), "{errors:?}");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let (_, errors) = documents("a: 1\nb: [1, 2\nc: 3\n");
        assert_eq!(errors[0].document, 1);
        assert!(errors[0].what.contains("line"), "{errors:?}");
    }
}
