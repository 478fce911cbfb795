//! The definitions of the four kinds, which are the whole cluster's.

use std::sync::Arc;
use std::time::Duration;

use afterbay_crds::api::{all_crds, crds_as_yaml};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::OnceCell;

use super::turn::Turn;
use super::{Kubectl, Namespace, client, kinds};
use crate::await_condition;

/// Brings the definitions, as they are now, into the cluster, once for all tests of a program. Releases of tests that run
/// side by side cannot each own them: they are installed with `crds.enabled: false`.
pub async fn definitions() {
    static APPLIED: OnceCell<()> = OnceCell::const_new();
    APPLIED.get_or_init(apply).await;
}

async fn apply() {
    let kubectl = Kubectl::new("default");
    kubectl.apply(&crds_as_yaml().expect("the definitions are YAML")).await;
    let names: Vec<_> = names().iter().map(|name| format!("crd/{name}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let deadline = format!("--timeout={}s", Duration::as_secs(&super::PATIENCE));
    kubectl.run(&[&["wait", "--for=condition=Established", &deadline], &names[..]].concat()).await;
}

fn names() -> Vec<String> {
    all_crds().into_iter().filter_map(|crd| crd.metadata.name).collect()
}

/// A cluster that has never seen the product: a test may install it as its users do, definitions and all. Those of the other
/// tests are back when this goes.
pub struct Unseen {
    /// No other test begins before they are back.
    _turn: Arc<Turn>,
}

impl Unseen {
    /// Takes the definitions away, and with them whatever is declared anywhere.
    ///
    /// So the test must be [alone](Namespace::alone), and the cluster the rig's own.
    pub async fn begin(namespace: &Namespace) -> Self {
        assert!(namespace.is_alone(), "a test that takes the definitions away must be alone: Namespace::alone");
        let is_given = std::env::var("AFTERBAY_E2E_CLUSTER").is_ok_and(|cluster| cluster == "given");
        assert!(
            !is_given,
            "the definitions of a cluster that is given, and all Sinks with them, are not for a test to delete"
        );
        let unseen = Self { _turn: namespace.turn() };
        take_away(&namespace.client, true).await;
        unseen
    }
}

/// Ends the definitions, or only those that are being deleted already, and waits until they have gone.
async fn take_away(client: &Client, all: bool) {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    await_condition("the definitions go", super::PATIENCE, async || {
        let mut are_gone = true;
        for name in names() {
            let Some(found) = definitions.get_opt(&name).await.ok()? else { continue };
            if found.metadata.deletion_timestamp.is_some() {
                release(client, &found.spec.names.kind).await;
            } else if all {
                let _ = definitions.delete(&name, &DeleteParams::default()).await;
            } else {
                continue;
            }
            are_gone = false;
        }
        are_gone.then_some(())
    })
    .await;
}

/// What is left of a kind, for instance of an earlier run of the tests, has no operator any more that would let it go.
async fn release(client: &Client, kind: &str) {
    let resource = kinds::api_resource(kind);
    let everywhere = Api::<DynamicObject>::all_with(client.clone(), &resource);
    let Ok(found) = everywhere.list(&ListParams::default()).await else { return };
    for object in found.items {
        let (Some(namespace), Some(name)) = (&object.metadata.namespace, &object.metadata.name) else { continue };
        let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let objects = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        let _ = objects.patch(name, &PatchParams::default(), &released).await;
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // The test's own runtime may be on its way out.
        let restorer = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                // One that is still going would take along what is applied to it now.
                take_away(&client().await, false).await;
                apply().await;
            });
        });
        if restorer.join().is_err() {
            // A panic here could hide why the test failed.
            eprintln!("the definitions do not come back: e2e/rig/kubernetes/rig fresh");
        }
    }
}
