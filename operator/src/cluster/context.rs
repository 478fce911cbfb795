//! What the reconcilers share.

use std::path::PathBuf;
use std::sync::Arc;

use afterbay_crds::api::Sink;
use afterbay_crds::manifest::Manifests;
use afterbay_crds::names::ResourceName;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

use super::apply::Memory;
use super::board::Board;
use super::events::Events;
use super::handshake::Answers;
use super::metrics::Metrics;
use super::retire::{Recalled, Returned};
use super::scratch::Scratch;
use super::settings::Settings;
use super::source::Memories;
use super::stores::{Gathered, Stores, references};
use super::triggers::Queues;

/// What the reconcilers share.
pub struct Context {
    /// Asks the API server.
    pub client: Client,
    /// What is known of the cluster.
    pub stores: Arc<Stores>,
    /// What is found out.
    pub board: Arc<Board>,
    /// What is to be looked at.
    pub queues: Arc<Queues>,
    /// What is told of resources.
    pub events: Events,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What has been applied.
    pub applied: Memory,
    /// What is remembered of SourceConnectors, to ask other systems less often.
    pub memories: Memories,
    /// The Sinks that are deleted and have given their rights back.
    pub returned: Returned,
    /// What is known of SourceConnectors that the cluster does not tell.
    pub recalled: Recalled,
    /// Where the operator's own clients read secrets.
    pub scratch: Scratch,
    /// The connections that have answered.
    pub answers: Answers,
    /// The arguments.
    pub settings: Settings,
}

/// What keeps a reconciler from its work: tried again after 1 s, doubling up to a minute. What systems other than the API
/// server say is none of it: it goes to the board.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server does not answer, or refuses.
    #[error("cannot {action}: {error}")]
    Api {
        /// What was to be done.
        action: String,
        /// What it says.
        error: Box<kube::Error>,
    },
    /// A file of a secret cannot be written or removed.
    #[error("cannot write to {}: {error}; set --scratch-dir", path.display())]
    Scratch {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl Failure {
    /// The API server failed at this: `read Secret default/shop`.
    pub fn api(action: impl Into<String>, error: kube::Error) -> Self {
        Self::Api { action: action.into(), error: Box::new(error) }
    }

    /// Whether the API server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Api { error, .. } if matches!(&**error, kube::Error::Api(status) if status.code == 404))
    }

    /// Whether the API server has refused it, so that nothing came of it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Api { error, .. } if matches!(&**error, kube::Error::Api(status) if (400..500).contains(&status.code)))
    }

    /// Whether the API server refuses it as it is, as for a quota or a policy: to ask again soon does not help.
    pub fn is_denial(&self) -> bool {
        let is_passing = |code| matches!(code, 401 | 404 | 408 | 409 | 429);
        self.is_refusal()
            && !self.is_namespace_ending()
            && matches!(self, Self::Api { error, .. } if matches!(&**error, kube::Error::Api(status) if !is_passing(status.code)))
    }

    /// Whether the API server refuses it for the namespace, which is ending.
    pub fn is_namespace_ending(&self) -> bool {
        matches!(self, Self::Api { error, .. } if matches!(&**error, kube::Error::Api(status)
            if status.code == 403 && status.message.contains("is being terminated")))
    }
}

impl Context {
    /// The API of a kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// What concerns a SourceConnector, with the data of its Secrets as they are now.
    pub async fn gather(&self, source: &ResourceName) -> Result<Gathered, Failure> {
        self.stores.secrets.load(&self.client, &self.stores.secrets_for_source(source)).await?;
        Ok(self.stores.gather(source))
    }

    /// A Sink that may be going, with its connection and its registries, and with their Secrets as they are now.
    pub async fn gather_going(&self, sink: &Sink) -> Result<Manifests, Failure> {
        self.stores.secrets.load(&self.client, &self.stores.secrets_of_sink(sink)).await?;
        Ok(self.stores.gather_going(sink))
    }

    /// A KafkaConnection with its Secrets as they are now.
    pub async fn gather_connection(&self, name: &ResourceName) -> Result<Manifests, Failure> {
        if let Some(found) = self.stores.connections.get(name) {
            let secrets = references::secrets_of_connection(name, &found.spec);
            self.stores.secrets.load(&self.client, &secrets).await?;
        }
        Ok(self.stores.gather_connection(name))
    }

    /// A SchemaRegistryConnection with its Secrets as they are now.
    pub async fn gather_registry(&self, name: &ResourceName) -> Result<Manifests, Failure> {
        if let Some(found) = self.stores.registries.get(name) {
            let secrets = references::secrets_of_registry(name, &found.spec);
            self.stores.secrets.load(&self.client, &secrets).await?;
        }
        Ok(self.stores.gather_registry(name))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_denial_is_told_from_what_passes() {
        let check = |code, message: &str, expected| {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            let failure = Failure::api("create Job eu/a", kube::Error::Api(Box::new(status)));
            assert_eq!(failure.is_denial(), expected, "{code} {message}");
        };
        check(403, "exceeded quota: small", true);
        check(400, "admission webhook \"policy\" denied the request", true);
        check(403, "unable to create new content in namespace eu because it is being terminated", false);
        check(429, "too many requests", false);
        check(500, "etcd is away", false);
    }
}
