//! Which test holds which clause of the reference, and the table of them in `docs/reference/conformance.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What holds a clause.
enum Held {
    /// These tests, by the names of their functions.
    By(&'static [&'static str]),
    /// It has no meaning here; what stands for it.
    Otherwise(&'static str),
}

use Held::{By, Otherwise};

/// Section of the reference, the clause in our words, what holds it.
const CLAUSES: &[(&str, &str, Held)] = &[
    ("Syntax", "`IF NOT EXISTS`", Otherwise("applying a manifest again is no error")),
    ("Syntax", "`IN CLUSTER`: `pool`", By(&["pools_have_workers_and_slots_of_their_own"])),
    ("Syntax", "`FROM` a table", By(&["upsert_shows_each_kind_of_change", "a_partitioned_table_is_one_table"])),
    ("Syntax", "`FROM` a view", By(&["a_view_over_one_table_is_a_query", "a_view_over_other_rows_is_none"])),
    (
        "Syntax",
        "`KEY` names the columns of the message key; without it there is none",
        By(&["a_table_without_a_key_goes_out_as_debezium", "keys_of_every_order"]),
    ),
    ("Syntax", "`WITH (SNAPSHOT = false)`", By(&["without_a_snapshot_only_what_comes_after_the_start_is_shown"])),
    (
        "Syntax",
        "`WITH (RETAIN HISTORY …)`",
        By(&["another_sink_begins_within_what_is_retained", "a_sink_is_set_back_once", "what_is_older_is_forgotten"]),
    ),
    ("Connection options", "`COMPRESSION TYPE`: none, gzip, snappy, lz4, zstd", By(&["each_codec_can_be_read"])),
    (
        "Connection options",
        "`TRANSACTIONAL ID PREFIX`, `PROGRESS GROUP ID PREFIX`",
        By(&["names_start_from_the_prefix"]),
    ),
    (
        "Connection options",
        "`TOPIC PARTITION COUNT`, `TOPIC REPLICATION FACTOR`, `TOPIC CONFIG` when the topic is made",
        By(&["a_topic_as_it_is_wanted_is_not_told", "a_topic_setting_that_the_broker_refuses"]),
    ),
    (
        "Registry options",
        "`AVRO KEY FULLNAME`, `AVRO VALUE FULLNAME`; with a key both or none",
        By(&["fullnames_null_defaults_and_composite_types", "formats"]),
    ),
    (
        "Registry options",
        "`NULL DEFAULTS`",
        By(&["fields_that_may_be_null_default_to_null", "fullnames_null_defaults_and_composite_types"]),
    ),
    ("Registry options", "`KEY` and `VALUE COMPATIBILITY LEVEL`", By(&["compatibility_levels"])),
    (
        "Headers",
        "each message has a header with its logical time",
        By(&["headers_tell_when_and_where_a_change_was_committed"]),
    ),
    (
        "Headers",
        "a column of type map adds headers, to text or bytes",
        By(&["a_column_of_headers", "a_column_that_is_no_map_is_refused"]),
    ),
    ("Headers", "names with the reserved prefix are ignored", By(&["a_column_of_headers"])),
    ("Headers", "the column stays in the value", By(&["a_column_of_headers"])),
    ("Headers", "only with the upsert envelope", By(&["formats_that_envelope_or_key_do_not_go_with"])),
    ("Formats", "one format for both, or one for each", By(&["keys_and_values_have_independent_formats"])),
    (
        "Formats",
        "TEXT and BYTES hold a single column",
        By(&["text_and_bytes_hold_a_single_column", "text_and_bytes_refuse_more_than_a_scalar"]),
    ),
    (
        "Formats",
        "BYTES holds scalar types",
        By(&["text_and_bytes_refuse_more_than_a_scalar", "the_binary_forms_of_postgres"]),
    ),
    (
        "Avro",
        "a record with a field for each column, in their order; the key with those of the key",
        By(&["avro_envelopes", "avro_bears_the_envelopes_too"]),
    ),
    (
        "Avro",
        "names that are none are adjusted and made unique",
        By(&["invalid_names_are_adjusted", "equal_names_get_the_smallest_number"]),
    ),
    ("Avro", "schemas of key and value are published", By(&["the_documentation_example"])),
    ("Avro", "the table of types", By(&["avro_shows_every_type"])),
    (
        "Avro",
        "what may be null is a union with null",
        By(&["avro_shows_every_type", "avro_shows_every_type_where_no_null_is_allowed"]),
    ),
    ("Avro", "assertions that a view holds no null", By(&["what_a_query_asserts_to_be_no_null_is_no_union"])),
    (
        "Avro documentation",
        "the order in which texts are looked for",
        By(&["what_the_sink_says_goes_before_the_comments", "fullnames_null_defaults_and_composite_types"]),
    ),
    (
        "Avro documentation",
        "the example",
        By(&["the_documentation_example", "the_documentation_example_of_the_reference"]),
    ),
    ("JSON", "an object with a member for each column, in their order", By(&["json_shows_every_type"])),
    ("JSON", "the table of types", By(&["json_shows_every_type"])),
    (
        "Envelopes",
        "with a key, a deletion and an insertion at once are an update",
        By(&["debezium_shows_each_kind_of_change", "changes_of_one_key_in_one_transaction_all_stand_in_order"]),
    ),
    ("Envelopes", "upsert: needs a unique key", By(&["a_key_that_is_not_unique", "sinks"])),
    ("Envelopes", "upsert: the new row; a tombstone for a deletion", By(&["upsert_shows_each_kind_of_change"])),
    ("Envelopes", "debezium: `before` and `after`", By(&["debezium_shows_each_kind_of_change"])),
    ("Envelopes", "debezium: updates only with a key", By(&["a_table_without_a_key_goes_out_as_debezium"])),
    (
        "Topic creation",
        "a topic that is not there is made with the broker's defaults, or as told",
        By(&["a_topic_as_it_is_wanted_is_not_told"]),
    ),
    (
        "Topic creation",
        "the progress topic is made with one partition, compacted, without retention",
        By(&["the_progress_topic_is_made_as_it_must_be_and_shared"]),
    ),
    (
        "Topic creation",
        "a topic that is there is used as it is",
        By(&["a_topic_that_differs_is_used_as_it_is_and_told"]),
    ),
    (
        "Topic creation",
        "progress topic: one partition, no retention are a must",
        By(&["a_progress_topic_that_would_break_the_guarantee_is_refused"]),
    ),
    (
        "Topic creation",
        "progress topic: compaction, no tiered storage are advised",
        By(&["a_progress_topic_that_is_less_than_it_should_be_is_told"]),
    ),
    ("Topic creation", "the topic outlives the Sink", Otherwise("nothing deletes a topic")),
    (
        "Exactly once",
        "no message is repeated or lost in failures",
        By(&["every_change_stands_once_whatever_goes_wrong"]),
    ),
    (
        "Exactly once",
        "a progress topic shared by the Sinks of a connection, made where it is not there",
        By(&["the_progress_topic_is_made_as_it_must_be_and_shared"]),
    ),
    (
        "Exactly once",
        "replication and unclean election as advised",
        By(&["a_progress_topic_that_is_less_than_it_should_be_is_told"]),
    ),
    (
        "Partitioning",
        "SeaHash of the encoded key without the schema's id, modulo the partitions",
        By(&[
            "a_message_goes_to_the_partition_of_its_keys_hash",
            "the_schema_id_does_not_count",
            "the_tests_own_seahash_is_seahash",
        ]),
    ),
    ("Partitioning", "without a key partition 0", By(&["no_key_or_no_partitions"])),
    ("Partitioning", "`PARTITION BY`: hash modulo partitions", By(&["an_expression_chooses_the_partition"])),
    ("Partitioning", "`PARTITION BY`: null or an error is partition 0", By(&["an_expression_chooses_the_partition"])),
    (
        "Partitioning",
        "`PARTITION BY`: a type that can be cast to uint8",
        By(&["an_expression_that_does_not_fit_is_refused"]),
    ),
    (
        "Partitioning",
        "`PARTITION BY`: all columns with upsert, those of the key with debezium",
        By(&["an_expression_that_does_not_fit_is_refused"]),
    ),
    (
        "Partitioning",
        "`crc32`, `kafka_murmur2`, `seahash`",
        By(&["an_expression_chooses_the_partition", "hash_functions"]),
    ),
    ("Privileges", "on schemas, clusters and connections", Otherwise("Kubernetes' own rights on the resources")),
    ("ACLs", "the rows of the table suffice", By(&["with_just_the_rights_of_the_table_a_sink_runs_and_restarts"])),
    (
        "ACLs",
        "each of them is needed",
        By(&["each_right_on_a_topic_that_is_missing_is_named", "each_right_on_names_that_is_missing_is_named"]),
    ),
    ("ACLs", "DescribeConfigs and Create to make topics", By(&["each_right_to_make_a_topic_that_is_missing_is_named"])),
    (
        "Transaction markers",
        "readers see gaps in the offsets",
        Otherwise("a property of Kafka; said in docs/messages.md"),
    ),
    ("Upsert key selection", "the message where no key is known", By(&["a_key_that_is_not_enforced"])),
    ("Upsert key selection", "the message that lists the known keys", By(&["a_key_that_is_not_unique"])),
    (
        "Upsert key selection",
        "`DISTINCT ON` in a view makes a key unique",
        Otherwise("a unique index in the database; queries over many rows are no part of Afterbay"),
    ),
    ("Upsert key selection", "`NOT ENFORCED`", By(&["a_key_that_is_not_enforced"])),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The text of all sources.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

fn table() -> String {
    let mut table = "# The reference, clause by clause, and what holds it\n\nMade by the conformance suite \
        (`e2e/tests/conformance`), which fails where a test is not there or this page is another. Every test named here runs \
        in `make test`, against a real broker, registry and database where one is needed.\n\n| section | clause | held by |\n\
        |---|---|---|\n"
        .to_owned();
    for (section, clause, held) in CLAUSES {
        let held = match held {
            By(tests) => tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(", "),
            Otherwise(what) => format!("not applicable: {what}"),
        };
        writeln!(table, "| {section} | {clause} | {held} |").expect("a string takes it");
    }
    table
}

#[test]
fn every_clause_is_held_by_tests_that_are_there() {
    let mut all = String::new();
    for folder in ["crds", "formats", "queries", "clients", "operator", "sink-runtime", "e2e"] {
        for part in ["src", "tests"] {
            let folder = root().join(folder).join(part);
            if folder.exists() {
                sources(&folder, &mut all);
            }
        }
    }
    for (_, clause, held) in CLAUSES {
        let By(tests) = held else { continue };
        for test in *tests {
            assert!(all.contains(&format!("fn {test}()")), "{clause}: there is no test {test}");
        }
    }
}

/// `UPDATE_CONFORMANCE=1` writes the page.
#[test]
fn the_page_is_that_of_the_suite() {
    let page = root().join("docs/reference/conformance.md");
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        std::fs::write(&page, table()).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(found == table(), "run the test with UPDATE_CONFORMANCE=1");
}
