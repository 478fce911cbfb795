//! Secrets: of all of them what they are called, of those that somebody names their data.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use afterbay_crds::manifest::{SecretData, SecretValue};
use afterbay_crds::names::ResourceName;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use secrecy::SecretSlice;

use super::shelf::Shelf;
use crate::cluster::context::Failure;

/// The Secrets of all namespaces that are watched.
///
/// Their data is read when somebody first asks for it, and again when a Secret has changed since. So what nobody names is
/// never held. What a Secret held that has gone is kept as long as somebody names it: with a namespace the Secrets go first, and
/// what goes with the resources is taken away after that.
pub struct Vault {
    /// What is known of all.
    pub shelf: Shelf<PartialObjectMeta<Secret>>,
    data: Mutex<HashMap<ResourceName, Kept>>,
}

struct Kept {
    /// The Secret's `resourceVersion` when its data was asked for.
    version: Option<String>,
    data: Arc<SecretData>,
}

impl Vault {
    /// An empty one.
    pub fn new(scopes: &[Option<String>]) -> Self {
        Self { shelf: Shelf::new(scopes, super::keys_of_owned), data: Mutex::default() }
    }

    /// Whether there is a Secret of this name.
    pub fn has(&self, name: &ResourceName) -> bool {
        self.shelf.get(name).is_some()
    }

    /// The data of a Secret, as it was when it was last loaded; none where there is no such Secret.
    pub fn get(&self, name: &ResourceName) -> Option<Arc<SecretData>> {
        self.shelf.get(name)?;
        self.lock().get(name).map(|kept| Arc::clone(&kept.data))
    }

    /// As [`Vault::get`]; of a Secret that has gone what was loaded last.
    pub fn last(&self, name: &ResourceName) -> Option<Arc<SecretData>> {
        self.lock().get(name).map(|kept| Arc::clone(&kept.data))
    }

    /// Reads the data of those that have changed since they were read last. One that is not there is no failure.
    pub async fn load(&self, client: &Client, names: &[ResourceName]) -> Result<(), Failure> {
        for name in names {
            let Some(known) = self.shelf.get(name) else { continue };
            let version = known.metadata.resource_version.clone();
            if self.lock().get(name).is_some_and(|kept| kept.version == version) {
                continue;
            }
            let api = Api::<Secret>::namespaced(client.clone(), &name.namespace);
            let found = api.get_opt(&name.name).await;
            let found = found.map_err(|error| Failure::api(format!("read Secret {name}"), error))?;
            if let Some(secret) = found {
                self.lock().insert(name.clone(), Kept { version, data: Arc::new(data(secret)) });
            }
        }
        Ok(())
    }

    /// Forgets the data of a Secret that nobody names any more.
    pub fn forget(&self, name: &ResourceName) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceName, Kept>> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn data(secret: Secret) -> SecretData {
    let entries = secret.data.unwrap_or_default().into_iter();
    entries.map(|(key, value)| (key, SecretValue { section: "data", bytes: SecretSlice::from(value.0) })).collect()
}
