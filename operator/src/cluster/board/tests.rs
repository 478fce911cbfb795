use afterbay_crds::report::SourceReport;
use serde_json::json;

use super::*;
use crate::cluster::labels;
use crate::cluster::queue::Queue;

fn name(name: &str) -> ResourceName {
    ResourceName::new("default", name)
}

fn worker() -> WorkerName {
    WorkerName { source: name("shop"), pool: "default".to_owned() }
}

fn board() -> (Board, Arc<Queues>) {
    let queues = Arc::new(Queues::default());
    (Board::new(Arc::clone(&queues)), queues)
}

/// Which Sinks were asked to be looked at at once, and which later; and whether the SourceConnector's status was.
fn check(queues: &Queues, now: &[&str], later: &[&str], status: bool) {
    let asked = |queue: &Queue, now: bool| {
        let names = queue.asked(now).into_iter().map(|name| name.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!((asked(&queues.sinks, true), asked(&queues.sinks, false)), (words(now), words(later)));
    assert_eq!(asked(&queues.source_statuses, true).len(), usize::from(status));
    queues.sinks.clear();
    queues.source_statuses.clear();
}

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn pod(pod: &str) -> Arc<Pod> {
    let pod = json!({"metadata": {
        "name": pod, "namespace": "default", "labels": {labels::SOURCE: "shop", labels::POOL: "default"},
    }, "status": {"podIP": "10.0.0.1"}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn report(rows: u64, state: SinkState, log_end: &str) -> WorkerReport {
    let sink = |name: &str| SinkReport { name: format!("default/{name}"), ..SinkReport::default() };
    WorkerReport {
        worker: "default/shop".to_owned(),
        source: SourceReport { connected: true, log_end: Some(log_end.to_owned()), ..SourceReport::default() },
        sinks: vec![SinkReport { snapshot_rows: rows, state, ..sink("a") }, sink("b")],
    }
}

#[test]
fn what_is_known_already_is_told_to_nobody() {
    let (board, queues) = board();
    let facts = || Some(SinkFacts { waiting_for: Some("Secret default/x".to_owned()), ..SinkFacts::default() });
    board.set_sink(&name("a"), facts());
    check(&queues, &["a"], &[], false);
    board.set_sink(&name("a"), facts());
    check(&queues, &[], &[], false);
    board.set_sink(&name("a"), None);
    check(&queues, &["a"], &[], false);
    assert!(board.set_handshake(Kind::KafkaConnection, &name("k"), Some(Ok(()))));
    assert!(!board.set_handshake(Kind::KafkaConnection, &name("k"), Some(Ok(()))));
    assert!(board.set_handshake(Kind::SchemaRegistryConnection, &name("k"), Some(Ok(()))), "another of its name");
}

#[test]
fn states_are_told_at_once_and_figures_later() {
    let (board, queues) = board();
    board.see_pods(&worker(), &[pod("p")]);
    check(&queues, &[], &[], true);
    board.set_report(&worker(), "p", report(0, SinkState::Starting, "0/1"));
    check(&queues, &["a", "b"], &[], true);
    board.set_report(&worker(), "p", report(0, SinkState::Starting, "0/1"));
    check(&queues, &[], &[], false);
    board.written(Kind::Sink, &name("a"));
    board.written(Kind::SourceConnector, &name("shop"));
    board.set_report(&worker(), "p", report(5, SinkState::Starting, "0/2"));
    check(&queues, &[], &["a"], false);
    board.set_report(&worker(), "p", report(5, SinkState::Running, "0/2"));
    check(&queues, &["a"], &[], false);
}

#[test]
fn who_provides_is_told_once_of_a_right_that_is_missing() {
    let (board, queues) = board();
    board.see_pods(&worker(), &[pod("p")]);
    let says = |reason: Option<Reason>| {
        let mut report = report(0, if reason.is_some() { SinkState::Stalled } else { SinkState::Running }, "0/1");
        report.sinks[0].error = reason.map(|reason| reason.problem("it happened", ""));
        queues.sources.clear();
        board.set_report(&worker(), "p", report);
        queues.sources.asked(true).len()
    };
    let missing = Some(Reason::KafkaNotAuthorized);
    let told = [None, missing, missing, Some(Reason::KafkaUnreachable), None, missing].map(says);
    assert_eq!(told, [0, 1, 0, 0, 0, 1]);
}

#[test]
fn what_sinks_do_is_said_of_a_source_that_nobody_reads() {
    let (board, queues) = board();
    board.see_pods(&worker(), &[pod("p")]);
    let says = |connected, state| {
        let mut report = report(0, state, "0/1");
        report.source.connected = connected;
        board.set_report(&worker(), "p", report);
        let told = !queues.source_statuses.asked(true).is_empty();
        queues.source_statuses.clear();
        told
    };
    let states = [(false, SinkState::Starting), (false, SinkState::Stalled), (false, SinkState::Stalled)];
    assert_eq!(states.map(|(connected, state)| says(connected, state)), [true, true, false]);
    assert_eq!([says(true, SinkState::Running), says(true, SinkState::Stalled)], [true, false]);
}

#[test]
fn what_a_pod_has_said_goes_with_it() {
    let (board, _) = board();
    board.see_pods(&worker(), &[pod("p")]);
    board.set_report(&worker(), "p", report(0, SinkState::Running, "0/1"));
    assert!(board.worker(&worker()).report.is_some());
    board.see_pods(&worker(), &[pod("q")]);
    assert!(board.worker(&worker()).report.is_none());
    board.set_report(&worker(), "p", report(0, SinkState::Running, "0/1"));
    assert!(board.worker(&worker()).report.is_none(), "it was asked before it was replaced");
    assert_eq!(board.to_ask().len(), 1);
    board.remove_worker(&worker());
    assert!(board.to_ask().is_empty() && board.workers(&name("shop")).is_empty());
}

fn facts(problems: &[(&str, Reason)]) -> WorkerFacts {
    let problems = problems.iter().map(|(about, reason)| ((*about).to_owned(), reason.problem("it is so", "do this")));
    WorkerFacts {
        name: worker(),
        deployment: String::new(),
        slot: String::new(),
        plan_hash: None,
        sinks: vec![name("a")],
        is_provided: true,
        problems: problems.collect(),
        held_back: BTreeSet::new(),
        warnings: Vec::new(),
    }
}

#[test]
fn a_connection_is_told_what_cannot_be_provided_with_it() {
    let (board, queues) = board();
    let told = || {
        let names: Vec<_> = queues.connections.asked(true).into_iter().map(|name| name.name).collect();
        queues.connections.clear();
        names
    };
    let trouble = |connection: &str| board.trouble(&name(connection)).map(|problem| problem.reason);
    board.set_worker(facts(&[("sink default/a", Reason::TopicCreationRefused)]));
    assert_eq!(told(), [""; 0]);
    let missing = ("connection default/k", Reason::KafkaAuthorizerMissing);
    board.set_worker(facts(&[("connection default/j", Reason::KafkaUnreachable), missing]));
    assert_eq!(told(), ["j", "k"]);
    assert_eq!(trouble("k").as_deref(), Some("KafkaAuthorizerMissing"));
    assert_eq!(trouble("j"), None, "who asks it knows better whether it answers");
    board.set_worker(facts(&[missing]));
    assert_eq!(told(), ["j"]);
    board.remove_worker(&worker());
    assert_eq!((told(), trouble("k")), (vec!["k".to_owned()], None));
}

#[test]
fn that_no_pod_can_be_made_is_told_once() {
    let (board, queues) = board();
    board.see_refusal(&worker(), None);
    assert!(board.workers(&name("shop")).is_empty(), "it makes no worker known");
    board.set_worker(facts(&[]));
    check(&queues, &["a"], &[], true);
    let refusal = || Some(Reason::WorkerNotStarted.problem("exceeded quota", "raise it"));
    board.see_refusal(&worker(), refusal());
    check(&queues, &["a"], &[], true);
    board.see_refusal(&worker(), refusal());
    check(&queues, &[], &[], false);
    board.see_refusal(&worker(), None);
    check(&queues, &["a"], &[], true);
    assert_eq!(board.worker(&worker()).refusal, None);
}
