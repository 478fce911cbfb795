//! SourceConnectors.

use serde_json::json;

use super::manifests::good;
use super::{check, errors_of};

#[test]
fn sources() {
    check(
        "SourceConnector/shop",
        r#"
spec.postgres = null
spec.mysql = {}
spec.postgres.host (left out)
spec.postgres.host = ""
spec.postgres.host = "db:5433"
spec.postgres.host = "postgres://u:hunter2@db/shop"
spec.postgres.host = "db-0,db-1"
spec.postgres.hosts = [{"host": "db"}]
spec.postgres.port = 0
spec.postgres.port = 65536
spec.postgres.port = "5432"
spec.postgres.database (left out)
spec.postgres.database = ""
spec.postgres.dbname = "x"
spec.postgres.authentication (left out)
spec.postgres.authentication.username (left out)
spec.postgres.authentication.username = ""
spec.postgres.authentication.password = "hunter2"
spec.postgres.authentication.passwordSecret.secretName = "shop-db"
spec.postgres.authentication.passwordSecret.password = "pasword"
spec.postgres.authentication.passwordSecret.key = "x"
spec.postgres.authentication.passwordSecret = {"secretName": "keys"}
spec.postgres.tls = null
spec.postgres.authentication = null
spec.postgres.authentication.passwordSecret = null
spec.postgres.database = null
spec.postgres.database = ["shop"]
spec.postgres.publication = null
spec.postgres.publication.managed = 1
spec.postgres.slot = "afterbay_shop"
spec.postgres.slot.nome.x = 1
spec.postgres.database = "shop\u0000"
spec.postgres.authentication.username = "after\nbay"
spec.postgres.tls.mode = "prefer"
spec.postgres.tls.mode = "verifyfull"
spec.postgres.tls.mode = "require"
spec.postgres.tls.trustedCertificates[0].certificate = "password"
spec.postgres.publication.name = ""
spec.postgres.publication.managed = "no"
spec.postgres.slot.name = "afterbay-shop"
spec.postgres.slot.name = "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"
spec.postgres.slot.onLoss = "resnapshot"
spec.postgres.slot.onLoss = null
spec.postgres.slot.onLoss = true
spec.postgres.slot.failover = "yes"
spec.postgres.slot.failover = null
spec.postgres.snapshot = "Chunked"
spec.postgres.snapshot.mode = "chunked"
spec.postgres.snapshot.mode = null
spec.postgres.snapshot.chunkRows = 0
spec.postgres.snapshot.chunkRows = "many"
spec.postgres.snapshot.rows = 10
spec.worker.memory = "64MB"
spec.worker.memory = "lots"
spec.worker.memory = "1Mi"
spec.worker.memory = 67108864
spec.worker.memry = "64Mi"
spec.worker.resources = "small"
spec.worker.resources.requests.cpu = "a lot"
spec.worker.resources.requests.cpu = 0.5
spec.worker.resources.requests.cpu = 3
spec.worker.resources.requests.memory = "1Gi"
spec.worker.resources = {"limits": {"memory": "64Mi"}}
spec.worker.resources.limits.memory = true
spec.worker.resources.claims = []
spec.worker.nodeSelector = ["amd64"]
spec.worker.nodeSelector.arch = true
spec.worker.nodeSelector.arch = "not a word"
spec.worker.tolerations[0].operator = "exists"
spec.worker.tolerations[0].operator = "Exists"
spec.worker.tolerations[0].effect = "NoSchedule"
spec.worker.tolerations[0].effect = "never"
spec.worker.tolerations[0].tolerationSeconds = -1
spec.worker.tolerations[0].key (left out)
spec.worker.tolerations[1] = {}
spec.worker.affinity = "zone"
spec.worker.affinity.nodeAffinite = {}
spec.worker.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey (left out)
spec.worker.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologie = "zone"
spec.worker.affinity.podAntiAffinity = []
spec.worker.topologySpreadConstraints[0].maxSkw = 1
spec.worker.topologySpreadConstraints[0].maxSkew = "1"
spec.worker.topologySpreadConstraints = {}
spec.worker.priorityClassName = "Data Class"
spec.worker.podLabels.team = 1
spec.worker.podLabels = {"app.kubernetes.io/name": "mine"}
spec.worker.podAnnotations = {"afterbay.dev/plan": "x"}
spec.worker.podAnnotations = {"no word": "x"}
"#,
    );
}

#[test]
fn sources_with_several_hosts() {
    check(
        "SourceConnector/replicated",
        r#"
spec.postgres.hosts = []
spec.postgres.hosts[1].host = "db 1"
spec.postgres.hosts[1] = {"host": "db-0"}
spec.postgres.port = 5433
spec.postgres.port = 5432
spec.postgres.hosts[0].port = -1
spec.postgres.hosts[0] = "db-0:5432"
spec.postgres.hosts[0] = {"port": 1}
"#,
    );
}

#[test]
fn two_sources_do_not_share_a_slot() {
    let mut manifests = good();
    let mut second = manifests[3].clone();
    second["metadata"]["name"] = json!("warehouse");
    manifests.push(second);
    let errors = errors_of(&manifests);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0].field, "spec.postgres.slot.name");
    assert!(errors[0].what.contains("SourceConnector default/shop reads slot afterbay_shop"), "{errors:#?}");
    let last = manifests.last_mut().expect("one was added");
    last["spec"]["postgres"]["slot"]["name"] = json!("afterbay_warehouse");
    assert_eq!(errors_of(&manifests), []);
}

#[test]
fn a_pool_reads_no_slot_of_another_source() {
    let mut manifests = good();
    let mut second = manifests[3].clone();
    second["metadata"]["name"] = json!("warehouse");
    second["spec"]["postgres"]["slot"]["name"] = json!("afterbay_shop_bulk");
    manifests.push(second);
    assert_eq!(errors_of(&manifests), []);
    manifests[5]["spec"]["pool"] = json!("bulk");
    let errors = errors_of(&manifests);
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!(error.field, "spec.postgres.slot.name");
    assert!(error.what.contains("SourceConnector default/shop reads slot afterbay_shop_bulk"), "{errors:#?}");
}

#[test]
fn the_slot_of_a_pool_has_a_name_that_postgres_takes() {
    let with = |slot: &str| {
        let mut manifests = good();
        manifests[3]["spec"]["postgres"]["slot"]["name"] = json!(slot);
        manifests[5]["spec"]["pool"] = json!("bulk");
        errors_of(&manifests)
    };
    assert_eq!(with(&"s".repeat(58)), []);
    let errors = with(&"s".repeat(59));
    let [error] = &errors[..] else { panic!("{errors:#?}") };
    assert_eq!(error.field, "spec.pool");
    let slot = format!("{}_bulk", "s".repeat(59));
    assert_eq!(error.what, format!("the slot of this pool would be {slot}, which is longer than 63 bytes"));
}

#[test]
fn a_worker_has_memory_for_each_of_its_sinks() {
    let with = |memory: &str, sinks: usize| {
        let mut manifests = good();
        manifests[3]["spec"]["worker"]["memory"] = json!(memory);
        // Those of another pool have a worker of their own.
        let mut apart = manifests[5].clone();
        apart["metadata"]["name"] = json!("apart");
        (apart["spec"]["kafka"]["topic"]["name"], apart["spec"]["pool"]) = (json!("apart"), json!("bulk"));
        manifests.push(apart);
        for number in 1..sinks {
            let mut sink = manifests[5].clone();
            sink["metadata"]["name"] = json!(format!("orders-{number}"));
            sink["spec"]["kafka"]["topic"]["name"] = json!(format!("orders-{number}"));
            manifests.push(sink);
        }
        errors_of(&manifests)
    };
    for (memory, most) in [("8Mi", 4), ("64Mi", 32), ("67108863", 31)] {
        assert_eq!(with(memory, most), [], "{memory}");
        let errors = with(memory, most + 1);
        let [error] = &errors[..] else { panic!("{memory}: {errors:#?}") };
        assert_eq!(error.field, "spec.worker.memory");
        let what = format!("{memory} is too little for a worker with {} Sinks, of which each takes 2Mi", most + 1);
        assert_eq!((&error.what, &error.remedy), (&what, &format!("give it at least {}Mi", 2 * (most + 1))));
    }
}
