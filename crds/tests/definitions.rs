//! The definitions of the four kinds, as `afterbay crds` prints them.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use afterbay_crds::api::crds_as_yaml;

#[test]
fn the_definitions_are_as_reviewed() {
    insta::assert_snapshot!(crds_as_yaml().expect("the definitions are YAML"));
}
