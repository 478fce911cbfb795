//! The reconcilers of KafkaConnections and SchemaRegistryConnections: whether they answer, and that they stay as long as
//! Sinks refer to them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use afterbay_clients::kafka::admin::Admin;
use afterbay_clients::registry::RegistryClient;
use afterbay_crds::api::{ConnectionStatus, Sink};
use afterbay_crds::manifest::{Kind, Manifests};
use afterbay_crds::names::ResourceName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{ResolveSettings, handshake};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;

use super::context::{Context, Failure};
use super::finalize::{self, is_going};
use super::labels::IN_USE_FINALIZER;
use super::queue::Next;
use super::scratch::Folder;
use super::status::connection::{ConnectionFacts, Provided, connection, holds};
use super::status::facet::{Facet, ends_by_itself, facet};
use super::status::{invalid, ready_of};
use super::stores::{Key, Object, in_cluster, missing_secrets, name_of, references};
use crate::dereference;

/// What a system says.
type Answer = Result<(), Problem>;

/// How soon it is looked again whether what could not be provided before can be now.
const LOOK: Duration = Duration::from_secs(5);

/// How long a system may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// For how long a good answer is not asked for again, whoever is new that uses the connection.
const GOOD_FOR: Duration = Duration::from_mins(1);

/// The same where a worker does not get an answer.
const DOUBTED_AFTER: Duration = Duration::from_secs(15);

/// The connections that have answered, as they were.
#[derive(Default)]
pub struct Answers(Mutex<Answered>);

/// By kind and name.
type Answered = HashMap<(&'static str, ResourceName), Good>;

/// A good answer.
struct Good {
    /// As what it was given.
    version: Version,
    at: Instant,
    lasts: Duration,
}

/// Which `spec` it is, and which versions of its Secrets.
type Version = (Option<String>, Option<i64>, Vec<Option<String>>);

impl Answers {
    fn is_good(&self, kind: Kind, name: &ResourceName, version: &Version) -> bool {
        let all = self.lock();
        let known = all.get(&(kind.as_str(), name.clone()));
        known.is_some_and(|known| known.version == *version && known.at.elapsed() < known.lasts)
    }

    /// Somebody does not get an answer; how long it still is good.
    fn doubt(&self, kind: Kind, name: &ResourceName) -> Duration {
        let mut all = self.lock();
        let Some(known) = all.get_mut(&(kind.as_str(), name.clone())) else { return Duration::ZERO };
        known.lasts = DOUBTED_AFTER;
        DOUBTED_AFTER.saturating_sub(known.at.elapsed())
    }

    /// The moment of the first good answer counts: it is asked anew after it, however often it is looked at.
    fn keep(&self, kind: Kind, name: &ResourceName, version: Version, answer: &Answer) {
        if self.is_good(kind, name, &version) {
            return;
        }
        let mut all = self.lock();
        let key = (kind.as_str(), name.clone());
        match answer {
            Ok(()) => all.insert(key, Good { version, at: Instant::now(), lasts: GOOD_FOR }),
            Err(_) => all.remove(&key),
        };
    }

    fn forget(&self, kind: Kind, name: &ResourceName) {
        self.lock().remove(&(kind.as_str(), name.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(context: &Context, resource: &impl Resource, secrets: &[ResourceName]) -> Version {
    let of_secret = |secret| context.stores.secrets.shelf.get(secret)?.metadata.resource_version.clone();
    let meta = resource.meta();
    (meta.uid.clone(), meta.generation, secrets.iter().map(of_secret).collect())
}

/// Looks at a KafkaConnection.
pub async fn kafka_connection(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let (kind, key) = (Kind::KafkaConnection, Key::Connection(name.clone()));
    let Some(resource) = context.stores.connections.get(name) else {
        answered(context, kind, name, &key, None);
        context.answers.forget(kind, name);
        return Ok(Next::Never);
    };
    let mut manifests = context.gather_connection(name).await?;
    let mut facts = if let Some(facts) = judge(context, kind, name, &mut manifests) {
        facts
    } else {
        let version = version(context, &*resource, &references::secrets_of_connection(name, &resource.spec));
        let is_known = context.answers.is_good(kind, name, &version);
        let answer = if is_known { Ok(()) } else { ask_brokers(context, &manifests, name).await? };
        context.answers.keep(kind, name, version, &answer);
        ConnectionFacts { answer: Some(answer), ..Default::default() }
    };
    facts.provided = provided(context, name);
    let held = resource.status.clone();
    conclude(context, &*resource, kind, &key, held, facts).await
}

/// Looks at a SchemaRegistryConnection.
pub async fn registry(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let (kind, key) = (Kind::SchemaRegistryConnection, Key::Registry(name.clone()));
    let Some(resource) = context.stores.registries.get(name) else {
        answered(context, kind, name, &key, None);
        context.answers.forget(kind, name);
        return Ok(Next::Never);
    };
    let mut manifests = context.gather_registry(name).await?;
    let facts = if let Some(facts) = judge(context, kind, name, &mut manifests) {
        facts
    } else {
        let version = version(context, &*resource, &references::secrets_of_registry(name, &resource.spec));
        let is_known = context.answers.is_good(kind, name, &version);
        let answer = if is_known { Ok(()) } else { ask_registry(context, &manifests, name).await? };
        context.answers.keep(kind, name, version, &answer);
        ConnectionFacts { answer: Some(answer), ..Default::default() }
    };
    let held = resource.status.clone();
    conclude(context, &*resource, kind, &key, held, facts).await
}

/// A Sink has come to carry, or to stand still for this reason: who carries knows before who asks now and then, so what does not fit
/// to that is asked again.
pub fn doubt(context: &Context, sink: &Sink, stands_still: Option<&str>) {
    let name = name_of(sink);
    let queues = &context.queues;
    let connection = (Kind::KafkaConnection, name.sibling(&sink.spec.kafka.connection), &queues.connections);
    let registries = references::registries_of_sink(&name, &sink.spec).into_iter();
    let registries = registries.map(|name| (Kind::SchemaRegistryConnection, name, &queues.registries));
    for (kind, name, queue) in registries.chain([connection]) {
        let said = context.board.handshake(kind, &name);
        let about = if kind == Kind::KafkaConnection { Facet::Connection } else { Facet::Schema };
        match (said, stands_still) {
            (Some(Ok(())), Some(reason)) if facet(reason) == about && ends_by_itself(reason) => {
                queue.add_after(&name, context.answers.doubt(kind, &name));
            }
            (Some(Err(_)), None) => queue.add(&name),
            _ => {}
        }
    }
}

/// What came of providing with a connection what its Sinks need, as far as it has been tried since the operator began.
fn provided(context: &Context, name: &ResourceName) -> Provided {
    let trouble = context.board.trouble(name);
    let sinks = context.stores.sinks.by(&Key::Connection(name.clone()));
    let sources: BTreeSet<_> = sinks.iter().map(|sink| name.sibling(&sink.spec.source.name)).collect();
    let mut there = sources.iter().filter(|source| context.stores.sources.get(source).is_some());
    if trouble.is_some() || there.all(|source| context.board.source(source).facts.is_some()) {
        return Provided::Known(trouble);
    }
    Provided::Unknown
}

/// Whether the brokers answer: the workers, and who administers them.
async fn ask_brokers(context: &Context, manifests: &Manifests, name: &ResourceName) -> Result<Answer, Failure> {
    let folder = context.scratch.folder()?;
    let Some(found) = handshake::kafka(manifests, &settings(context, &folder), name) else { return Ok(Ok(())) };
    folder.keep(&found.secrets)?;
    for connection in &found.connection {
        let asked = async {
            let admin = Admin::new(connection).map_err(|error| error.problem())?;
            admin.check_connection().await.map_err(|error| error.problem())
        };
        let late = |_| Err(late("the brokers", Reason::KafkaUnreachable));
        let answer = tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(late);
        if answer.is_err() {
            return Ok(answer);
        }
    }
    Ok(Ok(()))
}

async fn ask_registry(context: &Context, manifests: &Manifests, name: &ResourceName) -> Result<Answer, Failure> {
    let folder = context.scratch.folder()?;
    let Some(found) = handshake::registry(manifests, &settings(context, &folder), name) else { return Ok(Ok(())) };
    folder.keep(&found.secrets)?;
    let asked = async {
        let client = RegistryClient::new(&found.connection).map_err(|error| error.problem())?;
        client.check().await.map_err(|error| error.problem())
    };
    let late = |_| Err(late("the schema registry", Reason::RegistryUnreachable));
    Ok(tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(late))
}

fn settings(context: &Context, folder: &Folder) -> ResolveSettings {
    ResolveSettings {
        instance: context.settings.instance.clone(),
        secrets_dir: folder.path().to_owned(),
        listen: String::new(),
        begun: BTreeSet::new(),
    }
}

fn late(who: &str, reason: Reason) -> Problem {
    let message = format!("{who} did not answer within {} s", DEADLINE.as_secs());
    reason.problem(message, "check the network, and whether it runs")
}

/// What is wrong with it, or what it waits for, before anybody is asked.
fn judge(context: &Context, kind: Kind, name: &ResourceName, manifests: &mut Manifests) -> Option<ConnectionFacts> {
    if let Some(secret) = missing_secrets(&context.stores, kind, name).first() {
        return Some(ConnectionFacts { waiting_for: Some(format!("Secret {secret}")), ..Default::default() });
    }
    let place = in_cluster(kind, name);
    let mut wrong = dereference::judge(manifests, &context.settings.instance);
    wrong.retain(|error| error.place == place);
    let invalid = (!wrong.is_empty()).then(|| invalid(&wrong))?;
    Some(ConnectionFacts { invalid: Some(invalid), ..Default::default() })
}

/// Puts it on the board, for the Sinks that use it.
fn answered(context: &Context, kind: Kind, name: &ResourceName, key: &Key, answer: Option<Result<(), Problem>>) {
    if context.board.set_handshake(kind, name, answer) {
        for sink in context.stores.sinks.names_by(key) {
            context.queues.sinks.add(&sink);
        }
    }
}

/// Its finalizer and its status.
async fn conclude<K: Object>(
    context: &Context,
    resource: &K,
    kind: Kind,
    key: &Key,
    held: Option<ConnectionStatus>,
    mut facts: ConnectionFacts,
) -> Result<Next, Failure> {
    let name = name_of(resource);
    answered(context, kind, &name, key, facts.on_board());
    let users = context.stores.sinks.names_by(key);
    if is_going(resource) {
        if users.is_empty() || finalize::is_abandoned(resource) {
            context.release(resource, IN_USE_FINALIZER).await?;
            return Ok(Next::Never);
        }
        facts.deletion =
            Some(format!("it is deleted when nothing uses it: {} does", finalize::in_words("Sink", &users)));
    } else if !users.is_empty() {
        context.hold(resource, IN_USE_FINALIZER).await?;
    } else {
        context.release(resource, IN_USE_FINALIZER).await?;
    }
    let before = held.clone().unwrap_or_default();
    let status = connection(&before, resource.meta().generation, &facts, Timestamp::now());
    if context.apply_status(resource, held.as_ref(), &status).await? {
        context.tell_of_ready(resource, ready_of(&before.conditions), ready_of(&status.conditions)).await;
    }
    Ok(match &facts.answer {
        Some(Err(_)) => Next::Unanswered,
        // What it waits for is told only where it is a problem.
        Some(Ok(())) if facts.provided == Provided::Unknown && holds(&before, resource.meta().generation) => {
            Next::After(LOOK)
        }
        Some(Ok(())) => Next::Settled,
        None => Next::Never,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_doubted_is_good_for_a_shorter_time() {
        let (kind, name) = (Kind::KafkaConnection, ResourceName::new("default", "events"));
        let answers = Answers::default();
        let version = || (Some("uid".to_owned()), Some(1), Vec::new());
        assert_eq!(answers.doubt(kind, &name), Duration::ZERO, "there is none");
        answers.keep(kind, &name, version(), &Ok(()));
        let left = answers.doubt(kind, &name);
        assert!(left > Duration::ZERO && left <= DOUBTED_AFTER, "{left:?}");
        assert!(answers.is_good(kind, &name, &version()));
        let pass = |time| answers.lock().values_mut().for_each(|good| good.at -= time);
        pass(DOUBTED_AFTER);
        assert_eq!(answers.doubt(kind, &name), Duration::ZERO);
        assert!(!answers.is_good(kind, &name, &version()));
        answers.keep(kind, &name, version(), &Ok(()));
        pass(DOUBTED_AFTER);
        assert!(answers.is_good(kind, &name, &version()), "the doubt is over");
    }
}
