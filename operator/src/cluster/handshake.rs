//! The reconcilers of KafkaConnections and SchemaRegistryConnections: whether they answer, and that they stay as long as
//! Sinks refer to them.

use std::collections::BTreeSet;
use std::time::Duration;

use afterbay_clients::kafka::admin::Admin;
use afterbay_clients::registry::RegistryClient;
use afterbay_crds::api::{ConnectionStatus, KafkaConnection, SchemaRegistryConnection, Sink};
use afterbay_crds::manifest::{Kind, Manifests};
use afterbay_crds::names::ResourceName;
use afterbay_crds::plan::KafkaConnectionPlan;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::{ResolveSettings, handshake};
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;

use super::apply::Object;
use super::context::{Context, Failure};
use super::finalize::{self, is_going};
use super::labels::IN_USE_FINALIZER;
use super::queue::Next;
use super::status::connection::{ConnectionFacts, connection};
use super::status::{invalid, ready_of};
use super::stores::{Key, name_of};
use crate::dereference;

/// How long a system may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Looks at a KafkaConnection.
pub async fn kafka_connection(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let Some(resource) = context.stores.connections.get(name) else {
        answered(context, Kind::KafkaConnection, name, &Key::Connection(name.clone()), None);
        return Ok(Next::Never);
    };
    let key = Key::Connection(name.clone());
    let manifests = context.gather_connection(name).await?;
    let facts = facts(context, Kind::KafkaConnection, name, manifests, async |manifests, settings| {
        let Some(found) = handshake::kafka(manifests, settings, name) else { return Ok(Ok(())) };
        let folder = context.scratch.folder()?;
        let settings = ResolveSettings { secrets_dir: folder.path().to_owned(), ..settings.clone() };
        let found = handshake::kafka(manifests, &settings, name).unwrap_or(found);
        folder.keep(&found.secrets)?;
        for connection in &found.connection {
            if let Err(problem) = ask_brokers(connection).await {
                return Ok(Err(problem));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    let held = resource.status.clone();
    conclude(context, &*resource, Kind::KafkaConnection, &key, held, facts).await
}

/// Looks at a SchemaRegistryConnection.
pub async fn registry(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    let Some(resource) = context.stores.registries.get(name) else {
        answered(context, Kind::SchemaRegistryConnection, name, &Key::Registry(name.clone()), None);
        return Ok(Next::Never);
    };
    let key = Key::Registry(name.clone());
    let manifests = context.gather_registry(name).await?;
    let facts = facts(context, Kind::SchemaRegistryConnection, name, manifests, async |manifests, settings| {
        let folder = context.scratch.folder()?;
        let settings = ResolveSettings { secrets_dir: folder.path().to_owned(), ..settings.clone() };
        let Some(found) = handshake::registry(manifests, &settings, name) else { return Ok(Ok(())) };
        folder.keep(&found.secrets)?;
        let asked = async {
            let client = RegistryClient::new(&found.connection).map_err(|error| error.problem())?;
            client.check().await.map_err(|error| error.problem())
        };
        let late = || late("the schema registry", Reason::RegistryUnreachable);
        Ok(tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| Err(late())))
    })
    .await?;
    let held = resource.status.clone();
    conclude(context, &*resource, Kind::SchemaRegistryConnection, &key, held, facts).await
}

async fn ask_brokers(connection: &KafkaConnectionPlan) -> Result<(), Problem> {
    let asked = async {
        let admin = Admin::new(connection).map_err(|error| error.problem())?;
        admin.check_connection().await.map_err(|error| error.problem())
    };
    let late = || late("the brokers", Reason::KafkaUnreachable);
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| Err(late()))
}

fn late(who: &str, reason: Reason) -> Problem {
    let message = format!("{who} did not answer within {} s", DEADLINE.as_secs());
    reason.problem(message, "check the network, and whether it runs")
}

/// What is wrong with it; what it waits for; or else whether it answers.
async fn facts(
    context: &Context,
    kind: Kind,
    name: &ResourceName,
    mut manifests: Manifests,
    ask: impl AsyncFnOnce(&Manifests, &ResolveSettings) -> Result<Result<(), Problem>, Failure>,
) -> Result<ConnectionFacts, Failure> {
    let place = super::stores::in_cluster(kind, name);
    let missing: BTreeSet<_> = super::stores::missing_secrets(&context.stores, kind, name).into_iter().collect();
    if let Some(first) = missing.first() {
        return Ok(ConnectionFacts { waiting_for: Some(format!("Secret {first}")), ..ConnectionFacts::default() });
    }
    let mut wrong = dereference::judge(&mut manifests, &context.settings.instance);
    wrong.retain(|error| error.place == place);
    if !wrong.is_empty() {
        return Ok(ConnectionFacts { invalid: Some(invalid(&wrong)), ..ConnectionFacts::default() });
    }
    let settings = ResolveSettings {
        instance: context.settings.instance.clone(),
        secrets_dir: context.settings.scratch_dir.clone(),
        listen: String::new(),
        begun: BTreeSet::new(),
    };
    let answer = ask(&manifests, &settings).await?;
    Ok(ConnectionFacts { answer: Some(answer), ..ConnectionFacts::default() })
}

/// Puts it on the board, for the Sinks that use it.
fn answered(context: &Context, kind: Kind, name: &ResourceName, key: &Key, answer: Option<Result<(), Problem>>) {
    if context.board.set_handshake(kind, name, answer) {
        context.stores.sinks.names_by(key).iter().for_each(|sink| context.queues.sinks.add(sink));
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
    let users: Vec<Arc<Sink>> = context.stores.sinks.by(key);
    let users: Vec<_> = users.iter().map(|sink| name_of(&**sink)).collect();
    if is_going(resource) {
        if users.is_empty() || finalize::is_abandoned(resource) {
            context.release(resource, IN_USE_FINALIZER).await?;
            return Ok(Next::Never);
        }
        facts.deletion = Some(format!("it is deleted when nothing uses it: {} does", finalize::in_words("Sink", &users)));
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
        Some(Ok(())) => Next::Settled,
        None => Next::Never,
    })
}

/// So that both have the bound that is asked for here.
const _: fn() = || {
    fn is_object<K: Object>() {}
    is_object::<KafkaConnection>();
    is_object::<SchemaRegistryConnection>();
};
