//! The operator is killed in the middle of what it does, again and again.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use afterbay_crds::report::{SinkState, WorkerReport};
use afterbay_e2e::database::lsn;
use afterbay_e2e::kubernetes::carrying::{self, ROWS, SOURCE};
use afterbay_e2e::kubernetes::{IMAGE, LONG, definitions, labels};
use afterbay_e2e::programs::folder;
use afterbay_e2e::{History, Manifests, Namespace, Scenario, Sink, await_condition, broker, http};
use serde_json::Value;
use tokio::process::{Child, Command};

#[tokio::test]
async fn what_it_had_begun_is_finished_by_the_next() {
    definitions().await;
    let scenario = Scenario::new("operator-killed").await;
    let cluster = Cluster { namespace: Namespace::of(&scenario).await, scenario: &scenario };
    let history = History::begin(&scenario.database, ROWS).await;
    let topic = scenario.topic("ledger");
    let (first, both) = one_and_both(&scenario, &topic).await;

    cluster.namespace.apply(&first).await;
    cluster.killed_when("it has seen the Sink", async || cluster.is_held("Sink/ledger").await).await;
    cluster.killed_when("the topic is made", async || broker::has_topic(scenario.rig, &topic)).await;
    cluster.killed_when("the publication is made", async || cluster.publications().await > 0).await;
    cluster.killed_when("the plan is written", async || cluster.plans().await > 0).await;
    cluster.killed_when("the worker is made", async || cluster.deployments().await > 0).await;
    cluster.killed_when("the worker runs", async || cluster.report().await.is_some()).await;
    let operator = cluster.operator();
    cluster.ready("Sink/ledger").await;
    cluster.caught_up(1).await;
    cluster.has(ONE).await;
    drop(operator);

    let writer = history.lasting_writer();
    cluster.namespace.apply(&both).await;
    cluster
        .killed_when("the next plan is written", async || {
            // The plan before goes soon.
            cluster.plans().await > 1 || cluster.carries(2).await
        })
        .await;
    cluster.killed_when("the worker is changed", async || cluster.carries(2).await).await;
    let operator = cluster.operator();
    cluster.ready("Sink/late").await;
    cluster.caught_up(2).await;
    // A plan that nobody needs goes once the next one runs.
    await_condition("the plan before goes", LONG, async || (cluster.plans().await == 1).then_some(())).await;
    drop(operator);

    cluster.namespace.delete("Sink/late").await;
    cluster.killed_when("the worker is without it", async || cluster.carries(1).await).await;
    cluster.killed_when("it is retired", async || cluster.is_retired("Sink/late").await).await;
    let operator = cluster.operator();
    cluster.namespace.gone("Sink/late", LONG).await;
    drop(operator);
    writer.stop().await;
    let operator = cluster.operator();
    cluster.caught_up(1).await;
    carrying::check(&scenario, &topic).await;
    cluster.has(ONE).await;
    drop(operator);

    // The last Sink of its pool: the slot goes, and with it the publication.
    cluster.namespace.delete("Sink/ledger").await;
    cluster.killed_when("the worker goes", async || cluster.deployments().await == 0).await;
    cluster.killed_when("what drops the slot is made", async || cluster.drops_slots().await).await;
    cluster.killed_when("the slot is dropped", async || cluster.counts().await.slots == 0).await;
    let operator = cluster.operator();
    cluster.namespace.gone("Sink/ledger", LONG).await;
    await_condition("nothing is left of the pool", LONG, async || {
        let is_over = cluster.counts().await == Counts::default() && !cluster.has_begun().await;
        is_over.then_some(())
    })
    .await;
    cluster.ready("SourceConnector/shop").await;
    cluster.namespace.apply(&first).await;
    cluster.ready("Sink/ledger").await;
    cluster.has(ONE).await;
    drop(operator);

    cluster.namespace.delete("Sink/ledger").await;
    cluster.namespace.delete("SourceConnector/shop").await;
    cluster.killed_when("the worker goes", async || cluster.deployments().await == 0).await;
    let _operator = cluster.operator();
    cluster.namespace.gone("Sink/ledger", LONG).await;
    cluster.namespace.gone("SourceConnector/shop", LONG).await;
    cluster.has(Counts::default()).await;
}

/// Each life of the operator ends behind one of the first things that it changes at the API server, the broker or the database: whatever it
/// does for Sinks of one table, it is killed between that and all that follows.
#[tokio::test]
async fn a_few_effects_of_each_life_are_enough() {
    definitions().await;
    let scenario = Scenario::new("operator-effects").await;
    let cluster = Cluster { namespace: Namespace::of(&scenario).await, scenario: &scenario };
    let history = History::begin(&scenario.database, ROWS).await;
    let topic = scenario.topic("ledger");
    let (first, both) = one_and_both(&scenario, &topic).await;

    cluster.namespace.apply(&first).await;
    let lives = cluster.lives_until("the Sink is ready", async || cluster.is_ready("Sink/ledger").await).await;
    assert!(lives > EFFECTS, "{lives} lives: it cannot have ended behind each of its effects");
    cluster.has(ONE).await;
    history.work(20).await;

    cluster.namespace.apply(&both).await;
    let settled = async || cluster.is_ready("Sink/late").await && cluster.plans().await == 1;
    cluster.lives_until("the next Sink is ready, and the plan before is gone", settled).await;
    cluster.caught_up(2).await;
    cluster.has(ONE).await;
    history.work(20).await;

    cluster.namespace.delete("Sink/late").await;
    let gone = async || cluster.namespace.get("Sink/late").await.is_none() && cluster.plans().await == 1;
    cluster.lives_until("the Sink is gone", gone).await;
    cluster.caught_up(1).await;
    cluster.has(ONE).await;
    carrying::check(&scenario, &topic).await;

    cluster.namespace.delete("Sink/ledger").await;
    cluster.namespace.delete("SourceConnector/shop").await;
    let is_gone = async |resource: &str| cluster.namespace.get(resource).await.is_none();
    let gone = async || is_gone("Sink/ledger").await && is_gone("SourceConnector/shop").await;
    cluster.lives_until("the last Sink and its SourceConnector are gone", gone).await;
    cluster.has(Counts::default()).await;
}

/// The Sink of the history's table, and the same with one of another table beside it.
async fn one_and_both(scenario: &Scenario, topic: &str) -> (Manifests, Manifests) {
    scenario.database.run("CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (1)").await;
    let one = carrying::manifests(scenario, topic);
    let late = Sink::new("late", "public.late", &scenario.topic("late")).key(&["id"]);
    let both = one.clone().with(late);
    (one, both)
}

/// Behind how many effects an operator ends at most. One that begins anew tells at first that it does not know yet whom it can reach, and
/// then that it does: so some of them are to get further than that.
const EFFECTS: usize = 4;

/// SIGABRT, by which a fault point ends a process.
const ABORTED: i32 = 6;

/// How much there is of what there must be one of at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    deployments: usize,
    plans: usize,
    slots: i64,
    publications: i64,
}

/// What there is of a SourceConnector with its Sinks in one pool.
const ONE: Counts = Counts { deployments: 1, plans: 1, slots: 1, publications: 1 };

/// A namespace whose operator is a process of the test.
struct Cluster<'a> {
    namespace: Namespace,
    scenario: &'a Scenario,
}

impl Cluster<'_> {
    /// Starts an operator; it is killed when what comes back is dropped.
    fn operator(&self) -> Child {
        self.operator_command().spawn().expect("the operator can be started")
    }

    fn operator_command(&self) -> Command {
        let namespace = format!("--watch-namespace={}", self.namespace.name);
        let image = format!("--worker-image={IMAGE}");
        let mut command = Command::new(folder().join("afterbay"));
        command
            .args(["operator", &namespace, &image, "--worker-image-pull-policy=Never", "--listen=127.0.0.1:0"])
            .arg("--no-leader-election")
            .arg("--scratch-dir")
            .arg(self.scenario.folder())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts operators, each of which ends behind its first effect, its second, and so on up to [`EFFECTS`], until this is so; how many
    /// there were.
    async fn lives_until(&self, what: &str, mut so: impl AsyncFnMut() -> bool) -> usize {
        let mut lives = 0;
        let begin = |lives: usize| {
            let fault = format!("effect:{}", 1 + lives % EFFECTS);
            self.operator_command().env("AFTERBAY_FAULT", fault).spawn().expect("the operator can be started")
        };
        let mut operator = begin(lives);
        await_condition(what, LONG, async || {
            if let Some(status) = operator.try_wait().expect("the operator can be waited for") {
                assert_eq!(status.signal(), Some(ABORTED), "it has not ended at its fault point: {status}");
                lives += 1;
                operator = begin(lives);
            }
            so().await.then_some(())
        })
        .await;
        operator.kill().await.expect("the operator can be killed");
        assert!(lives > 0, "{what}: no life has ended behind an effect");
        lives
    }

    /// Starts an operator, and kills it when this is so.
    async fn killed_when(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        let mut operator = self.operator();
        await_condition(what, LONG, async || so().await.then_some(())).await;
        operator.kill().await.expect("the operator can be killed");
    }

    async fn ready(&self, resource: &str) {
        self.namespace.condition(resource, "Ready", "True", LONG).await;
    }

    async fn is_ready(&self, resource: &str) -> bool {
        let object = self.namespace.get(resource).await.unwrap_or_default();
        let generation = &object["metadata"]["generation"];
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        conditions.iter().any(|condition| is_ready(condition) && condition["observedGeneration"] == *generation)
    }

    /// Whether a resource has a finalizer.
    async fn is_held(&self, resource: &str) -> bool {
        let object = self.namespace.get(resource).await.unwrap_or_default();
        object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
    }

    /// Whether a resource is gone, or a Job retires it.
    async fn is_retired(&self, resource: &str) -> bool {
        let jobs = self.namespace.list("Job", "app.kubernetes.io/component=retirement").await;
        !jobs.is_empty() || self.namespace.get(resource).await.is_none()
    }

    /// Whether a Job drops what nobody needs of the SourceConnector, or has done it.
    async fn drops_slots(&self) -> bool {
        let own = format!("afterbay.dev/source={SOURCE},app.kubernetes.io/component=retirement");
        !self.namespace.list("Job", &own).await.is_empty() || self.counts().await.slots == 0
    }

    /// Whether there is a worker's list of Sinks that have begun.
    async fn has_begun(&self) -> bool {
        self.namespace.get("ConfigMap/afterbay-shop-default-begun").await.is_some()
    }

    async fn deployments(&self) -> usize {
        self.namespace.list("Deployment", &labels(SOURCE)).await.len()
    }

    /// How many plans there are, those of retirements apart.
    async fn plans(&self) -> usize {
        let documents = self.namespace.list("ConfigMap", &labels(SOURCE)).await;
        let is_plan = |object: &&Value| object["data"].get("plan.json").is_some();
        documents.iter().filter(is_plan).count()
    }

    /// Whether the plan that the Deployment names has so many Sinks.
    async fn carries(&self, sinks: usize) -> bool {
        let Some(deployment) = self.namespace.get("Deployment/afterbay-shop-default").await else { return false };
        let hash = deployment["metadata"]["annotations"]["afterbay.dev/plan-hash"].as_str().unwrap_or_default();
        let plan = format!("ConfigMap/afterbay-shop-default-plan-{hash}");
        let plan = self.namespace.get(&plan).await.unwrap_or_default();
        let plan: Value = serde_json::from_str(plan["data"]["plan.json"].as_str().unwrap_or("null")).expect("JSON");
        plan["sinks"].as_array().is_some_and(|carried| carried.len() == sinks)
    }

    async fn publications(&self) -> i64 {
        self.scenario.database.number("SELECT count(*) FROM pg_publication").await
    }

    /// Waits until there is this much: a deletion is over before all of its traces are gone.
    async fn has(&self, wanted: Counts) {
        let has = async || (self.counts().await == wanted).then_some(());
        await_condition(&format!("there is {wanted:?}"), LONG, has).await;
    }

    async fn counts(&self) -> Counts {
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND NOT temporary";
        Counts {
            deployments: self.deployments().await,
            plans: self.plans().await,
            slots: self.scenario.database.number(slots).await,
            publications: self.publications().await,
        }
    }

    /// What the worker says of itself, if one answers.
    async fn report(&self) -> Option<WorkerReport> {
        let pods = self.namespace.pods(&labels(SOURCE)).await;
        let address = pods.first()?.status.as_ref()?.pod_ip.clone()?;
        let (_, body) = http::request("GET", &format!("http://{address}:8080/status"), "").await?;
        serde_json::from_str(&body).ok()
    }

    /// Waits until so many Sinks have committed all that the database held when this was called.
    async fn caught_up(&self, sinks: usize) {
        let end = self.scenario.database.log_end().await;
        await_condition("the Sinks catch up", LONG, async || {
            let report = self.report().await?;
            let mut all = report.sinks.iter();
            let settled = all.all(|sink| {
                sink.state == SinkState::Running && sink.settled.as_deref().is_some_and(|settled| lsn(settled) >= end)
            });
            (report.sinks.len() == sinks && settled).then_some(())
        })
        .await;
    }
}
