//! Who is let in by certificate, password and authority: what the operator reads of Secrets for that, the worker has in its pod.

use afterbay_e2e::kubernetes::{LONG, Operated};
use afterbay_e2e::manifests::resource;
use afterbay_e2e::{Format, Manifests, Sink, await_condition, secure};
use serde_json::json;

/// A Sink between those that trusted an authority that did not sign for the other side, and the broker that asks for a certificate:
/// trusting the right one, they are ready, and it carries.
pub(super) async fn carries(operated: &Operated) {
    let (scenario, namespace) = (&operated.scenario, &operated.namespace);
    scenario.database.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 7)").await;
    // Without a mode that is `verify-full`.
    let postgres = json!({"spec": {"postgres": {"tls": secure::tls("rig-ca")}}});
    namespace.patch("SourceConnector/authority", &postgres).await;
    // A password goes with it.
    namespace.patch("SchemaRegistryConnection/authority", &json!({"spec": {"tls": secure::tls("rig-ca")}})).await;
    let certificate = json!({
        "bootstrapServers": scenario.rig.setting("SECURE_BROKER_MTLS"),
        "tls": secure::tls("rig-ca"),
        "authentication": {"type": "tls", "certificateAndKey": secure::certificate()},
    });
    let topic = scenario.topic("t");
    let manifests = Manifests::default()
        .with(resource("KafkaConnection", "certificate", certificate))
        .with(Sink::new("t", "public.t", &topic).key(&["id"]))
        .set("Sink/t", "spec.source.name", "authority")
        .set("Sink/t", "spec.kafka.connection", "certificate")
        .set("Sink/t", "spec.kafka.format", json!({"avro": {"registry": "authority"}}));
    operated.apply(&manifests).await;
    for resource in
        ["KafkaConnection/certificate", "SchemaRegistryConnection/authority", "SourceConnector/authority", "Sink/t"]
    {
        operated.ready(resource).await;
    }

    scenario.database.run("INSERT INTO t VALUES (2, 9)").await;
    let values = await_condition("both rows are carried", LONG, async || {
        let messages = secure::messages(scenario.rig, &topic, Format::Avro).await;
        (messages.len() == 2).then(|| messages.into_iter().map(|message| message.value).collect::<Vec<_>>())
    })
    .await;
    assert_eq!(values, [json!({"id": 1, "n": 7}), json!({"id": 2, "n": 9})]);
    // Postgres lets others in without it, too.
    let sessions = |encrypted: bool| {
        format!(
            "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
             WHERE datname = current_database() AND backend_type = 'walsender' AND ssl = {encrypted}"
        )
    };
    await_condition("the worker's session is encrypted", LONG, async || {
        (scenario.database.number(&sessions(true)).await == 1).then_some(())
    })
    .await;
    assert_eq!(scenario.database.number(&sessions(false)).await, 0);
}
