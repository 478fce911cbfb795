//! Two operators, of which one leads and is taken away.

use std::time::{SystemTime, UNIX_EPOCH};

use afterbay_e2e::kubernetes::carrying::SOURCE;
use afterbay_e2e::kubernetes::{Carrying, LONG, Operated};
use afterbay_e2e::{Format, Manifests, Scenario, Sink, await_condition};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// Within how long another one leads, by docs/kubernetes.md ("High availability"): when the Lease has run out, which is not renewed
/// any more, and a second after that, in seconds. Twice that, as machines are slow.
const TAKEN_OVER: f64 = 2.0 * (15.0 + 1.0);

/// The Lease is named as the release.
const LEASE: &str = "afterbay";

#[tokio::test]
async fn the_other_takes_over() {
    let carrying = Carrying::of(Operated::begin("leader-lost").await).await;
    let operated = &carrying.operated;
    let mut values = operated.values();
    values["replicas"] = json!(2);
    operated.release.install(&values).await;
    let worker = operated.worker_uid(SOURCE).await;
    operated.scenario.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)").await;
    let topic = operated.scenario.topic("late");
    let faults = async {
        let leader = holder(operated).await.expect("somebody leads");
        let pod: Pod = operated.namespace.typed(&leader).await;
        let gone = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        // It cannot give the Lease back.
        operated.namespace.signal(&pod, "afterbay", "KILL");
        operated.namespace.force_delete(&leader).await;
        // Nobody leads, and nobody knows it yet.
        operated.apply(&late(&operated.scenario, &topic)).await;
        await_condition("the other leads", LONG, async || holder(operated).await.filter(|next| *next != leader)).await;
        let taken = acquired(operated).await - gone.as_secs_f64();
        assert!(taken < TAKEN_OVER, "the other leads only after {taken} s");
        operated.ready("Sink/late").await;
        operated.caught_up("later", 1).await;
    };
    carrying.under_writes(faults).await;
    assert_eq!(operated.scenario.messages(&topic, Format::Json).await.len(), 1);
    carrying.check().await;
    assert_eq!(operated.worker_uid(SOURCE).await, worker, "workers do not depend on who leads");
}

/// Another SourceConnector of the same database, and its Sink.
fn late(scenario: &Scenario, topic: &str) -> Manifests {
    Manifests::default()
        .with(scenario.source("later", &format!("{}_later", scenario.slot())))
        .with(Sink::new("late", "public.late", topic).key(&["id"]))
        .set("Sink/late", "spec.source.name", "later")
}

/// When who holds the Lease has got it, in seconds since 1970.
async fn acquired(operated: &Operated) -> f64 {
    let lease: Lease = operated.namespace.typed(LEASE).await;
    let acquired = lease.spec.and_then(|spec| spec.acquire_time).expect("who holds it has got it");
    acquired.0.as_duration().as_secs_f64()
}

/// Who holds the Lease.
async fn holder(operated: &Operated) -> Option<String> {
    let lease: Lease = operated.namespace.typed(LEASE).await;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}
