//! `afterbay validate` without `--online`: what the files themselves show.

use std::fs;

use serde_json::Value;

use super::{afterbay, afterbay_reading, check};

const SINK: &str = "
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: orders}
spec:
  source: {name: shop, table: public.orders}
  key: {columns: [id]}
  kafka:
    connection: events
    topic: {name: orders}
    envelope: upsert
    format: {json: {}}
";
const SOURCE: &str = "
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {name: shop}
spec: {postgres: {host: db, database: shop, authentication: {username: shop}}}
";
const KAFKA: &str = "
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {name: events}
spec: {bootstrapServers: 'kafka:9092'}
";

#[test]
fn the_quickstart_is_valid() {
    for arguments in [
        &["validate", "-f", "examples/quickstart"][..],
        &[
            "validate",
            "-f",
            "examples/quickstart/1-connections.yaml",
            "examples/quickstart/2-source.yaml",
            "-f",
            "examples/quickstart/3-sinks.yaml",
        ],
    ] {
        let ended = afterbay(arguments);
        assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""), "{arguments:?}");
        let valid = "2 Sink(s), 1 SourceConnector(s), 1 KafkaConnection(s), 1 SchemaRegistryConnection(s) valid\n";
        assert_eq!(ended.out, valid);
    }
}

#[test]
fn the_queries_beside_the_quickstart_are_valid() {
    let ended = afterbay(&["validate", "-f", "examples/quickstart", "examples/queries"]);
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    assert!(ended.out.starts_with("3 Sink(s), "), "{}", ended.out);
}

#[test]
fn a_query_is_told_with_its_place_beside_all_else() {
    let sink = |query: &str| {
        format!(
            "---\napiVersion: afterbay.dev/v1alpha1\nkind: Sink\nmetadata: {{name: t}}\nspec:\n  source: {{name: shop, query: \"{query}\"}}\n  \
             key: {{columns: [id]}}\n  kafka: {{connection: event, topic: {{name: t}}, envelope: upsert, format: {{json: {{}}}}}}\n"
        )
    };
    let text = |query: &str| format!("{SOURCE}---{KAFKA}{}", sink(query));
    let told = afterbay_reading(&["validate", "-f", "-"], &text("SELECT id, sum(n) AS s FROM t"));
    assert_eq!(told.code, Some(1));
    check(&told.log, &["spec.kafka.connection: ", "spec.source.query: ", "sum", "(at character 12)", "what to do: "]);
    let told = afterbay_reading(&["validate", "-f", "-"], &text(" "));
    check(&told.log, &["spec.source.query: it is empty"]);
    assert_eq!(told.log.matches("spec.source.query").count(), 1, "{}", told.log);
}

#[test]
fn all_that_is_wrong_is_told_at_once_each_at_its_place() {
    let folder = tempfile::tempdir().expect("there is a place for files");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file can be written");
    write("1-kafka.yaml", &KAFKA.replace("bootstrapServers", "bootstrapServer"));
    write("2-source.yml", &SOURCE.replace("host: db, ", ""));
    write(
        "3-sinks.yaml",
        &format!(
            "{}---{}",
            SINK.replace("name: shop", "name: shpo"),
            SINK.replace("upsert", "update").replace("{name: orders}\nspec", "{name: returns}\nspec")
        ),
    );
    write("4-broken.yaml", "kind: [Sink\n");
    write("5-other.json", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}"#);
    write("notes.txt", "kind: [");
    let path = folder.path().to_str().expect("the path is text");
    let ended = afterbay(&["validate", "-f", path]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.log);
    check(&ended.log, &["1-kafka.yaml: document 1 (KafkaConnection default/events): ", "bootstrapServer"]);
    check(&ended.log, &["2-source.yml: document 1 (SourceConnector default/shop): ", "host"]);
    check(&ended.log, &["3-sinks.yaml: document 2 (Sink default/returns): ", "update", "upsert"]);
    check(&ended.log, &["4-broken.yaml: document 1: "]);
    check(&ended.log, &["5-other.json: document 1"]);
    assert!(!ended.log.contains("notes.txt"), "{}", ended.log);
    let errors: Vec<_> = ended.log.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.iter().all(|error| error.contains(" · what to do: ")), "{}", ended.log);
    check(&ended.log, &[&format!("\n{} errors\n", errors.len())]);

    let json = afterbay(&["validate", "-o", "json", "-f", path]);
    assert_eq!((json.code, json.log.as_str()), (Some(1), ""));
    let mut lines: Vec<Value> =
        json.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let last = lines.pop().expect("there is a last line");
    assert_eq!(last["errors"], errors.len());
    assert_eq!(lines.len(), errors.len());
    for line in lines {
        assert_eq!(line["severity"], "error");
        let told = |field: &str| line[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(told("file") && told("what") && told("remedy") && line["document"].is_u64(), "{line}");
    }

    // A setting that Afterbay owns is not told as one that the client does not take, too.
    let owned = KAFKA.replace("spec: {", "spec: {config: {acks: maybe, socket.keepalive.enable: maybe}, ");
    let owned = afterbay_reading(&["validate", "-f", "-"], &owned);
    assert_eq!(owned.log.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{}", owned.log);
    check(
        &owned.log,
        &["spec.config.acks: acks cannot be set", "spec.config.socket.keepalive.enable: Expected bool value"],
    );

    // One that cannot be read might have been what a Sink refers to; without it, the Sink is wrong.
    assert!(!ended.log.contains("shpo"), "{}", ended.log);
    for unread in ["4-broken.yaml", "5-other.json"] {
        fs::remove_file(folder.path().join(unread)).expect("a file can be removed");
    }
    let unread = afterbay(&["validate", "-f", path, "no/such.yaml"]);
    assert!(!unread.log.contains("shpo"), "{}", unread.log);
    let rest = afterbay(&["validate", "-f", path]);
    check(&rest.log, &["3-sinks.yaml: document 1 (Sink default/orders): spec.source.name: ", "did you mean shop?"]);
}

#[test]
fn standard_input_can_be_named() {
    let all = [SINK, SOURCE, KAFKA].join("---");
    let ended = afterbay_reading(&["validate", "-f", "-"], &all);
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    assert_eq!(ended.out, "1 Sink(s), 1 SourceConnector(s), 1 KafkaConnection(s) valid\n");
    let wrong = afterbay_reading(&["validate", "-f", "-"], &all.replace("columns: [id]", "columns: id"));
    assert_eq!(wrong.code, Some(1));
    check(&wrong.log, &["error: standard input: document 1 (Sink default/orders): spec.key.columns: "]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let empty = tempfile::tempdir().expect("there is a place for files");
    let empty = empty.path().to_str().expect("the path is text");
    for (path, words) in [
        ("no/such.yaml", "error: no/such.yaml: it cannot be read: No such file or directory"),
        (empty, "it holds no .yaml, .yml or .json file"),
        ("/dev/null", "there is no Sink in these manifests"),
    ] {
        for program in ["validate", "run"] {
            let ended = afterbay(&[program, "-f", path]);
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{program} {path}");
            check(&ended.log, &[words, " · what to do: "]);
        }
    }
}
