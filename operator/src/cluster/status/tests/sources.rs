use super::*;
use crate::cluster::board::{SourceFacts, SourceView};
use crate::cluster::status::kept::{KeptSlot, Why};
use crate::cluster::status::source::ItsSinks;

fn shop() -> SourceConnector {
    let source = json!({
        "apiVersion": "afterbay.dev/v1alpha1",
        "kind": "SourceConnector",
        "metadata": {"name": "shop", "namespace": "default", "generation": 2},
        "spec": {"postgres": {"host": "db", "database": "shop", "authentication": {"username": "afterbay"}}},
    });
    serde_json::from_value(source).unwrap()
}

#[test]
fn a_source_is_what_its_workers_are() {
    let check = |facts: SourceFacts, workers: Vec<WorkerView>, expected: &str| {
        let view = SourceView { facts: Some(facts), workers };
        let sinks = ItsSinks { count: 2, begun: true };
        let status = source::source(&shop(), &view, sinks, at(100));
        assert_eq!(in_words(&status.conditions), expected);
        assert_eq!((status.sinks, status.begun, status.observed_generation), (2, true, Some(2)));
    };
    let fine = || well().worker;
    let asked = |answer| SourceFacts { handshake: Some(answer), ..SourceFacts::default() };
    check(SourceFacts::default(), vec![fine()], "True:Running");
    check(asked(Ok(())), vec![], "True:Connected");
    let refused = "False:SourceAuthenticationFailed Stalled -SourceReady";
    check(asked(Err(problem(Reason::SourceAuthenticationFailed))), vec![], refused);
    let bulk = || WorkerFacts { name: WorkerName { pool: "bulk".to_owned(), ..worker_name() }, ..worker(|_| ()) };
    let other = WorkerView { pod: None, report: None, facts: Some(Arc::new(bulk())), ..fine() };
    check(SourceFacts::default(), vec![fine(), other.clone()], "False:Starting Reconciling -SourceReady -RuntimeReady");
    let refusal = Some(problem(Reason::WorkerNotStarted));
    let not_made = WorkerView { refusal, pod: None, report: None, facts: Some(Arc::new(bulk())), ..fine() };
    let expected = "False:WorkerNotStarted Reconciling -SourceReady -RuntimeReady";
    check(SourceFacts::default(), vec![fine(), other.clone(), not_made.clone()], expected);
    let refused = WorkerFacts {
        plan_hash: None,
        problems: vec![("source default/shop/bulk".to_owned(), problem(Reason::SourceUnreachable))],
        ..bulk()
    };
    let refused = WorkerView { facts: Some(Arc::new(refused)), ..WorkerView::default() };
    check(asked(Ok(())), vec![refused], "False:SourceUnreachable Reconciling -SourceReady");
    let waiting = SourceFacts { waiting_for: Some("Secret default/db".to_owned()), ..SourceFacts::default() };
    check(waiting, vec![fine()], "False:Waiting Reconciling");
    let goes = SourceFacts { deletion: Some("its Sinks are there".to_owned()), ..SourceFacts::default() };
    check(goes, vec![fine()], "False:Deleting Reconciling");
}

/// A SourceConnector whose worker is not connected, and says this of its Sinks and of the session.
fn check_idle(sinks: &[(SinkState, Option<Reason>)], error: Option<Reason>, expected: &str) {
    let of_sink = |(state, reason): &(SinkState, Option<Reason>)| SinkReport {
        state: *state,
        error: reason.map(problem),
        ..SinkReport::default()
    };
    let report = WorkerReport {
        source: SourceReport { error: error.map(problem), ..SourceReport::default() },
        sinks: sinks.iter().map(of_sink).collect(),
        ..report(|_| ())
    };
    let worker = WorkerView { report: Some(Arc::new(report)), ..well().worker };
    let view = SourceView { facts: Some(SourceFacts::default()), workers: vec![worker] };
    let status = source::source(&shop(), &view, ItsSinks::default(), at(100));
    assert_eq!(in_words(&status.conditions), expected, "{sinks:?} {error:?}");
}

#[test]
fn a_source_that_nobody_needs_to_read_is_ready() {
    use SinkState::{Paused, Running, Stalled, Starting};
    check_idle(&[(Paused, None), (Paused, None)], None, "True:Running");
    check_idle(&[(Paused, None), (Stalled, Some(Reason::TopicNotFound))], None, "True:Running");
    check_idle(&[(Stalled, Some(Reason::KafkaUnreachable))], None, "True:Running");
    // While it tries again, too; and what the last session ended with says nothing of who does not ask for one.
    check_idle(&[(Starting, Some(Reason::KafkaUnreachable))], Some(Reason::SourceFailed), "True:Running");
    check_idle(&[(Stalled, Some(Reason::TableNotFound))], None, "True:Running");
    check_idle(&[(Stalled, Some(Reason::SlotLost))], None, "True:Running");
    let starting = "False:Starting Reconciling -SourceReady";
    check_idle(&[(Paused, None), (Starting, None)], None, starting);
    check_idle(&[(Stalled, Some(Reason::TopicNotFound)), (Running, None)], None, starting);
    let unreachable = "False:SourceUnreachable Reconciling -SourceReady";
    check_idle(&[(Starting, None)], Some(Reason::SourceUnreachable), unreachable);
    check_idle(&[(Paused, None), (Stalled, Some(Reason::SourceUnreachable))], None, unreachable);
    let low = "False:WalLevelTooLow Stalled -SourceReady";
    check_idle(&[(Stalled, Some(Reason::TopicNotFound)), (Stalled, Some(Reason::WalLevelTooLow))], None, low);
}

#[test]
fn a_source_whose_sinks_all_have_no_place_in_a_plan_is_ready_when_its_database_answers() {
    let left_out =
        WorkerView { facts: Some(Arc::new(worker(|facts| facts.plan_hash = None))), ..WorkerView::default() };
    for (answer, expected) in [
        (Some(Ok(())), "True:Connected"),
        (None, "False:Starting Reconciling -SourceReady"),
        (Some(Err(problem(Reason::DatabaseNotFound))), "False:DatabaseNotFound Stalled -SourceReady"),
    ] {
        let facts = SourceFacts { handshake: answer, ..SourceFacts::default() };
        let view = SourceView { facts: Some(facts), workers: vec![left_out.clone()] };
        let status = source::source(&shop(), &view, ItsSinks::default(), at(100));
        assert_eq!(in_words(&status.conditions), expected);
    }
}

#[test]
fn a_slot_that_is_kept_is_told_beside_what_there_is_else() {
    let kept = vec![KeptSlot { slot: "afterbay_shop".to_owned(), why: Why::Policy, held_bytes: None }];
    let facts = SourceFacts { handshake: Some(Ok(())), kept, ..SourceFacts::default() };
    let view = SourceView { facts: Some(facts), workers: Vec::new() };
    let mut source = shop();
    let status = source::source(&source, &view, ItsSinks::default(), at(100));
    assert_eq!(in_words(&status.conditions), "True:Connected");
    let told = status.conditions.iter().find(|condition| condition.type_ == source::SLOT_KEPT).unwrap();
    assert!(told.status == "True" && told.message.contains("pg_drop_replication_slot('afterbay_shop')"), "{told:?}");
    source.status = Some(status.clone());
    assert_eq!(source::source(&source, &view, ItsSinks::default(), at(200)), status);
}

#[test]
fn of_a_source_that_is_deleted_it_stays_which_workers_there_were() {
    let bulk = || WorkerFacts { name: WorkerName { pool: "bulk".to_owned(), ..worker_name() }, ..worker(|_| ()) };
    let bulk = WorkerView { facts: Some(Arc::new(bulk())), ..well().worker };
    let facts = || Some(SourceFacts { deletion: Some("it goes".to_owned()), ..SourceFacts::default() });
    let pools = |source: &SourceConnector, workers| {
        let view = SourceView { facts: facts(), workers };
        let status = source::source(source, &view, ItsSinks::default(), at(100));
        let told = status.workers.iter().map(|worker| (worker.pool.clone(), worker.connected));
        (told.collect::<Vec<_>>(), status)
    };
    let told = |of: &[(&str, bool)]| of.iter().map(|(pool, is)| ((*pool).to_owned(), *is)).collect::<Vec<_>>();
    let mut source = shop();
    let (both, status) = pools(&source, vec![bulk.clone(), well().worker]);
    assert_eq!(both, told(&[("bulk", true), ("default", true)]));
    source.status = Some(status);
    assert_eq!(pools(&source, vec![bulk.clone()]).0, told(&[("bulk", true)]), "it is there");
    let since = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    source.metadata.deletion_timestamp = Some(since);
    assert_eq!(pools(&source, vec![bulk]).0, told(&[("bulk", true), ("default", false)]));
    let (none, status) = pools(&source, vec![]);
    assert_eq!(none, told(&[("bulk", false), ("default", false)]));
    source.status = Some(status.clone());
    assert_eq!(pools(&source, vec![]).1, status, "nothing is written once more");
}
