//! The watches that keep the stores.

use std::sync::Arc;

use afterbay_crds::names::ResourceName;
use futures::stream::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, PodStatus, Secret};
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use tokio::task::JoinSet;

use super::{Change, Object, Shelf, Stores};
use crate::cluster::labels;
use crate::cluster::triggers::Triggers;

/// An annotation of `kubectl` that repeats the whole resource.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Who watches.
#[derive(Clone)]
struct Watching {
    client: Client,
    stores: Arc<Stores>,
    triggers: Arc<Triggers>,
}

/// Keeps the stores of these namespaces (`None`: of all), and triggers what a change concerns, as long as the tasks live.
pub fn start(
    client: &Client,
    stores: &Arc<Stores>,
    triggers: &Arc<Triggers>,
    scopes: &[Option<String>],
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for scope in scopes {
        let watching = Watching { client: client.clone(), stores: Arc::clone(stores), triggers: Arc::clone(triggers) };
        tasks.spawn(watching.clone().guarded(scope.clone(), |stores| &stores.connections, Triggers::connection));
        tasks.spawn(watching.clone().guarded(scope.clone(), |stores| &stores.registries, Triggers::registry));
        tasks.spawn(watching.clone().guarded(scope.clone(), |stores| &stores.sources, Triggers::source));
        tasks.spawn(watching.clone().guarded(scope.clone(), |stores| &stores.sinks, Triggers::sink));
        tasks.spawn(watching.clone().owned(scope.clone(), |stores| &stores.config_maps, Triggers::owned));
        tasks.spawn(watching.clone().owned(scope.clone(), |stores| &stores.deployments, Triggers::deployment));
        tasks.spawn(watching.clone().owned(scope.clone(), |stores| &stores.budgets, Triggers::owned));
        tasks.spawn(watching.clone().owned(scope.clone(), |stores| &stores.jobs, Triggers::owned));
        tasks.spawn(watching.clone().pods(scope.clone()));
        tasks.spawn(watching.secrets(scope.clone()));
    }
    tasks
}

impl Watching {
    fn api<K>(&self, scope: Option<&String>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match scope {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The users' resources. One that this build cannot read, of another version's schema, keeps no other from being seen.
    async fn guarded<K: Object>(
        self,
        scope: Option<String>,
        shelf: fn(&Stores) -> &Shelf<K>,
        trigger: fn(&Triggers, &Stores, &Change<K>),
    ) {
        let api = self.api::<DeserializeGuard<K>>(scope.as_ref());
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        while let Some(event) = events.next().await {
            let kind = K::kind(&());
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    lost(&kind, &error);
                    continue;
                }
            };
            let shelf = shelf(&self.stores);
            let changes = match readable(event) {
                Ok(event) => shelf.take_in(&scope, event),
                Err(Unreadable::There(name)) => {
                    shelf.take_in_unreadable(&scope, name);
                    Vec::new()
                }
                Err(Unreadable::Gone(name)) => shelf.take_out_unreadable(&name).into_iter().collect(),
            };
            for change in &changes {
                trigger(&self.triggers, &self.stores, change);
            }
        }
    }

    /// What the operator has made.
    async fn owned<K: Object>(
        self,
        scope: Option<String>,
        shelf: fn(&Stores) -> &Shelf<K>,
        trigger: fn(&Triggers, &Stores, &Change<K>),
    ) {
        let events = watcher(self.api::<K>(scope.as_ref()), own()).default_backoff();
        let mut events = events.modify(trim).boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let changes = shelf(&self.stores).take_in(&scope, event);
                    for change in &changes {
                        trigger(&self.triggers, &self.stores, change);
                    }
                }
                Err(error) => lost(&K::kind(&()), &error),
            }
        }
    }

    async fn pods(self, scope: Option<String>) {
        let events = watcher(self.api::<Pod>(scope.as_ref()), own()).default_backoff();
        let mut events = events.modify(trim_pod).boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let changes = self.stores.pods.take_in(&scope, event);
                    for change in &changes {
                        self.triggers.pod(&self.stores, change);
                    }
                }
                Err(error) => lost("Pod", &error),
            }
        }
    }

    async fn secrets(self, scope: Option<String>) {
        let api = self.api::<PartialObjectMeta<Secret>>(scope.as_ref());
        let events = watcher(api, watcher::Config::default()).default_backoff();
        // An annotation may repeat the data.
        let mut events = events.modify(|secret| secret.annotations_mut().clear()).modify(trim).boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let changes = self.stores.secrets.shelf.take_in(&scope, event);
                    for change in &changes {
                        self.triggers.secret(&self.stores, change);
                    }
                }
                Err(error) => lost("Secret", &error),
            }
        }
    }
}

/// Of what there is, the operator's own.
fn own() -> watcher::Config {
    watcher::Config::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER))
}

fn trim(resource: &mut impl Resource) {
    resource.managed_fields_mut().clear();
    resource.annotations_mut().remove(LAST_APPLIED);
}

/// Of a pod only its status is of interest.
fn trim_pod(pod: &mut Pod) {
    trim(pod);
    pod.spec = None;
    if let Some(PodStatus { conditions, container_statuses, phase, pod_ip, reason, message, .. }) = pod.status.take() {
        let status =
            PodStatus { conditions, container_statuses, phase, pod_ip, reason, message, ..PodStatus::default() };
        pod.status = Some(status);
    }
}

/// A resource that cannot be read.
enum Unreadable {
    There(ResourceName),
    Gone(ResourceName),
}

/// The event, if its resource can be read.
fn readable<K: Resource<DynamicType = ()>>(event: Event<DeserializeGuard<K>>) -> Result<Event<K>, Unreadable> {
    let read = |resource: DeserializeGuard<K>| {
        let mut resource = resource.0.map_err(Box::new)?;
        trim(&mut resource);
        Ok(resource)
    };
    let there = |error: Box<InvalidObject>| {
        let name = name_of_unreadable(&error);
        let kind = K::kind(&());
        tracing::error!(
            "{kind} {name} cannot be read: {}; it is carried on as it was. What to do: upgrade the operator, or correct it",
            error.error
        );
        Unreadable::There(name)
    };
    Ok(match event {
        Event::Apply(resource) => Event::Apply(read(resource).map_err(there)?),
        Event::InitApply(resource) => Event::InitApply(read(resource).map_err(there)?),
        Event::Delete(resource) => {
            let gone = |error: Box<InvalidObject>| Unreadable::Gone(name_of_unreadable(&error));
            Event::Delete(read(resource).map_err(gone)?)
        }
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

fn name_of_unreadable(error: &InvalidObject) -> ResourceName {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    ResourceName::new(part(&error.metadata.namespace), part(&error.metadata.name))
}

/// A watch that breaks is begun again, after a pause that grows; what is known stays known.
fn lost(kind: &str, error: &watcher::Error) {
    // What was to be told since is forgotten: all is listed anew, as it has to be now and then.
    let is_old = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
    if is_old {
        tracing::debug!("the watch of {kind} is begun again: {error}");
    } else {
        tracing::warn!("the watch of {kind} broke, and is begun again: {error}");
    }
}
