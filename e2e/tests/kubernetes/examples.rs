//! What the examples and the documentation show, as the API server takes it: word for word, and nothing of it kept.

use std::path::{Path, PathBuf};

use afterbay_e2e::kubernetes::definitions;
use afterbay_e2e::programs::repository;
use afterbay_e2e::scenario::unique;
use afterbay_e2e::{Manifests, Namespace, Scenario};
use serde_json::{Value, json};

/// What the documentation shows of others, whom the cluster does not know.
const FOREIGN: &str = "argoproj.io/";

/// The documents of a text, as YAML has them.
fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    documents.map(|each| <Value as serde::Deserialize>::deserialize(each).expect("it is YAML")).collect()
}

/// The manifests of `examples/quickstart`, as they are but for addresses, credentials and the names that tests share.
pub fn quickstart(scenario: &Scenario) -> Manifests {
    let folder = repository().join("examples/quickstart");
    let mut manifests = Manifests::default();
    for file in ["1-connections.yaml", "2-source.yaml", "3-sinks.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).expect("the example is there");
        manifests = documents(&text).into_iter().fold(manifests, Manifests::with);
    }
    let (host, port) = scenario.rig.postgres_address();
    manifests
        .set("KafkaConnection/events", "spec.bootstrapServers", scenario.rig.broker())
        .set("SchemaRegistryConnection/schemas", "spec.url", scenario.rig.registry())
        .set("SourceConnector/shop", "spec.postgres.host", host)
        .set("SourceConnector/shop", "spec.postgres.port", port)
        .set("SourceConnector/shop", "spec.postgres.database", scenario.database.name.as_str())
        .set("SourceConnector/shop", "spec.postgres.authentication.username", scenario.database.role.as_str())
        .set("Secret/shop-db", "stringData.password", scenario.database.password.as_str())
        // One server for all tests, which has each slot once.
        .set("SourceConnector/shop", "spec.postgres.slot", json!({"name": scenario.slot()}))
        .set("Sink/orders", "spec.kafka.topic.name", scenario.topic("orders"))
        .set("Sink/customers", "spec.kafka.topic.name", scenario.topic("customers"))
}

/// All files below a folder with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The YAML of a page that is whole: fragments do not say what they are a part of.
fn shown(page: &str) -> Vec<&str> {
    let blocks = page.split("```").skip(1).step_by(2);
    let yaml = blocks.filter_map(|block| block.strip_prefix("yaml\n"));
    yaml.filter(|block| block.lines().any(|line| line.starts_with("apiVersion:"))).collect()
}

#[tokio::test]
async fn each_example_is_taken_as_it_stands() {
    definitions().await;
    let namespace = Namespace::create(&unique("examples")).await;
    let examples = files(&repository().join("examples"), "yaml");
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let path = example.to_str().expect("the path is text");
        let taken = namespace.kubectl.run(&["apply", "--server-side", "--dry-run=server", "-f", path]).await;
        let text = std::fs::read_to_string(&example).expect("the example is there");
        assert_eq!(taken.lines().count(), documents(&text).len(), "{path}: {taken}");
    }
}

#[tokio::test]
async fn what_the_documentation_shows_whole_is_taken() {
    definitions().await;
    let namespace = Namespace::create(&unique("documented")).await;
    let root = repository();
    let mut pages = files(&root.join("docs"), "md");
    pages.push(root.join("README.md"));
    let (mut taken, mut foreign) = (0, 0);
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("the page is there");
        for block in shown(&text) {
            if block.lines().any(|line| line.starts_with("apiVersion:") && line.contains(FOREIGN)) {
                foreign += 1;
                continue;
            }
            let said = namespace.kubectl.dry_run(block).await;
            assert!(said.is_ok(), "{}: {said:?}\n{block}", page.display());
            taken += 1;
        }
    }
    assert!(taken >= 7 && foreign == 1, "{taken} are taken, and {foreign} are of others");
}

/// When Argo CD applies a resource, of those that are applied together.
fn wave(resource: &Value) -> i32 {
    let wave = &resource["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
    let wave = wave.as_str().and_then(|wave| wave.parse().ok());
    wave.unwrap_or_else(|| panic!("it has no sync wave: {resource}"))
}

/// What comes first to what needs it.
const WAVES: [&[&str]; 3] =
    [&["Secret", "KafkaConnection", "SchemaRegistryConnection"], &["SourceConnector"], &["Sink"]];

#[test]
fn what_is_needed_has_an_earlier_wave() {
    let examples = files(&repository().join("examples"), "yaml");
    let texts = examples.iter().map(|example| std::fs::read_to_string(example).expect("the example is there"));
    let resources: Vec<_> = texts.flat_map(|text| documents(&text)).collect();
    let kinds = |kind: &Value| WAVES.concat().iter().any(|known| kind == known);
    assert!(resources.iter().all(|resource| kinds(&resource["kind"])), "{resources:?}");
    // Of one repository some may apply several of the examples together.
    let waves = WAVES.map(|kinds| {
        let own = resources.iter().filter(|resource| kinds.iter().any(|kind| resource["kind"] == *kind));
        own.map(wave).collect::<Vec<_>>()
    });
    for pair in waves.windows(2) {
        assert!(pair[0].iter().max() < pair[1].iter().min(), "{waves:?}");
    }
}
