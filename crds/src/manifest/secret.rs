//! The data of Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretSlice;
use serde_json::{Map, Value};

use super::refused::Refused;
use super::{ManifestError, Place, SecretData, SecretValue};

/// The sections of a Secret, and whether they hold base64; the last one wins, as it does at the API server.
const SECTIONS: [(&str, bool); 2] = [("data", true), ("stringData", false)];

/// The entries of a Secret, and what of them cannot be read. No error repeats a value.
pub(super) fn data(
    place: &Place,
    document: &Map<String, Value>,
    errors: &mut Vec<ManifestError>,
) -> (SecretData, Refused) {
    let (mut data, mut refused) = (SecretData::new(), Refused::default());
    for (section, encoded) in SECTIONS {
        let entries = match document.get(section) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                errors.push(place.error(section, "expected an object with fields", "write key: value below it"));
                refused.insert(section);
                continue;
            }
        };
        for (key, value) in entries {
            let field = format!("{section}.{key}");
            if !is_key(key) {
                let remedy = "use up to 253 letters, digits, dots, underscores and dashes";
                errors.push(place.error(&field, "this cannot be a key of a Secret", remedy));
            }
            match bytes(value, encoded) {
                Ok(bytes) => {
                    data.insert(key.clone(), SecretValue { section, bytes });
                }
                Err((what, remedy)) => {
                    data.remove(key);
                    refused.insert(&field);
                    errors.push(place.error(field, what, remedy));
                }
            }
        }
    }
    (data, refused)
}

fn bytes(value: &Value, encoded: bool) -> Result<SecretSlice<u8>, (&'static str, &'static str)> {
    let quotes = "put it in quotes: plain numbers, true, false, yes, no, on and off are no strings";
    let text = value.as_str().ok_or(("expected a string", quotes))?;
    if !encoded {
        return Ok(SecretSlice::from(text.as_bytes().to_vec()));
    }
    // Long values are often wrapped.
    let packed: String = text.split_whitespace().collect();
    let decoded = STANDARD.decode(packed).map(SecretSlice::from);
    decoded.map_err(|_| ("it is not base64", "encode the value, or write it as it is under stringData"))
}

/// Whether the value of a key may be there, and is not known.
pub(super) fn may_hold(refused: &Refused, key: &str) -> bool {
    SECTIONS.iter().any(|(section, _)| refused.covers(&format!("{section}.{key}")))
}

fn is_key(key: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !key.is_empty() && key.len() <= 253 && key.chars().all(fits)
}
