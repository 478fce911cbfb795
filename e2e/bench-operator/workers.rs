//! What a kubelet and the workers would say.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use afterbay_crds::plan::Plan;
use afterbay_crds::report::{SinkReport, SinkState, SourceReport, WorkerReport};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// How often new pods are looked for.
const INTERVAL: Duration = Duration::from_millis(500);

/// Gives every worker's pod an address of this machine, and answers there, for ever.
pub async fn answer(client: Client, namespace: String) {
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
    let plans = Api::<ConfigMap>::namespaced(client, &namespace);
    let mut known = BTreeMap::new();
    loop {
        let found = pods.list(&ListParams::default().labels("app.kubernetes.io/component=worker")).await;
        for pod in found.map(|found| found.items).unwrap_or_default() {
            let name = pod.metadata.name.clone().expect("a pod has a name");
            if known.contains_key(&name) {
                continue;
            }
            let Some(report) = report(&plans, &pod).await else { continue };
            // Each pod has one of its own, also of those that come and go.
            let number = u16::try_from(known.len() + 1).expect("there are not so many pods");
            let [high, low] = number.to_be_bytes();
            let address = Ipv4Addr::new(127, 1, high, low);
            let listener = TcpListener::bind((address, 8080)).await.expect("every such address is this machine's");
            known.insert(name.clone(), tokio::spawn(serve(listener, report)));
            let status = json!({"status": {
                "phase": "Running", "podIP": address.to_string(), "podIPs": [{"ip": address.to_string()}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "worker", "ready": true, "restartCount": 0, "image": "none", "imageID": "none",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }],
            }});
            let patched = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
            patched.expect("the status of a pod can be written");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What the worker of a pod would say: all that its plan has runs.
async fn report(plans: &Api<ConfigMap>, pod: &Pod) -> Option<WorkerReport> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    let name = &volumes.iter().find(|volume| volume.name == "plan")?.config_map.as_ref()?.name;
    let document = plans.get(name).await.ok()?;
    let plan: Plan = serde_json::from_str(document.data?.get("plan.json")?).expect("a plan can be read");
    let sinks = plan.sinks.iter().map(|sink| SinkReport {
        name: sink.name.clone(),
        state: SinkState::Running,
        begun: true,
        ..SinkReport::default()
    });
    let source = SourceReport { connected: true, ..SourceReport::default() };
    Some(WorkerReport { worker: plan.worker.clone(), source, sinks: sinks.collect() })
}

async fn serve(listener: TcpListener, report: WorkerReport) {
    let body = serde_json::to_string(&report).expect("a report is JSON");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut request = [0; 4_096];
            // Whoever leaves before it is answered does not want to know.
            if stream.read(&mut request).await.is_ok() {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
    }
}
