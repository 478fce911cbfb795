//! Whatever text a value has: it is encoded or refused, and never makes an encoder panic.
//!
//! The check is that of the fuzz target (`fuzz/README.md`), here on its seeds, on bytes at random, on texts of the signs
//! that text forms are made of, and on the seeds with some of their bytes changed.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../fuzz/checks/seeds.rs"]
mod seeds;
#[path = "../../fuzz/checks/values.rs"]
mod values;

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// The cases of each property.
const CASES: u32 = 10_000;

fn config() -> ProptestConfig {
    // `PROPTEST_CASES` asks for more.
    let cases = ProptestConfig::default().cases.max(CASES);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A text for a type that is chosen by its number.
fn of_any_type(text: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), text).prop_map(|(chosen, text)| [&[chosen][..], &text].concat())
}

/// A piece of text forms: signs, digits, words.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    "[0-9]{1,4}|[-+:.,;{}()\\[\\]=>\"\\\\ eTtf]|\"\"|\\\\\"|NULL|NaN|-?[Ii]nfinity| BC|[0-9]+ (days?|mons|years)|\\\\x|é"
        .prop_map(String::into_bytes)
}

static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| seeds::all("values"));

#[test]
fn the_seeds() {
    seeds::each("values", values::check);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes(bytes in of_any_type(vec(any::<u8>(), 0..40))) {
        values::check(&bytes);
    }

    #[test]
    fn any_text_of_the_signs_of_values(bytes in of_any_type(vec(piece(), 0..12).prop_map(|pieces| pieces.concat()))) {
        values::check(&bytes);
    }

    #[test]
    fn damaged_values(which in any::<Index>(), damage in vec((any::<Index>(), 0_usize..3, piece()), 1..4)) {
        let mut bytes = which.get(&SEEDS).clone();
        for (at, len, new) in damage {
            // What stands there makes way for something else; the type stays, and there is always one.
            let at = 1 + at.index(bytes.len());
            bytes.splice(at.min(bytes.len())..bytes.len().min(at + len), new);
        }
        values::check(&bytes);
    }
}
