use secrecy::ExposeSecret as _;

use super::*;

const SINK: &str = "
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {name: NAME}
spec:
  source: {name: shop, table: public.orders}
  kafka: {connection: events, topic: {name: orders}, envelope: debezium, format: {json: {}}}
";

fn sink(name: &str) -> String {
    SINK.replace("NAME", name)
}

fn file(name: &str, text: impl Into<String>) -> ManifestFile {
    ManifestFile { name: name.to_owned(), text: text.into() }
}

/// All errors of a text, as users read them.
fn check(text: &str, expected: &[&str]) {
    let (_, errors) = read(&[file("a.yaml", text)], "default");
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected, "{text}");
}

fn names<T>(resources: &BTreeMap<ResourceName, T>) -> Vec<String> {
    resources.keys().map(ToString::to_string).collect()
}

#[test]
fn documents_lists_and_files_are_read_together() {
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        sink("c").trim().replace('\n', "\n  ").replace("name: c", "name: c, namespace: sales")
    );
    let files = [file("a.yaml", format!("---{}---\n# nothing\n---{}", sink("a"), sink("b"))), file("b.yaml", list)];
    let (manifests, errors) = read(&files, "shop");
    assert_eq!(errors, []);
    assert_eq!(names(&manifests.sinks), ["sales/c", "shop/a", "shop/b"]);
    let place = &manifests.sinks[&ResourceName::new("shop", "b")].place;
    assert_eq!(place.to_string(), "a.yaml: document 3 (Sink shop/b)");
}

#[test]
fn defaults_are_those_of_the_schema() {
    let (manifests, errors) = read(&[file("a.yaml", sink("a"))], "default");
    assert_eq!(errors, []);
    let spec = &manifests.sinks.values().next().expect("a Sink").spec;
    assert!(spec.snapshot);
    assert_eq!(spec.kafka.compression.as_str(), "none");
    let defaults = crate::api::all_crds().into_iter().map(|crd| serde_json::to_value(crd).expect("it is JSON"));
    let texts: Vec<_> = defaults.map(|crd| crd.to_string()).collect();
    assert!(texts[3].contains(r#""default":true"#) && texts[3].contains(r#""default":"none""#));
}

#[test]
fn secrets_are_read_and_never_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: shop-db.v1}\ntype: Opaque\ndata:\n  a: aHVudGVyMg==\n  b: |\n    aHVu\n    dGVyMg==\n  c: eA==\nstringData: {c: hunter2}\n";
    let (manifests, errors) = read(&[file("a.yaml", text)], "default");
    assert_eq!(errors, []);
    let secret = &manifests.secrets[&ResourceName::new("default", "shop-db.v1")];
    for key in ["a", "b", "c"] {
        assert_eq!(secret.spec[key].bytes.expose_secret(), b"hunter2", "{key}");
    }
    let shown = format!("{manifests:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}

#[test]
fn secrets_that_cannot_be_read_are_told_without_their_values() {
    check(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: hunter2!, b: 1}\nstringData: {c: yes, d: 5, 'e f': x}\nstringdata: {}\n",
        &[
            "a.yaml: document 1 (Secret default/s): stringdata: there is no field stringdata · what to do: did you mean stringData?",
            "a.yaml: document 1 (Secret default/s): data.a: it is not base64 · what to do: encode the value, or write it as it is under stringData",
            "a.yaml: document 1 (Secret default/s): data.b: expected a string · what to do: put it in quotes: plain numbers, true, false, yes, no, on and off are no strings",
            "a.yaml: document 1 (Secret default/s): stringData.c: expected a string · what to do: put it in quotes: plain numbers, true, false, yes, no, on and off are no strings",
            "a.yaml: document 1 (Secret default/s): stringData.d: expected a string · what to do: put it in quotes: plain numbers, true, false, yes, no, on and off are no strings",
            "a.yaml: document 1 (Secret default/s): stringData.e f: this cannot be a key of a Secret · what to do: use up to 253 letters, digits, dots, underscores and dashes",
        ],
    );
    check(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: hunter2\n",
        &[
            "a.yaml: document 1 (Secret default/s): data: expected an object with fields · what to do: write key: value below it",
        ],
    );
}

#[test]
fn what_a_document_is_must_be_told() {
    check(
        "just text",
        &["a.yaml: document 1: not a manifest · what to do: begin it with apiVersion, kind, metadata and spec"],
    );
    check(
        "- a\n- b\n",
        &["a.yaml: document 1: not a manifest · what to do: begin it with apiVersion, kind, metadata and spec"],
    );
    check(
        "a: 1\n",
        &[
            "a.yaml: document 1: kind: it is missing · what to do: use one of KafkaConnection, SchemaRegistryConnection, SourceConnector, Sink, Secret",
            "a.yaml: document 1: metadata.name: it is missing · what to do: give the resource a name",
        ],
    );
    check(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
        &[
            "a.yaml: document 1: Deployment of apps/v1 is no kind that Afterbay reads · what to do: take the document out, or name the files one by one with -f instead of the folder",
        ],
    );
    // A folder for kustomize holds such a document, without a name.
    check(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [sinks.yaml]\n",
        &[
            "a.yaml: document 1: Kustomization of kustomize.config.k8s.io/v1beta1 is no kind that Afterbay reads · what to do: take the document out, or name the files one by one with -f instead of the folder",
        ],
    );
    check(
        &sink("a").replace("kind: Sink", "kind: 1"),
        &[
            "a.yaml: document 1: kind: expected a string · what to do: use one of KafkaConnection, SchemaRegistryConnection, SourceConnector, Sink, Secret",
        ],
    );
    check(
        &sink("a").replace("kind: Sink", "kind: ''"),
        &[
            "a.yaml: document 1: kind: it is empty · what to do: use one of KafkaConnection, SchemaRegistryConnection, SourceConnector, Sink, Secret",
        ],
    );
    check(
        &sink("a").replace("afterbay.dev/v1alpha1", "1"),
        &[
            "a.yaml: document 1 (Sink default/a): apiVersion: expected a string · what to do: write afterbay.dev/v1alpha1",
        ],
    );
    check(
        &sink("a").replace("afterbay.dev/v1alpha1", "''"),
        &["a.yaml: document 1 (Sink default/a): apiVersion: it is empty · what to do: write afterbay.dev/v1alpha1"],
    );
    check(
        &sink("a").replace("{name: a}", "a"),
        &[
            "a.yaml: document 1 (Sink): metadata: expected an object with fields · what to do: write its fields, e.g. metadata: {name: orders}",
        ],
    );
    check(
        &sink("a").replace("kind: Sink", "kind: sink"),
        &["a.yaml: document 1: kind: there is no kind sink · what to do: did you mean Sink?"],
    );
    check(
        &sink("a").replace("v1alpha1", "v1"),
        &[
            "a.yaml: document 1 (Sink default/a): apiVersion: there is no Sink in afterbay.dev/v1 · what to do: write afterbay.dev/v1alpha1",
        ],
    );
    check(
        &sink("a").replace("apiVersion", "apiversion"),
        &[
            "a.yaml: document 1 (Sink default/a): apiversion: there is no field apiversion · what to do: did you mean apiVersion?",
        ],
    );
    check(
        "apiVersion: afterbay.dev/v1alpha1\nkind: Sink\nmetadata: {name: a}\n",
        &[
            "a.yaml: document 1 (Sink default/a): spec: it is missing · what to do: add it, with the fields of the resource below it",
        ],
    );
    check(
        "kind: List\n",
        &["a.yaml: document 1: items: expected a list · what to do: write the manifests of the List below it"],
    );
}

#[test]
fn metadata_is_checked() {
    let with = |metadata: &str| sink("a").replace("{name: a}", metadata);
    let place = "a.yaml: document 1 (Sink";
    check(
        &with("{}"),
        &[format!("{place}): metadata.name: it is missing · what to do: give the resource a name").as_str()],
    );
    check(
        &with("{nmae: a}"),
        &[format!("{place}): metadata.nmae: there is no field nmae · what to do: did you mean name?").as_str()],
    );
    check(
        &with("{name: 12}"),
        &[format!("{place}): metadata.name: expected a string · what to do: put the name in quotes").as_str()],
    );
    check(
        &with("{name: yes}"),
        &[format!("{place}): metadata.name: expected a string · what to do: put the name in quotes").as_str()],
    );
    let label = "use up to 63 lower-case letters, digits and dashes, a letter or digit at both ends";
    check(
        &with("{name: My.Sink, namespace: a_b}"),
        &[
            format!("{place} a_b/My.Sink): metadata.name: \"My.Sink\" is no name · what to do: {label}").as_str(),
            format!("{place} a_b/My.Sink): metadata.namespace: \"a_b\" is no name · what to do: {label}").as_str(),
        ],
    );
    check(
        &with("{name: a, label: {}, labels: {a: on, b: '1'}, annotations: x}"),
        &[
            format!("{place} default/a): metadata.label: there is no field label · what to do: did you mean labels?").as_str(),
            format!("{place} default/a): metadata.labels.a: expected a string · what to do: put it in quotes: plain numbers, true, false, yes, no, on and off are no strings").as_str(),
            format!("{place} default/a): metadata.annotations: expected an object with fields · what to do: write key: value below it").as_str(),
        ],
    );
}

#[test]
fn one_resource_twice_is_told_with_both_places() {
    let (manifests, errors) = read(&[file("a.yaml", sink("a")), file("b.yaml", sink("a"))], "default");
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "b.yaml: document 1 (Sink default/a): metadata.name: Sink default/a is there already, in document 1 of a.yaml · what to do: give one of the two another name, or leave one out"
        ]
    );
    assert_eq!(manifests.sinks.len(), 1);
}

#[test]
fn one_document_that_is_no_yaml_hides_no_other() {
    let text = format!("{}---\na: [\n---{}", sink("a"), sink("b"));
    let (manifests, errors) = read(&[file("a.yaml", text)], "default");
    assert_eq!(names(&manifests.sinks), ["default/a", "default/b"]);
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.to_string().starts_with("a.yaml: document 2: not readable as YAML: "), "{error}");
    assert!(error.what.contains("line 10 column 1"), "{error}");
}

#[test]
fn what_is_not_utf8_is_told_with_its_line_and_column() {
    let contents = b"a: 1\n---\nb: gr\xfcn\n".to_vec();
    let error = ManifestFile::from_bytes("a.yaml", contents).expect_err("it is latin-1");
    assert_eq!(
        error.to_string(),
        "a.yaml: document 2: not UTF-8 at line 3 column 6 · what to do: save the file in UTF-8"
    );
    assert!(ManifestFile::from_bytes("a.yaml", "b: grün".as_bytes().to_vec()).is_ok());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let contents = format!("\u{feff}{}", sink("a").trim_start()).into_bytes();
    let file = ManifestFile::from_bytes("a.yaml", contents).expect("it is UTF-8");
    let (manifests, errors) = read(&[file], "default");
    assert_eq!(errors, []);
    assert_eq!(names(&manifests.sinks), ["default/a"]);
}

#[test]
fn errors_are_flat_in_json() {
    let (_, errors) = read(&[file("a.yaml", sink("a").replace("orders}", "orders, x: 1}"))], "default");
    assert_eq!(
        serde_json::to_value(&errors[0]).expect("it is JSON"),
        serde_json::json!({
            "file": "a.yaml", "document": 1, "resource": "Sink default/a", "field": "spec.source.x",
            "what": "there is no field x", "remedy": "use one of name, query, startAt, table, tables",
        })
    );
}
