//! Which of several operators works: the one that holds the Lease.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};

use super::labels::MANAGER;
use super::settings::LeaseSettings;

/// For how many seconds the Lease is valid; a leader that ended without a word is followed after that.
const DURATION_SECONDS: u64 = 15;

/// How many seconds before that it is renewed.
const GRACE_SECONDS: u64 = 5;

/// How long giving back the Lease may take: else the next leader waits until it is over.
const FAREWELL: Duration = Duration::from_secs(2);

/// How soon an API server that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// Waits until the API server answers. Who ended instead would be started again more and more seldom, and come back minutes after it.
pub async fn api_server_answers(client: &Client) {
    let mut is_told = false;
    while let Err(error) = client.apiserver_version().await {
        if matches!(error, kube::Error::Api(_)) {
            // It does; what it refuses is told by who needs it.
            return;
        }
        if !is_told {
            tracing::warn!("the API server does not answer, it is waited for: {error}");
            is_told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A candidate for the lead, or the leader.
pub struct Candidate(LeaseManager);

impl Candidate {
    /// Stands for the lead.
    pub async fn new(client: Client, lease: &LeaseSettings, identity: &str) -> Result<Self, LeaseManagerError> {
        let namespace = lease.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let manager = LeaseManagerBuilder::new(client, &lease.name)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .with_field_manager(format!("{MANAGER}-lease-{identity}"))
            .build();
        manager.await.map(Self)
    }

    /// Waits until it leads.
    pub async fn elected(&self) -> Result<(), LeaseManagerError> {
        while !self.0.changed().await? {}
        Ok(())
    }

    /// Keeps the lead; comes back when it is lost.
    pub async fn deposed(&self) -> Result<(), LeaseManagerError> {
        while self.0.changed().await? {}
        Ok(())
    }

    /// Gives the lead back: who looks at it next may take it at once.
    pub async fn resign(&self) {
        if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, self.0.release()).await {
            tracing::warn!("the Lease could not be given back: {error}");
        }
    }
}
