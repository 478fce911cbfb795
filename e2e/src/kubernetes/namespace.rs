//! A namespace of a test's own.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace as Object, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::turn::Turn;
use super::{Kubectl, client, diagnosis, kinds};
use crate::{Manifests, Scenario, await_condition};

/// A namespace that enforces the restricted Pod Security Standard. It goes with the test, and all that is in it; a test that
/// fails prints what happened there.
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// A client, for what the functions here do not do.
    pub client: Client,
    /// `kubectl` in it.
    pub kubectl: Kubectl,
    turn: Arc<Turn>,
}

impl Namespace {
    /// For a scenario, under whose name it is: so topics, slots and progress are named as without a cluster, and
    /// [`Scenario::manifests`] can be applied as they are.
    pub async fn of(scenario: &Scenario) -> Self {
        Self::create(&scenario.unique).await
    }

    /// Makes one under this name.
    pub async fn create(name: &str) -> Self {
        Self::make(name, Arc::new(Turn::with_others().await)).await
    }

    /// For a scenario, while no other test has a namespace: for a test that does something to the cluster itself.
    pub async fn alone(scenario: &Scenario) -> Self {
        Self::make(&scenario.unique, Arc::new(Turn::alone().await)).await
    }

    /// Another one of the same test.
    pub async fn another(&self, name: &str) -> Self {
        Self::make(name, Arc::clone(&self.turn)).await
    }

    /// The test's leave to use the cluster.
    pub(super) fn turn(&self) -> Arc<Turn> {
        Arc::clone(&self.turn)
    }

    /// Whether no other test runs.
    pub(super) fn is_alone(&self) -> bool {
        self.turn.is_alone()
    }

    async fn make(name: &str, turn: Arc<Turn>) -> Self {
        let client = client().await;
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let object = json!({"metadata": {"name": name, "labels": labels}});
        let object: Object = serde_json::from_value(object).expect("this is a namespace");
        let namespaces = Api::<Object>::all(client.clone());
        namespaces.create(&PostParams::default(), &object).await.expect("the namespace can be made");
        let namespace = Self { name: name.to_owned(), client, kubectl: Kubectl::new(name), turn };
        // Until it is there no pod is let in.
        namespace.seen("ServiceAccount/default", "comes", super::PATIENCE, |_| true).await;
        namespace
    }

    /// Applies manifests.
    pub async fn apply(&self, manifests: &Manifests) {
        self.kubectl.apply(&manifests.to_yaml()).await;
    }

    /// Objects of a type, in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    fn objects(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &kinds::api_resource(kind))
    }

    /// An object (`Kind/name`) as it is now, if it is there.
    pub async fn get(&self, resource: &str) -> Option<Value> {
        let (kind, name) = kinds::split(resource);
        let object = self.objects(kind).get_opt(name).await;
        let object = object.unwrap_or_else(|error| panic!("{resource} of {}: {error}", self.name));
        object.map(|object| serde_json::to_value(object).expect("an object is JSON"))
    }

    /// All objects of a kind that have these labels (`a=b,c=d`; empty: all), by name.
    pub async fn list(&self, kind: &str, labels: &str) -> Vec<Value> {
        let parameters = ListParams::default().labels(labels);
        let found = self.objects(kind).list(&parameters).await;
        let found = found.unwrap_or_else(|error| panic!("{kind} of {}: {error}", self.name));
        found.items.into_iter().map(|object| serde_json::to_value(object).expect("an object is JSON")).collect()
    }

    /// Waits until an object is as wanted, and gives it. `what` says what is wanted; an API server that is away is waited for.
    pub async fn seen(&self, resource: &str, what: &str, deadline: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let (kind, name) = kinds::split(resource);
        let objects = self.objects(kind);
        let mut last = None;
        let seen = crate::waiting::within(deadline, async || {
            if let Ok(object) = objects.get_opt(name).await {
                last = object.map(|object| serde_json::to_value(object).expect("an object is JSON"));
            }
            last.clone().filter(&wanted)
        });
        match seen.await {
            Some(object) => object,
            None => panic!("{resource} {what}: not within {deadline:?}; it is {}", last.unwrap_or_default()),
        }
    }

    /// Waits until a condition of an object has this status (`True`, `False`), for its present generation.
    pub async fn condition(&self, resource: &str, name: &str, status: &str, deadline: Duration) -> Value {
        let what = format!("has {name}={status}");
        let object = self.seen(resource, &what, deadline, |object| {
            let generation = &object["metadata"]["generation"];
            condition(object, name).is_some_and(|condition| {
                let observed = &condition["observedGeneration"];
                condition["status"] == status && (observed.is_null() || observed == generation)
            })
        });
        condition(&object.await, name).expect("it has just been seen").clone()
    }

    /// Waits until an object is gone.
    pub async fn gone(&self, resource: &str, deadline: Duration) {
        let (kind, name) = kinds::split(resource);
        let objects = self.objects(kind);
        await_condition(&format!("{resource} goes"), deadline, async || {
            matches!(objects.get_opt(name).await, Ok(None)).then_some(())
        })
        .await;
    }

    /// Asks for an object to be deleted, and does not wait for it.
    pub async fn delete(&self, resource: &str) {
        let (kind, name) = kinds::split(resource);
        let deleted = self.objects(kind).delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("{resource} cannot be deleted: {error}"));
    }

    /// Changes an object by a merge patch.
    pub async fn patch(&self, resource: &str, patch: &Value) {
        let (kind, name) = kinds::split(resource);
        let patched = self.objects(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.unwrap_or_else(|error| panic!("{resource} cannot be changed: {error}"));
    }

    /// Pods that have these labels and are not on their way out.
    pub async fn pods(&self, labels: &str) -> Vec<Pod> {
        let found = self.api::<Pod>().list(&ListParams::default().labels(labels)).await;
        let mut pods = found.unwrap_or_else(|error| panic!("pods of {}: {error}", self.name)).items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// An object that must be there, as this type.
    pub async fn typed<K>(&self, name: &str) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        self.api::<K>().get(name).await.unwrap_or_else(|error| panic!("{name} of {}: {error}", self.name))
    }
}

/// A condition of an object, by its type.
pub fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (name, failed) = (self.name.clone(), std::thread::panicking());
        // The test's own runtime may be on its way out.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| {
                runtime.block_on(async {
                    let Ok(client) = Client::try_default().await else { return };
                    if failed {
                        eprintln!("{}", diagnosis::of(&client, &name).await);
                    }
                    remove(&client, &name).await;
                });
            })
        });
        // What cannot be cleaned up must not hide why the test failed.
        let _ = cleaner.join();
    }
}

/// Deletes a namespace at once, and does not wait: nobody is there any more who would have to take leave.
async fn remove(client: &Client, name: &str) {
    let namespaces = Api::<Object>::all(client.clone());
    let _ = namespaces.delete(name, &DeleteParams::default()).await;
    let pods = Api::<Pod>::namespaced(client.clone(), name);
    let _ = pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await;
    for kind in kinds::OURS {
        let objects = Api::<DynamicObject>::namespaced_with(client.clone(), name, &kinds::api_resource(kind));
        let Ok(found) = objects.list(&ListParams::default()).await else { continue };
        for object in found.items {
            // The operator that would take it away may have gone before.
            let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let name = object.metadata.name.unwrap_or_default();
            let _ = objects.patch(&name, &PatchParams::default(), &released).await;
        }
    }
}
