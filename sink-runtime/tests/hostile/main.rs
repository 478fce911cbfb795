//! What a broken or hostile server might send: the decoders of the stream and of the snapshot refuse it, and never panic.
//!
//! The checks are those of the fuzz targets (`fuzz/README.md`), here on their seeds, on bytes at random, and on valid
//! messages of which some bytes are changed.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../../fuzz/checks/copy_text.rs"]
mod copy_text;
mod messages;
#[path = "../../../fuzz/checks/pgoutput.rs"]
mod pgoutput;
#[path = "../../../fuzz/checks/seeds.rs"]
mod seeds;

use proptest::prelude::*;
use proptest::sample::Index;

/// The cases of each property.
const CASES: u32 = 10_000;

fn config() -> ProptestConfig {
    // `PROPTEST_CASES` asks for more.
    let cases = ProptestConfig::default().cases.max(CASES);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What happens to valid bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Damage::Repeat(from, to)),
    ];
    prop::collection::vec(one, 0..5)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for one in damage {
        let places = bytes.len() + 1;
        match one {
            Damage::Set(at, byte) => {
                if let Some(place) = bytes.get_mut(at.index(places)) {
                    *place = *byte;
                }
            }
            Damage::Cut(at) => bytes.truncate(at.index(places)),
            Damage::Insert(at, more) => {
                let at = at.index(places);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(places), to.index(places));
                let more = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.extend(more);
            }
        }
    }
    bytes
}

#[test]
fn the_seeds_of_pgoutput() {
    seeds::each("pgoutput", pgoutput::check);
}

#[test]
fn the_seeds_of_copy_text() {
    seeds::each("copy_text", copy_text::check);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pgoutput_of_any_bytes(kind in prop::sample::select(b"BCRIUDTOYM\0Sx".to_vec()), body in prop::collection::vec(any::<u8>(), 0..60)) {
        pgoutput::check(&[&[kind], &body[..]].concat());
    }

    #[test]
    fn pgoutput_of_damaged_messages(message in messages::any_message(), damage in damage()) {
        pgoutput::check(&damaged(message, &damage));
    }

    #[test]
    fn copy_text_of_any_bytes(columns in 0_u8..8, line in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\t\\N\n".to_vec())], 0..60)) {
        copy_text::check(&[&[columns], &line[..]].concat());
    }

    #[test]
    fn copy_text_of_damaged_rows(cells in messages::any_row(), damage in damage()) {
        let line = damaged(copy_text::written(&cells), &damage);
        copy_text::check(&[&[cells.len() as u8], &line[..]].concat());
    }
}
