//! Whatever a file of manifests holds: it is read or refused in words, and never makes the reader panic.
//!
//! The check is that of the fuzz target (`fuzz/README.md`), here on its seeds, on bytes at random, on texts of YAML's own
//! signs, and on the quickstart with some of its bytes changed.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../fuzz/checks/manifest.rs"]
mod manifest;
#[path = "../../fuzz/checks/seeds.rs"]
mod seeds;

use proptest::prelude::*;
use proptest::sample::Index;

/// The cases of each property.
const CASES: u32 = 10_000;
const QUICKSTART: [&str; 3] = [
    include_str!("../../examples/quickstart/1-connections.yaml"),
    include_str!("../../examples/quickstart/2-source.yaml"),
    include_str!("../../examples/quickstart/3-sinks.yaml"),
];

fn config() -> ProptestConfig {
    // `PROPTEST_CASES` asks for more.
    let cases = ProptestConfig::default().cases.max(CASES);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn the_seeds() {
    seeds::each("manifest", manifest::check);
    for text in QUICKSTART {
        manifest::check(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        manifest::check(&bytes);
    }

    #[test]
    fn any_text_of_the_signs_of_yaml(text in "([a-c:\\-\\[\\]{}\"'#&*!|>%@` \n\t,?_.~ü]|kind: |yes|---\n|\\.\\.\\.\n|<<: |\r){0,40}") {
        manifest::check(text.as_bytes());
    }

    #[test]
    fn damaged_manifests(which in 0..QUICKSTART.len(), damage in prop::collection::vec((any::<Index>(), any::<Index>(), 0_usize..12, "[ \n:\\-a{}\\[\\]\"'&*!?|]{0,3}"), 1..4)) {
        let mut bytes = QUICKSTART[which].as_bytes().to_vec();
        for (at, from, len, new) in damage {
            // Some bytes make way for others, or for some of another place.
            let (at, from) = (at.index(bytes.len()), from.index(bytes.len()));
            let new = if new.is_empty() { bytes[from..bytes.len().min(from + len)].to_vec() } else { new.into_bytes() };
            bytes.splice(at..bytes.len().min(at + len), new);
            if bytes.is_empty() {
                break;
            }
        }
        manifest::check(&bytes);
    }
}
