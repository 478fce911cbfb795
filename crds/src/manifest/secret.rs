//! The data of Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretSlice;
use serde_json::{Map, Value};

use super::{ManifestError, Place, SecretData};

/// The entries of a Secret; `stringData` wins over `data`, as it does at the API server. No error repeats a value.
pub(super) fn data(place: &Place, document: &Map<String, Value>, errors: &mut Vec<ManifestError>) -> SecretData {
    let mut data = SecretData::new();
    for (section, encoded) in [("data", true), ("stringData", false)] {
        let entries = match document.get(section) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                errors.push(place.error(section, "expected an object with fields", "write key: value below it"));
                continue;
            }
        };
        for (key, value) in entries {
            let field = format!("{section}.{key}");
            if !is_key(key) {
                let remedy = "use up to 253 letters, digits, dots, underscores and dashes";
                errors.push(place.error(&field, "this cannot be a key of a Secret", remedy));
            }
            let Some(text) = value.as_str() else {
                let remedy = "put it in quotes: plain numbers, true, false, yes, no, on and off are no strings";
                errors.push(place.error(field, "expected a string", remedy));
                continue;
            };
            if !encoded {
                data.insert(key.clone(), SecretSlice::from(text.as_bytes().to_vec()));
                continue;
            }
            // Long values are often wrapped.
            let packed: String = text.split_whitespace().collect();
            if let Ok(bytes) = STANDARD.decode(packed) {
                data.insert(key.clone(), SecretSlice::from(bytes));
            } else {
                let remedy = "encode the value, or write it as it is under stringData";
                errors.push(place.error(field, "it is not base64", remedy));
            }
        }
    }
    data
}

fn is_key(key: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !key.is_empty() && key.len() <= 253 && key.chars().all(fits)
}
