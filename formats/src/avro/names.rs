//! Names that Avro allows, `[A-Za-z_][A-Za-z0-9_]*` (Avro specification, "Names").

use std::collections::HashSet;

/// The names of a record's fields. By the reference's rules: what is not alphanumeric becomes an underscore, one more
/// goes before a digit at the beginning, and of equal names the later ones get the smallest number that makes them
/// unique.
pub fn fields<'a>(columns: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    columns
        .into_iter()
        .map(|column| {
            let base = valid(column);
            let mut name = base.clone();
            let mut number = 1;
            while taken.contains(&name) {
                name = format!("{base}{number}");
                number += 1;
            }
            taken.insert(name.clone());
            name
        })
        .collect()
}

/// The namespace of the support types. A prefix that is no valid name is made one as a field's would be.
pub fn namespace(name_prefix: &str) -> String {
    format!("com.{}.sink", valid(name_prefix))
}

fn valid(name: &str) -> String {
    let mut valid: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if valid.is_empty() || valid.starts_with(|c: char| c.is_ascii_digit()) {
        valid.insert(0, '_');
    }
    valid
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: &[&str], expected: &[&str]) {
        assert_eq!(fields(columns.iter().copied()), expected);
    }

    #[test]
    fn invalid_names_are_adjusted() {
        check(&["id", "Name", "_x", "a b", "1st", "größe"], &["id", "Name", "_x", "a_b", "_1st", "gr__e"]);
    }

    #[test]
    fn equal_names_get_the_smallest_number() {
        check(&["col-a", "col@a"], &["col_a", "col_a1"]);
        check(&["a-", "a_1", "a@", "a!"], &["a_", "a_1", "a_2", "a_3"]);
        check(&["a-", "a@", "a_1"], &["a_", "a_1", "a_11"]);
    }

    #[test]
    fn namespaces() {
        assert_eq!(namespace("materialize"), "com.materialize.sink");
        assert_eq!(namespace("my-shop"), "com.my_shop.sink");
    }
}
