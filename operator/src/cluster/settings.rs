//! The arguments of `afterbay operator` as they are meant.

use std::net::SocketAddr;
use std::path::PathBuf;

use afterbay_crds::names::ResourceName;

use crate::cli::{LogFormat, OperatorArguments};

/// What is decided outside of the cluster's resources.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The installation; letters and digits.
    pub instance: String,
    /// The namespaces that are watched; none: all.
    pub namespaces: Vec<String>,
    /// What workers run from.
    pub worker: WorkerSettings,
    /// Where probes and metrics are served.
    pub listen: SocketAddr,
    /// The Lease by which one of several operators leads; none: this one does.
    pub lease: Option<LeaseSettings>,
    /// Where the operator's own clients read secrets.
    pub scratch_dir: PathBuf,
    /// Whether that is its own.
    pub owns_scratch: bool,
    /// Who it is in events and in the Lease.
    pub identity: String,
    /// Its own pod, if it runs in one.
    pub own_pod: Option<OwnPod>,
}

/// The pod that the operator runs in.
#[derive(Clone, Debug)]
pub struct OwnPod {
    /// Its name.
    pub name: ResourceName,
    /// Which of that name, if it was told: by it events of a pod are found.
    pub uid: Option<String>,
}

/// What workers run from.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The image.
    pub image: String,
    /// When it is pulled: `Always`, `IfNotPresent`, `Never`; none: as the API server has it.
    pub pull_policy: Option<String>,
    /// The Secrets by which it is pulled, in the workers' namespaces.
    pub pull_secrets: Vec<String>,
    /// Whether workers log in JSON.
    pub json_log: bool,
}

/// A Lease.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Its name.
    pub name: String,
    /// Its namespace; none: that of the pod, or of the kubeconfig's context.
    pub namespace: Option<String>,
}

impl Settings {
    /// The arguments as meant.
    pub fn new(arguments: OperatorArguments) -> Self {
        let mut namespaces = arguments.watch_namespaces;
        namespaces.retain(|namespace| !namespace.is_empty());
        namespaces.sort();
        namespaces.dedup();
        let own_pod = arguments.pod_namespace.as_ref().zip(arguments.pod_name.as_ref());
        let own_pod = own_pod.map(|(namespace, name)| OwnPod {
            name: ResourceName::new(namespace, name),
            uid: arguments.pod_uid.filter(|uid| !uid.is_empty()),
        });
        let identity = arguments.pod_name.unwrap_or_else(|| format!("afterbay-{}", std::process::id()));
        Self {
            instance: arguments.instance,
            namespaces,
            worker: WorkerSettings {
                image: arguments.worker_image,
                pull_policy: arguments.worker_image_pull_policy,
                pull_secrets: arguments.worker_image_pull_secrets,
                json_log: arguments.log_format == LogFormat::Json,
            },
            listen: arguments.listen,
            lease: (!arguments.no_leader_election).then(|| LeaseSettings {
                name: arguments.lease_name,
                namespace: arguments.lease_namespace.or(arguments.pod_namespace),
            }),
            owns_scratch: arguments.scratch_dir.is_some(),
            scratch_dir: arguments.scratch_dir.unwrap_or_else(std::env::temp_dir),
            identity,
            own_pod,
        }
    }

    /// What watches are of: each of the namespaces, or `None` for all.
    pub fn scopes(&self) -> Vec<Option<String>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces.iter().cloned().map(Some).collect()
    }
}
