//! Names as Postgres reads them.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

/// A name as it is kept: folded to lower case unless it is quoted.
pub fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

/// The parts of a qualified name; none if a part is no plain name.
pub fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(name) => Some(folded(name)),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}

/// What was most likely meant.
pub fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|known| (strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len().max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
