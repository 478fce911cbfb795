//! A node is lost for longer than the cluster waits for it, and comes back.

use std::time::{Duration, Instant};

use afterbay_e2e::kubernetes::carrying::{self, SOURCE};
use afterbay_e2e::kubernetes::{AnotherNode, Carrying, Component, LONG, Operated, labels};
use afterbay_e2e::{Format, Manifests, Sink, await_condition};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::sleep;

/// For how long it is looked whether a pod is made.
const LOOK: Duration = Duration::from_secs(15);

/// Whether a pod waits for a node.
fn is_pending(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending")
}

/// Nobody has to do anything for another pod to be made: here there is no other node for it. What changes meanwhile has to wait for the
/// lost one, as docs/kubernetes.md says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_worker_is_made_again_and_what_changes_waits() {
    let carrying = Carrying::of(Operated::alone("node-away").await).await;
    let (operated, namespace) = (&carrying.operated, &carrying.operated.namespace);
    let scenario = &operated.scenario;
    scenario.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)").await;
    let topic = scenario.topic("late");
    let late = Manifests::default().with(Sink::new("late", "public.late", &topic).key(&["id"]));
    let lost = operated.worker(SOURCE).await.metadata.name.expect("a pod has a name");
    let _other = AnotherNode::new(namespace).await;
    let kubelet = Component::new(namespace, "kubelet");
    let outage = async {
        kubelet.pause();
        let begun = Instant::now();
        await_condition("another pod is made", LONG, async || {
            let [next] = &namespace.pods(&labels(SOURCE)).await[..] else { return None };
            (next.metadata.name.as_ref() != Some(&lost) && is_pending(next)).then_some(())
        })
        .await;
        eprintln!("long: another pod of the worker is made after {:.0?}", begun.elapsed());
        namespace.apply(&late).await;
        await_condition("the pod with the former plan goes", LONG, async || {
            namespace.pods(&labels(SOURCE)).await.is_empty().then_some(())
        })
        .await;
        let until = Instant::now() + LOOK;
        while Instant::now() < until {
            assert!(namespace.pods(&labels(SOURCE)).await.is_empty(), "none is made while the lost one is there");
            sleep(Duration::from_secs(1)).await;
        }
        assert!(
            namespace.get(&format!("Pod/{lost}")).await.is_some(),
            "nobody has told that its node is gone for good"
        );
        kubelet.resume();
        operated.ready("Sink/late").await;
        operated.ready("Sink/ledger").await;
    };
    carrying.under_writes(outage).await;
    operated.caught_up(SOURCE, 2).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
    carrying::check(scenario, &carrying.topic).await;
}
