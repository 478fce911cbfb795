//! `docs/reasons.md` and [`Reason`] name the same reasons, and each has a text that says what to do.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use afterbay_crds::reason::Reason;

const DOCUMENT: &str = include_str!("../../docs/reasons.md");
/// What each reason's text has to tell.
const PARTS: [&str; 3] = ["**Meaning.**", "**Shows as.**", "**Remedy.**"];

/// The sections of the document: heading and text.
fn sections() -> Vec<(&'static str, &'static str)> {
    DOCUMENT.split("\n## ").skip(1).map(|section| section.split_once('\n').expect("a heading with a text")).collect()
}

#[test]
fn every_reason_has_a_heading_and_every_heading_is_a_reason() {
    let headings: Vec<_> = sections().into_iter().map(|(heading, _)| heading).collect();
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(headings, reasons, "docs/reasons.md lists the reasons in the order of crds/src/reason.rs");
}

#[test]
fn every_reason_says_what_it_means_how_it_shows_and_what_to_do() {
    for (heading, text) in sections() {
        let places: Vec<_> =
            PARTS.iter().map(|part| text.find(part).unwrap_or_else(|| panic!("{heading} lacks {part}"))).collect();
        assert!(places.is_sorted(), "the parts of {heading} stand in order");
        let ends = places[1..].iter().copied().chain([text.len()]);
        for ((part, start), end) in PARTS.iter().zip(&places).zip(ends) {
            let words = text[start + part.len()..end].split_whitespace().count();
            assert!(words >= 4, "{part} of {heading} says nothing");
        }
    }
}
