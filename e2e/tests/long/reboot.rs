//! The node loses its power while transactions are made: pods, shims, API server, etcd, broker, registry and database at once.

use std::time::Instant;

use afterbay_e2e::kubernetes::carrying::{self, SOURCE};
use afterbay_e2e::kubernetes::{Carrying, Operated, reboot};
use afterbay_e2e::{Format, History, Manifests, Sink};

const TIMES: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_loses_its_power_and_all_goes_on() {
    let operated = Operated::alone("reboot").await;
    let topic = operated.scenario.topic("schemas");
    let schemas = Sink::new("schemas", "public.ledger", &topic).key(&["id"]).format(Format::Avro).partitions(2);
    let mut carrying = Carrying::with(operated, 2, |manifests| manifests.with(schemas)).await;
    for time in 1..=TIMES {
        let begun = Instant::now();
        carrying.under_writes(async { reboot(&carrying.operated.namespace) }).await;
        let up = begun.elapsed();
        carrying.operated.scenario.database.reconnect().await;
        let (operated, scenario) = (&carrying.operated, &carrying.operated.scenario);
        let (sinks, late, resource) = (1 + time, format!("late{time}"), format!("Sink/late{time}"));
        scenario
            .database
            .run(&format!("CREATE TABLE {late} (id int PRIMARY KEY); INSERT INTO {late} VALUES (1)"))
            .await;
        let late_topic = scenario.topic(&late);
        let late_sink = Sink::new(&late, &format!("public.{late}"), &late_topic).key(&["id"]);
        let back = async {
            operated.caught_up(SOURCE, sinks).await;
            eprintln!(
                "long: the node is up after {up:.0?}, and the Sinks have caught up after {:.0?}",
                begun.elapsed()
            );
            operated.apply(&Manifests::default().with(late_sink)).await;
            for resource in [resource.as_str(), "Sink/ledger", "Sink/schemas", "SourceConnector/shop"] {
                operated.ready(resource).await;
            }
        };
        carrying.under_writes(back).await;
        operated.caught_up(SOURCE, sinks + 1).await;
        assert_eq!(scenario.messages(&late_topic, Format::Json).await.len(), 1);
        carrying::check(scenario, &carrying.topic).await;
        let messages = scenario.messages(&topic, Format::Avro).await;
        History::of(&scenario.database).check(&messages, false).await;
    }
}
