//! Pods that a test runs itself, and what can happen to others.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, EvictParams, LogParams, PostParams};
use serde_json::{Value, json};

use super::{IMAGE, Namespace, PATIENCE};
use crate::await_condition;

/// A pod of the product's image that runs one command, within the restricted Pod Security Standard and with a
/// read-only root.
#[derive(Clone, Debug)]
pub struct PodRun {
    name: String,
    container: Value,
    volumes: Vec<Value>,
}

/// How the one container of a pod ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: i64,
    /// What it wrote, on standard output and standard error.
    pub log: String,
}

impl PodRun {
    /// Of the image, with `afterbay`'s arguments.
    pub fn new(name: &str, arguments: &[&str]) -> Self {
        let container = json!({
            "name": "main",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "args": arguments,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [],
        });
        Self { name: name.to_owned(), container, volumes: Vec::new() }
    }

    /// Another program than `afterbay`.
    #[must_use]
    pub fn program(mut self, path: &str) -> Self {
        self.container["command"] = json!([path]);
        self
    }

    /// Another image.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.container["image"] = json!(image);
        self
    }

    /// The entries of a Secret as files in a folder.
    #[must_use]
    pub fn secret(self, name: &str, folder: &str) -> Self {
        self.volume(json!({"name": name, "secret": {"secretName": name}}), name, folder)
    }

    /// A folder that the program may write in.
    #[must_use]
    pub fn scratch(self, folder: &str) -> Self {
        self.volume(json!({"name": "scratch", "emptyDir": {}}), "scratch", folder)
    }

    fn volume(mut self, volume: Value, name: &str, folder: &str) -> Self {
        self.volumes.push(volume);
        let mounts = self.container["volumeMounts"].as_array_mut().expect("the mounts are a list");
        mounts.push(json!({"name": name, "mountPath": folder}));
        self
    }

    /// Starts it, and again whenever it ends; gives it once it runs.
    pub async fn start(self, namespace: &Namespace) -> Pod {
        let name = self.make(namespace, "Always").await;
        let running = |pod: &Value| !pod["status"]["containerStatuses"][0]["state"]["running"].is_null();
        namespace.seen(&format!("Pod/{name}"), "runs", PATIENCE, running).await;
        namespace.typed(&name).await
    }

    async fn make(self, namespace: &Namespace, restart: &str) -> String {
        let name = self.name;
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": restart,
                "automountServiceAccountToken": false,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [self.container],
                "volumes": self.volumes,
            },
        });
        let pod: Pod = serde_json::from_value(pod).expect("this is a pod");
        let pods = namespace.api::<Pod>();
        pods.create(&PostParams::default(), &pod).await.unwrap_or_else(|error| panic!("pod {name}: {error}"));
        name
    }

    /// Runs it to its end.
    pub async fn run(self, namespace: &Namespace) -> Ended {
        let name = self.make(namespace, "Never").await;
        let ended = namespace
            .seen(&format!("Pod/{name}"), "comes to its end", PATIENCE, |pod| {
                matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
            })
            .await;
        let state = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
        let status = state["exitCode"].as_i64().unwrap_or_else(|| panic!("pod {name} has not run: {ended}"));
        Ended { status, log: namespace.log(&name).await }
    }
}

impl Namespace {
    /// What the containers of a pod have written so far.
    pub async fn log(&self, pod: &str) -> String {
        let log = self.api::<Pod>().logs(pod, &LogParams::default()).await;
        log.unwrap_or_else(|error| panic!("the log of pod {pod}: {error}"))
    }

    /// Takes a pod away as `kubectl delete --force --grace-period=0` does: the API server forgets it at once, while its
    /// processes may go on for a moment.
    pub async fn force_delete(&self, pod: &str) {
        let deleted = self.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await;
        deleted.unwrap_or_else(|error| panic!("pod {pod} cannot be deleted: {error}"));
    }

    /// Asks for a pod to be evicted, as a drain of its node does; says whether its PodDisruptionBudget lets it go now.
    pub async fn evict(&self, pod: &str) -> bool {
        self.api::<Pod>().evict(pod, &EvictParams::default()).await.is_ok()
    }

    /// The one pod with these labels that is ready.
    pub async fn ready_pod(&self, labels: &str) -> Pod {
        await_condition(&format!("a pod with {labels} is ready"), PATIENCE, async || {
            let [pod] = <[Pod; 1]>::try_from(self.pods(labels).await).ok()?;
            is_ready(&pod).then_some(pod)
        })
        .await
    }

    /// Sends a signal (`KILL`, `TERM` …) to the processes of a program in a pod, as something on its node would. Only where
    /// the test runs on the node.
    pub fn signal(&self, pod: &Pod, program: &str, signal: &str) -> usize {
        let processes = self.processes(pod, program);
        for pid in &processes {
            crate::processes::signal(*pid, signal);
        }
        processes.len()
    }

    /// The processes of a program in a pod: they are found by their group, which is named after the pod. Only where the test
    /// runs on the node.
    pub fn processes(&self, pod: &Pod, program: &str) -> Vec<u32> {
        let uid = pod.metadata.uid.as_deref().expect("a pod has a uid");
        let is_its = |pid: &u32| {
            let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let arguments = crate::processes::arguments(*pid);
            group.contains(uid) && arguments.first().is_some_and(|name| name.ends_with(program))
        };
        crate::processes::all().into_iter().filter(is_its).collect()
    }
}

/// Whether a pod says that it is ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}
