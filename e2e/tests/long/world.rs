//! A table, its Sinks of all kinds in a cluster, and all that they need: what a campaign sets on fire.

use std::time::Duration;

use afterbay_e2e::history::{self, History};
use afterbay_e2e::kubernetes::carrying::{ROWS, SOURCE};
use afterbay_e2e::kubernetes::{Component, LONG, Operated};
use afterbay_e2e::random::Random;
use afterbay_e2e::{Follower, Format, Manifests, Message, Sink};
use serde_json::{Value, json};

/// `spec.kafka.commit.timeout` of every Sink: so short that a test can wait for it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);

const TABLE: &str = "public.ledger";

/// A component of the cluster that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Kubelet,
    Containerd,
    ApiServer,
    Etcd,
}

/// How a Sink tells what happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Envelope {
    Upsert,
    Debezium,
}

/// What a Sink carries of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Whole,
    /// By a query.
    EvenIds,
}

/// A Sink of the table.
struct Carried {
    name: String,
    topic: String,
    manifest: Value,
    format: Format,
    envelope: Envelope,
    view: View,
    /// Its messages so far, brought to what the table's history is compared with.
    messages: Vec<Message>,
}

/// What a campaign sets on fire.
pub struct World {
    /// The operator.
    pub operated: Operated,
    components: [(Part, Component); 4],
    follower: Follower,
    /// Those that carry from the first round to the last.
    lasting: Vec<Carried>,
    /// One that has come in this round.
    guest: Option<Carried>,
    guests: u32,
}

impl World {
    /// All Sinks have carried all rows.
    pub async fn make() -> Self {
        let operated = Operated::alone("campaign").await;
        let scenario = &operated.scenario;
        History::begin(&scenario.database, ROWS).await;
        scenario.database.run("ALTER TABLE ledger REPLICA IDENTITY FULL").await;
        let topic = |name: &str| scenario.topic(name);
        let lasting = vec![
            Carried::new("json", topic("json"), Format::Json, Envelope::Upsert),
            Carried::new("avro", topic("avro"), Format::Avro, Envelope::Debezium),
            Carried::new("even", topic("even"), Format::Json, Envelope::Upsert).by_query(),
            Carried::new("many", topic("many.ledger"), Format::Json, Envelope::Upsert)
                .by_pattern(&scenario.topic("many.{table}")),
        ];
        let base = scenario.manifests();
        let manifests = lasting.iter().fold(base, |manifests, sink| manifests.with(sink.manifest.clone()));
        operated.apply(&manifests).await;
        let component = |part, name| (part, Component::new(&operated.namespace, name));
        let components = [
            component(Part::Kubelet, "kubelet"),
            component(Part::Containerd, "containerd"),
            component(Part::ApiServer, "kube-apiserver"),
            component(Part::Etcd, "etcd"),
        ];
        let follower = Follower::start(scenario.rig);
        let world = Self { operated, components, follower, lasting, guest: None, guests: 0 };
        world.is_well().await;
        world
    }

    /// A component of the cluster.
    pub fn component(&self, part: Part) -> &Component {
        let found = self.components.iter().find(|(own, _)| *own == part);
        &found.expect("there is one of each").1
    }

    /// The name of one of the Sinks.
    pub fn one_of_all(&self, random: &mut Random) -> String {
        random.pick(&self.lasting).name.clone()
    }

    /// Has a Sink be `paused` or `running`, and waits until it is.
    pub async fn set_state(&self, sink: &str, state: &str) {
        let resource = format!("Sink/{sink}");
        self.operated.namespace.patch(&resource, &json!({"spec": {"state": state}})).await;
        let is = |sink: &Value| sink["status"]["state"] == state;
        self.operated.namespace.seen(&resource, &format!("is {state}"), LONG, is).await;
    }

    /// Adds a Sink that has to take the rows that are there, and waits until it carries changes.
    pub async fn add_a_sink(&mut self, random: &mut Random) {
        self.guests += 1;
        let name = format!("guest-{}", self.guests);
        let format = *random.pick(&[Format::Json, Format::Avro]);
        let envelope = *random.pick(&[Envelope::Upsert, Envelope::Debezium]);
        let guest = Carried::new(&name, self.operated.scenario.topic(&name), format, envelope);
        self.operated.apply(&Manifests::default().with(guest.manifest.clone())).await;
        let carries = |sink: &Value| sink["status"]["state"] == "running";
        self.operated.namespace.seen(&format!("Sink/{name}"), "carries changes", LONG, carries).await;
        self.guest = Some(guest);
    }

    /// Takes away the Sink that has come in this round.
    pub async fn remove_the_guest(&mut self) {
        let Some(guest) = self.guest.take() else { return };
        let resource = format!("Sink/{}", guest.name);
        self.operated.namespace.delete(&resource).await;
        self.operated.namespace.gone(&resource, LONG).await;
        assert!(!self.operated.has_progress(&guest.name).await, "the record of {} goes with it", guest.name);
    }

    /// Whether there is one.
    pub fn has_a_guest(&self) -> bool {
        self.guest.is_some()
    }

    /// Waits until all Sinks have committed all that there is, and all resources say that they are ready.
    pub async fn is_well(&self) {
        self.operated.caught_up(SOURCE, self.lasting.len() + usize::from(self.guest.is_some())).await;
        for sink in self.lasting.iter().chain(&self.guest) {
            self.operated.ready(&format!("Sink/{}", sink.name)).await;
        }
        for resource in ["SourceConnector/shop", "KafkaConnection/events", "SchemaRegistryConnection/schemas"] {
            self.operated.ready(resource).await;
        }
    }

    /// Checks that every change stands in every topic once, in order per key. How many there are.
    pub async fn check(&mut self) -> usize {
        let sinks = || self.lasting.iter().chain(&self.guest);
        let formats: Vec<_> = sinks().map(|sink| (sink.topic.clone(), sink.format)).collect();
        let topics: Vec<_> = formats.iter().map(|(topic, format)| (topic.as_str(), *format)).collect();
        let mut read = self.follower.read(&topics).await;
        let notes = History::of(&self.operated.scenario.database).notes().await;
        let even = notes.iter().filter(|(id, _)| *id % 2 == 0).map(|(id, values)| (*id, values.clone())).collect();
        let guest = self.guest.as_ref().map(|guest| guest.topic.clone());
        for sink in self.lasting.iter_mut().chain(&mut self.guest) {
            let new = read.remove(&sink.topic).unwrap_or_default();
            let envelope = sink.envelope;
            sink.messages.extend(new.into_iter().map(|message| envelope.as_rows(message)));
            let expected = if sink.view == View::Whole { &notes } else { &even };
            history::check(expected, &sink.messages, guest.as_ref() == Some(&sink.topic));
        }
        notes.values().map(Vec::len).sum()
    }
}

impl Envelope {
    /// A message as one that holds the row, or nothing where it is deleted.
    fn as_rows(self, mut message: Message) -> Message {
        if self == Self::Debezium {
            message.value = message.field("after").clone();
        }
        message
    }
}

impl Carried {
    fn new(name: &str, topic: String, format: Format, envelope: Envelope) -> Self {
        let sink = Sink::new(name, TABLE, &topic).key(&["id"]).format(format).partitions(3);
        let sink = if envelope == Envelope::Debezium { sink.debezium() } else { sink };
        let mut manifest = Value::from(sink);
        let timeout = format!("{}s", TRANSACTION_TIMEOUT.as_secs());
        manifest["spec"]["kafka"]["commit"] = json!({"timeout": timeout});
        Self { name: name.to_owned(), topic, manifest, format, envelope, view: View::Whole, messages: Vec::new() }
    }

    /// With the rows that a query gives.
    fn by_query(mut self) -> Self {
        let query = format!("SELECT id, n FROM {TABLE} WHERE id % 2 = 0");
        self.manifest["spec"]["source"] = json!({"name": SOURCE, "query": query});
        self.view = View::EvenIds;
        self
    }

    /// As one of the tables of a pattern, whose topics are named so.
    fn by_pattern(mut self, template: &str) -> Self {
        self.manifest["spec"]["source"] = json!({"name": SOURCE, "tables": [format!("{TABLE}*")]});
        self.manifest["spec"]["key"] = json!({"primaryKey": true});
        self.manifest["spec"]["kafka"]["topic"]["name"] = json!(template);
        self
    }
}
