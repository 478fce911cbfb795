//! `inet`: the one type of the catalogue whose cast to text differs from its text form by more than a word.

/// What the cast to text adds to the text form, which leaves the mask of a single host out.
pub fn mask_of_host(text: &[u8]) -> &'static str {
    if text.contains(&b'/') {
        ""
    } else if text.contains(&b':') {
        "/128"
    } else {
        "/32"
    }
}
