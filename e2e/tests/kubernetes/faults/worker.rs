//! A worker's pod is taken away, its process killed, its memory too small.

use afterbay_e2e::await_condition;
use afterbay_e2e::kubernetes::carrying::SOURCE;
use afterbay_e2e::kubernetes::{Carrying, LONG, Operated};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::process::Command;

#[tokio::test]
async fn a_pod_is_deleted_by_force() {
    let carrying = Carrying::of(Operated::begin("worker-deleted").await).await;
    let faults = async {
        for _ in 0..2 {
            let deleted = carrying.operated.worker(SOURCE).await.metadata;
            carrying.operated.namespace.force_delete(deleted.name.as_deref().expect("a pod has a name")).await;
            await_condition("another pod comes", LONG, async || {
                let next = carrying.operated.worker_uid(SOURCE).await;
                (Some(&next) != deleted.uid.as_ref()).then_some(())
            })
            .await;
            carrying.goes_on().await;
        }
    };
    carrying.under_writes(faults).await;
    carrying.check().await;
}

#[tokio::test]
async fn a_process_is_killed_and_the_next_one_hangs() {
    let carrying = Carrying::of(Operated::begin("worker-killed").await).await;
    let pod = carrying.operated.worker(SOURCE).await;
    let faults = async {
        for times in 1..=2 {
            assert_eq!(carrying.operated.namespace.signal(&pod, "sink-runtime", "KILL"), 1, "its one process");
            container(&carrying.operated, &pod, "was started again", |container| container.restart_count >= times)
                .await;
            carrying.goes_on().await;
        }
        // It answers nobody, and is asked in vain whether it lives.
        assert_eq!(carrying.operated.namespace.signal(&pod, "sink-runtime", "STOP"), 1, "its one process");
        container(&carrying.operated, &pod, "was started again", |container| container.restart_count >= 3).await;
        carrying.goes_on().await;
    };
    carrying.under_writes(faults).await;
    assert_eq!(carrying.operated.worker_uid(SOURCE).await, pod.metadata.uid.expect("a pod has a uid"), "the same pod");
    carrying.check().await;
}

#[tokio::test]
async fn its_memory_is_used_up() {
    let carrying = Carrying::of(Operated::begin("worker-starved").await).await;
    let pod = carrying.operated.worker(SOURCE).await;
    let faults = async {
        use_up_memory(&carrying.operated, &pod).await;
        // It is started again at once; the second time the kubelet waits, so that who looks sees it.
        container(&carrying.operated, &pod, "was started again", |container| {
            container.restart_count >= 1 && container.state.as_ref().is_some_and(|state| state.running.is_some())
        })
        .await;
        use_up_memory(&carrying.operated, &pod).await;
        container(&carrying.operated, &pod, "was killed for its memory", |container| {
            let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let is_again =
                container.restart_count >= 2 || container.state.as_ref().is_some_and(|it| it.waiting.is_some());
            is_again && ended.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled"))
        })
        .await;
        carrying.goes_on().await;
    };
    carrying.under_writes(faults).await;
    let told = carrying.operated.event("SourceConnector/shop", "WorkerExited").await;
    assert!(told.contains("OOMKilled") && told.contains("give it more memory in spec.worker.resources"), "{told}");
    carrying.operated.ready("Sink/ledger").await;
    carrying.check().await;
}

/// Fills the memory that a pod's container may use, from within its group of processes, until the kernel ends who is in it: first
/// the worker, which it is told to prefer.
async fn use_up_memory(operated: &Operated, pod: &Pod) {
    // A container runs before its program does.
    let worker = await_condition("the worker runs", LONG, async || {
        let [worker] = operated.namespace.processes(pod, "sink-runtime")[..] else { return None };
        Some(worker)
    })
    .await;
    let groups = std::fs::read_to_string(format!("/proc/{worker}/cgroup")).expect("the worker has a group");
    let of_memory = groups.lines().find_map(|line| Some(("/memory", line.split_once(":memory:")?.1)));
    let of_all = || groups.lines().find_map(|line| Some(("", line.strip_prefix("0::")?)));
    let (tree, group) = of_memory.or_else(of_all).expect("a group limits memory");
    let fill = format!("echo $$ >/sys/fs/cgroup{tree}{group}/cgroup.procs && exec tail /dev/zero");
    let ended = Command::new("sh").args(["-c", &fill]).kill_on_drop(true).status().await;
    let ended = ended.expect("a shell can be started");
    assert!(!ended.success(), "there is a limit");
}

/// Waits until the one container of a pod is as wanted.
async fn container(operated: &Operated, pod: &Pod, what: &str, wanted: impl Fn(&ContainerStatus) -> bool) {
    let name = pod.metadata.name.as_deref().expect("a pod has a name");
    await_condition(&format!("the container of pod {name} {what}"), LONG, async || {
        let pod: Pod = operated.namespace.typed(name).await;
        let status = pod.status?.container_statuses?.into_iter().next()?;
        wanted(&status).then_some(())
    })
    .await;
}
