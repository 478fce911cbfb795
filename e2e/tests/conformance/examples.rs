//! The examples of `docs/reference/sink.md` are run as they stand there.

use afterbay_e2e::programs::repository;
use afterbay_e2e::{Scenario, database, manifests, reference};
use serde_json::Value;

/// A Sink's spec, what is run once it carries, and the first messages of its topic.
struct Example {
    spec: Value,
    change: String,
    messages: Vec<Value>,
}

/// What is run first, and the examples behind it.
fn page() -> (String, Vec<Example>) {
    let page = std::fs::read_to_string(repository().join("docs/reference/sink.md")).expect("the page is there");
    let (_, examples) = page.split_once("## Examples\n").expect("it has examples");
    let mut begin = String::new();
    let mut found: Vec<Example> = Vec::new();
    for block in examples.split("```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').expect("a block has a first line");
        match (language, found.last_mut()) {
            ("sql", None) => begin.push_str(text),
            ("sql", Some(example)) => example.change.push_str(text),
            ("yaml", _) => {
                let spec = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                found.push(Example { spec, change: String::new(), messages: Vec::new() });
            }
            ("json", Some(example)) => {
                let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                example.messages.extend(text.lines().map(parse));
            }
            _ => panic!("an example begins with its spec: {block}"),
        }
    }
    (begin, found)
}

/// The formats in which the reference consumer reads keys and values.
fn formats(spec: &Value) -> [&'static str; 2] {
    let format = &spec["kafka"]["format"];
    ["key", "value"].map(|part| {
        let of_part = format.get(part).unwrap_or(format);
        let kinds = [("json", "json"), ("avro", "avro"), ("text", "text"), ("bytes", "raw")];
        kinds.into_iter().find(|(kind, _)| of_part.get(kind).is_some()).expect("there is a format").1
    })
}

/// A message with the members that an example shows.
fn as_shown(message: &Value, example: &Value) -> Value {
    let headers = || {
        let all = message["headers"].as_array().expect("a list").iter();
        let others = all.filter(|pair| pair[0].as_str().is_some_and(|name| !name.starts_with("afterbay-")));
        others.map(|pair| (pair[0].as_str().unwrap_or_default().to_owned(), pair[1].clone())).collect::<Value>()
    };
    let member = |name: &String| match name.as_str() {
        "headers" => (name.clone(), headers()),
        "topic" => (name.clone(), example["topic"].clone()),
        _ => (name.clone(), message[name].clone()),
    };
    example.as_object().expect("an example is an object").keys().map(member).collect()
}

/// Where in the source's log it was committed.
fn committed_at(message: &Value) -> u64 {
    let headers = message["headers"].as_array().expect("a list");
    let position = headers.iter().find(|pair| pair[0] == "afterbay-position").and_then(|pair| pair[1].as_str());
    let (lsn, _) = position.and_then(|position| position.split_once(':')).expect("an LSN and a number");
    database::lsn(lsn)
}

#[tokio::test]
async fn the_examples_of_the_page_run() {
    let (begin, examples) = page();
    assert!(examples.len() >= 6, "{}", examples.len());
    let scenario = Scenario::new("examples").await;
    scenario.database.run(&begin).await;
    let mut manifests = scenario.manifests();
    for (index, example) in examples.iter().enumerate() {
        let name = format!("example-{index}");
        let topic = scenario.topic(example.spec["kafka"]["topic"]["name"].as_str().expect("a topic has a name"));
        let resource = format!("Sink/{name}");
        manifests = manifests.with(manifests::resource("Sink", &name, example.spec.clone()));
        manifests = manifests.set(&resource, "spec.kafka.topic.name", topic);
    }
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    for example in &examples {
        if !example.change.is_empty() {
            scenario.database.run(&example.change).await;
        }
    }
    afterbay.caught_up(&scenario).await;
    for example in &examples {
        let shown = example.messages.first().expect("an example shows what it sends");
        // A Sink of many tables has more topics than one.
        let topic = shown.get("topic").unwrap_or(&example.spec["kafka"]["topic"]["name"]);
        let topic = scenario.topic(topic.as_str().unwrap_or_default());
        let [key, value] = formats(&example.spec);
        let registry = ["--registry", scenario.rig.registry()];
        let lines = reference::consume(scenario.rig.broker(), &topic, (key, value), &registry).await;
        let parse = |line: &String| serde_json::from_str::<Value>(line).expect("a line of JSON");
        let mut messages: Vec<_> = lines.iter().map(parse).collect();
        messages.sort_by_key(committed_at);
        assert!(example.messages.len() <= messages.len(), "{topic}: {messages:?}");
        for (message, shown) in messages.iter().zip(&example.messages) {
            assert_eq!(as_shown(message, shown), *shown, "{topic}");
        }
    }
    assert_eq!(afterbay.problems(), Vec::<Value>::new());
}
