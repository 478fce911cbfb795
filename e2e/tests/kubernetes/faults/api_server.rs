//! The API server is away for a while.

use std::time::{Duration, Instant};

use afterbay_e2e::kubernetes::carrying::{self, SOURCE};
use afterbay_e2e::kubernetes::{Carrying, Component, LONG, Operated};
use afterbay_e2e::{Follower, Format, Sink, await_condition};

/// For how long: that of the operator's Lease.
const AWAY: Duration = Duration::from_secs(15);

#[tokio::test]
async fn data_flows_on_and_what_is_declared_comes_about() {
    let carrying = Carrying::of(Operated::alone("api-away").await).await;
    let operated = &carrying.operated;
    let scenario = &operated.scenario;
    let worker = operated.worker_uid(SOURCE).await;
    let server = Component::new(&operated.namespace, "kube-apiserver");
    let mut follower = Follower::start(scenario.rig);
    let topics = [(carrying.topic.as_str(), Format::Json)];
    let away = async {
        server.pause();
        let begin = Instant::now();
        follower.read(&topics).await;
        let mut times = 0;
        await_condition("messages come while nobody answers", LONG, async || {
            let read = follower.read(&topics).await;
            times += i32::from(read.values().any(|messages| !messages.is_empty()));
            (times >= 3 && begin.elapsed() >= AWAY).then_some(())
        })
        .await;
        server.resume();
    };
    carrying.under_writes(away).await;

    scenario.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)").await;
    let topic = scenario.topic("late");
    await_condition("the API server takes manifests again", LONG, async || {
        operated.namespace.kubectl.try_run(&["get", "sinks"], "").await.ok()
    })
    .await;
    assert_eq!(operated.worker_uid(SOURCE).await, worker, "the worker has not noticed");
    let with_late =
        carrying::manifests(scenario, &carrying.topic).with(Sink::new("late", "public.late", &topic).key(&["id"]));
    carrying
        .under_writes(async {
            operated.apply(&with_late).await;
            operated.ready("Sink/late").await;
            operated.ready("Sink/ledger").await;
        })
        .await;
    operated.caught_up(SOURCE, 2).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 1);
    carrying::check(scenario, &carrying.topic).await;
}
