mod sources;

use std::collections::BTreeSet;
use std::sync::Arc;

use afterbay_crds::api::{ConnectionStatus, Sink, SinkStatus, SourceConnector};
use afterbay_crds::manifest::{Kind, ManifestError};
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::{Problem, SinkReport, SinkState, SourceReport, WorkerReport};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::connection::{ConnectionFacts, Provided};
use super::*;
use crate::cluster::board::{SinkFacts, SinkView, WorkerFacts, WorkerView};
use crate::cluster::pods::PodFacts;
use crate::cluster::stores::in_cluster;

fn orders() -> Sink {
    let sink = json!({
        "apiVersion": "afterbay.dev/v1alpha1",
        "kind": "Sink",
        "metadata": {"name": "orders", "namespace": "default", "generation": 3},
        "spec": {
            "source": {"name": "shop", "table": "public.orders"},
            "key": {"columns": ["id"]},
            "kafka": {
                "connection": "events",
                "topic": {"name": "orders"},
                "envelope": "upsert",
                "format": {"avro": {"registry": "schemas"}},
            },
        },
    });
    serde_json::from_value(sink).unwrap()
}

fn worker_name() -> WorkerName {
    WorkerName { source: ResourceName::new("default", "shop"), pool: "default".to_owned() }
}

fn wrong() -> ManifestError {
    let place = in_cluster(Kind::Sink, &ResourceName::new("default", "orders"));
    place.error("spec.kafka.topic.name", "it is taken", "take another")
}

fn worker(change: impl FnOnce(&mut WorkerFacts)) -> WorkerFacts {
    let mut facts = WorkerFacts {
        name: worker_name(),
        deployment: "afterbay-shop".to_owned(),
        slot: "afterbay_shop".to_owned(),
        plan_hash: Some("new".to_owned()),
        sinks: vec![ResourceName::new("default", "orders")],
        is_provided: true,
        problems: Vec::new(),
        held_back: BTreeSet::new(),
        warnings: Vec::new(),
    };
    change(&mut facts);
    facts
}

fn pod(plan: &str) -> PodFacts {
    PodFacts {
        name: "afterbay-shop-1".to_owned(),
        address: None,
        is_running: true,
        plan_hash: Some(plan.to_owned()),
        secrets_hash: None,
        problem: None,
    }
}

fn report(change: impl FnOnce(&mut SinkReport)) -> WorkerReport {
    let mut sink = SinkReport {
        name: "default/orders".to_owned(),
        table: "public.orders".to_owned(),
        topic: "orders".to_owned(),
        state: SinkState::Running,
        begun: true,
        position: Some("0/10".to_owned()),
        lag_ms: Some(200),
        ..SinkReport::default()
    };
    change(&mut sink);
    WorkerReport {
        worker: "default/shop".to_owned(),
        source: SourceReport { connected: true, ..SourceReport::default() },
        sinks: vec![sink],
    }
}

/// A Sink with which all is well.
fn well() -> SinkView {
    SinkView {
        facts: Some(SinkFacts { worker: Some(worker_name()), ..SinkFacts::default() }),
        connection: Some(Ok(())),
        registry: Some(Ok(())),
        worker: WorkerView {
            facts: Some(Arc::new(worker(|_| ()))),
            pod: Some(Arc::new(pod("new"))),
            refusal: None,
            report: Some(Arc::new(report(|_| ()))),
            is_asked: true,
        },
    }
}

fn problem(reason: Reason) -> Problem {
    reason.problem("it happened", "do this")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The conditions in words: what is true, with `Ready`'s reason; and those that are not.
fn in_words(conditions: &[Condition]) -> String {
    let ready = ready_of(conditions).map(|ready| format!("{}:{}", ready.status, ready.reason)).unwrap_or_default();
    let kstatus = conditions.iter().find(|condition| [RECONCILING, STALLED].contains(&condition.type_.as_str()));
    let kstatus = kstatus.map(|condition| format!(" {}", condition.type_)).unwrap_or_default();
    let facets = conditions.iter().filter(|condition| condition.type_ != READY && condition.type_.ends_with("Ready"));
    let lacking =
        facets.filter(|condition| condition.status != "True").map(|condition| format!(" -{}", condition.type_));
    format!("{ready}{kstatus}{}", lacking.collect::<String>())
}

fn check(change: impl FnOnce(&mut SinkView), expected: &str, state: SinkState) {
    let mut view = well();
    change(&mut view);
    let status = sink::sink(&orders(), &view, at(100));
    assert_eq!(in_words(&status.conditions), expected);
    assert_eq!((status.state, status.observed_generation), (Some(state), Some(3)), "{expected}");
}

fn says(view: &mut SinkView, change: impl FnOnce(&mut SinkReport)) {
    view.worker.report = Some(Arc::new(report(change)));
}

fn provides(view: &mut SinkView, change: impl FnOnce(&mut WorkerFacts)) {
    view.worker.facts = Some(Arc::new(worker(change)));
}

#[test]
fn a_sink_that_carries_is_ready() {
    check(|_| (), "True:Running", SinkState::Running);
    let snapshotting = |sink: &mut SinkReport| sink.state = SinkState::Snapshotting;
    check(|view| says(view, snapshotting), "True:Snapshotting", SinkState::Snapshotting);
    let paused = |sink: &mut SinkReport| sink.state = SinkState::Paused;
    check(|view| says(view, paused), "True:Paused", SinkState::Paused);
    // Who carries reaches the brokers, whatever the operator finds.
    let unreachable = |view: &mut SinkView| view.connection = Some(Err(problem(Reason::KafkaUnreachable)));
    check(unreachable, "True:Running", SinkState::Running);
}

#[test]
fn what_is_wrong_and_what_is_waited_for_stand_before_all_else() {
    let invalid = |view: &mut SinkView| {
        view.facts = Some(SinkFacts { invalid: vec![wrong()], worker: Some(worker_name()), ..SinkFacts::default() });
    };
    check(invalid, "False:ManifestInvalid Stalled", SinkState::Running);
    let nothing_runs = |view: &mut SinkView| {
        invalid(view);
        view.worker = WorkerView::default();
    };
    let all = " -TopicReady -SourceReady -RuntimeReady";
    check(nothing_runs, &format!("False:ManifestInvalid Stalled{all}"), SinkState::Stalled);
    let waits = |view: &mut SinkView| {
        let waiting_for = Some("KafkaConnection default/events".to_owned());
        view.facts = Some(SinkFacts { waiting_for, ..SinkFacts::default() });
        view.connection = None;
        view.worker = WorkerView::default();
    };
    check(waits, &format!("False:Waiting Reconciling -ConnectionReady{all}"), SinkState::Created);
    let goes = |view: &mut SinkView| {
        view.facts = Some(SinkFacts { deletion: Some("it is being retired".to_owned()), ..SinkFacts::default() });
    };
    check(goes, "False:Deleting Reconciling", SinkState::Running);
}

#[test]
fn a_problem_is_that_of_the_aspect_that_it_is_about() {
    let stalled = |reason: Reason| {
        move |view: &mut SinkView| {
            says(view, |sink| {
                sink.state = SinkState::Stalled;
                sink.error = Some(problem(reason));
            });
        }
    };
    for (reason, expected) in [
        (Reason::KafkaAuthenticationFailed, "False:KafkaAuthenticationFailed Stalled -ConnectionReady"),
        (Reason::TopicReplaced, "False:TopicReplaced Stalled -TopicReady"),
        (Reason::SchemaRefused, "False:SchemaRefused Stalled -SchemaReady"),
        (Reason::SlotLost, "False:SlotLost Stalled -SourceReady"),
        (Reason::SourceUnreachable, "False:SourceUnreachable Reconciling -SourceReady"),
        (Reason::ValueNotEncodable, "False:ValueNotEncodable Stalled"),
        (Reason::TransactionFailed, "False:TransactionFailed Reconciling"),
    ] {
        check(stalled(reason), expected, SinkState::Stalled);
    }
}

#[test]
fn what_cannot_be_provided_says_more_than_what_follows_from_it() {
    let no_topic = |view: &mut SinkView| {
        says(view, |sink| {
            sink.state = SinkState::Stalled;
            sink.error = Some(problem(Reason::TopicNotFound));
        });
        let subject = "sink default/orders".to_owned();
        provides(view, |facts| facts.problems.push((subject, problem(Reason::TopicCreationRefused))));
    };
    check(no_topic, "False:TopicCreationRefused Stalled -TopicReady", SinkState::Stalled);
    let others = |view: &mut SinkView| {
        let subject = "sink default/other".to_owned();
        provides(view, |facts| facts.problems.push((subject, problem(Reason::TopicCreationRefused))));
    };
    check(others, "True:Running", SinkState::Running);
}

#[test]
fn a_worker_that_is_replaced_is_not_ready_before_its_pod_runs_the_plan() {
    let old = |view: &mut SinkView| view.worker.pod = Some(Arc::new(pod("old")));
    check(old, "False:Starting Reconciling -RuntimeReady", SinkState::Running);
    let crashing = |view: &mut SinkView| {
        let ended = Some(problem(Reason::WorkerExited));
        view.worker.pod = Some(Arc::new(PodFacts { is_running: false, problem: ended, ..pod("new") }));
        view.worker.report = None;
    };
    check(crashing, "False:WorkerExited Reconciling -SourceReady -RuntimeReady", SinkState::Starting);
}

#[test]
fn why_a_worker_does_not_start_says_more_than_that_it_has_not() {
    let expected = "False:WorkerNotStarted Reconciling -SourceReady -RuntimeReady";
    let no_place = |view: &mut SinkView| {
        let problem = Some(problem(Reason::WorkerNotStarted));
        view.worker.pod = Some(Arc::new(PodFacts { is_running: false, problem, ..pod("new") }));
        view.worker.report = None;
    };
    check(no_place, expected, SinkState::Starting);
    let refused = |view: &mut SinkView| {
        (view.worker.pod, view.worker.report) = (None, None);
        view.worker.refusal = Some(problem(Reason::WorkerNotStarted));
    };
    check(refused, expected, SinkState::Created);
    let mut view = well();
    refused(&mut view);
    let error = sink::sink(&orders(), &view, at(100)).error;
    assert_eq!(error, view.worker.refusal);
    // Where there is a pod, it is the Deployment's affair that another cannot be made.
    check(|view| view.worker.refusal = Some(problem(Reason::WorkerNotStarted)), "True:Running", SinkState::Running);
    // Of several problems the first in the order of the aspects is told.
    let both = |view: &mut SinkView| {
        refused(view);
        view.connection = Some(Err(problem(Reason::KafkaUnreachable)));
    };
    let expected = "False:KafkaUnreachable Reconciling -ConnectionReady -SourceReady -RuntimeReady";
    check(both, expected, SinkState::Created);
}

/// A Sink for which this is missing, by subject; and what it is told as a warning.
fn check_missing(about: &str, reason: Reason, change: impl FnOnce(&mut SinkView), expected: &str, warned: bool) {
    let mut view = well();
    provides(&mut view, |facts| facts.problems.push((about.to_owned(), problem(reason))));
    change(&mut view);
    let status = sink::sink(&orders(), &view, at(100));
    assert_eq!(in_words(&status.conditions), expected, "{about} {reason}");
    let warnings: Vec<_> = status.warnings.iter().map(|warning| warning.reason.as_str()).collect();
    assert_eq!(warnings, if warned { vec![reason.as_str()] } else { vec![] }, "{about} {reason}");
}

#[test]
fn who_carries_is_ready_whatever_could_not_be_provided_anew() {
    let (own, events, shop) = ("sink default/orders", "connection default/events", "source default/shop");
    let starts = |view: &mut SinkView| says(view, |sink| sink.state = SinkState::Starting);
    for (about, reason, facet) in [
        (own, Reason::KafkaNotAuthorized, "TopicReady"),
        (events, Reason::KafkaNotAuthorized, "TopicReady"),
        (shop, Reason::PublicationNotOwned, "SourceReady"),
    ] {
        check_missing(about, reason, |_| (), "True:Running", true);
        check_missing(about, reason, starts, &format!("False:{reason} Stalled -{facet}"), false);
        let held_back = |view: &mut SinkView| {
            let mut facts = (**view.worker.facts.as_ref().unwrap()).clone();
            facts.held_back.insert(about.to_owned());
            view.worker.facts = Some(Arc::new(facts));
        };
        check_missing(about, reason, held_back, &format!("False:{reason} Stalled -{facet}"), false);
    }
    // Without an authorizer there is no right that it could lack.
    check_missing(events, Reason::KafkaAuthorizerMissing, |_| (), "True:Running", true);
    check_missing(events, Reason::KafkaAuthorizerMissing, starts, "False:Starting Reconciling", true);
    // What is told of others is none of its business.
    check_missing("connection default/other", Reason::KafkaNotAuthorized, |_| (), "True:Running", false);
    check_missing("source default/other", Reason::PublicationNotOwned, starts, "False:Starting Reconciling", false);
}

#[test]
fn warnings_are_those_of_the_sink_its_connection_and_its_source() {
    let mut view = well();
    let warnings =
        ["sink default/orders", "sink default/other", "connection default/events", "connection default/other"];
    provides(&mut view, |facts| {
        facts.warnings = warnings.map(|about| (about.to_owned(), Reason::TopicDiffers.problem(about, ""))).into();
    });
    let told = sink::sink(&orders(), &view, at(100)).warnings;
    let told: Vec<_> = told.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(told, ["sink default/orders", "connection default/events"]);
}

#[test]
fn figures_are_told_where_there_are_any() {
    let status = sink::sink(&orders(), &well(), at(100));
    assert_eq!((status.retained_bytes, status.keys_repeated, status.truncations), (None, None, None));
    let mut view = well();
    says(&mut view, |report| {
        (report.retained_bytes, report.keys_repeated, report.truncations) = (Some(4096), 2, 1);
    });
    let status = sink::sink(&orders(), &view, at(100));
    assert_eq!((status.retained_bytes, status.keys_repeated, status.truncations), (Some(4096), Some(2), Some(1)));
}

#[test]
fn a_new_operator_leaves_what_it_knows_nothing_of_as_it_is() {
    let mut sink = orders();
    let known = sink::sink(&sink, &well(), at(100));
    sink.status = Some(known.clone());
    let check = |change: fn(&mut SinkView)| {
        let mut view = well();
        change(&mut view);
        assert_eq!(sink::sink(&sink, &view, at(200)), known);
    };
    check(|view| *view = SinkView::default());
    check(|view| view.worker = WorkerView::default());
    check(|view| {
        view.worker.report = None;
        view.worker.is_asked = false;
    });
    check(|view| {
        view.worker.report = None;
        provides(view, |facts| facts.is_provided = false);
    });
}

#[test]
fn times_change_with_the_status_alone() {
    let mut sink = orders();
    let time = |status: &SinkStatus, kind: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind);
        found.map(|condition| condition.last_transition_time.0.as_second())
    };
    let first = sink::sink(&sink, &well(), at(100));
    sink.status = Some(first.clone());
    assert_eq!(sink::sink(&sink, &well(), at(200)), first);
    let mut stalled = well();
    says(&mut stalled, |report| {
        report.state = SinkState::Stalled;
        report.error = Some(problem(Reason::SlotLost));
    });
    let second = sink::sink(&sink, &stalled, at(300));
    assert_eq!(
        [READY, "SourceReady", "TopicReady", STALLED].map(|kind| time(&second, kind)),
        [300, 300, 100, 300].map(Some)
    );
}

#[test]
fn what_is_committed_stays_so_while_nobody_carries() {
    let mut sink = orders();
    let status = sink::sink(&sink, &well(), at(100));
    assert_eq!((status.begun, status.lag.as_deref(), status.position.as_deref()), (true, Some("0.2s"), Some("0/10")));
    assert_eq!(status.destination.as_deref(), Some("kafka/events/orders"));
    sink.status = Some(status);
    let mut gone = well();
    (gone.worker.pod, gone.worker.report) = (None, None);
    let status = sink::sink(&sink, &gone, at(200));
    assert_eq!((status.begun, status.lag, status.position.as_deref()), (true, None, Some("0/10")));
}

#[test]
fn who_waits_for_a_slot_to_be_gone_says_so() {
    let held_up = |view: &mut SinkView| {
        let held_up = Some("its slot is being dropped".to_owned());
        view.facts = Some(SinkFacts { held_up, ..SinkFacts::default() });
        view.worker = WorkerView::default();
    };
    check(held_up, "False:Waiting Reconciling -TopicReady -SourceReady -RuntimeReady", SinkState::Created);
}

#[test]
fn words_that_vary_are_no_news() {
    let mut sink = orders();
    let unreachable = |ms: u32| {
        let mut view = well();
        says(&mut view, |report| {
            report.state = SinkState::Stalled;
            let message = format!("Connect to ipv4#10.96.0.{ms}:9092 failed (after {ms}ms)");
            report.error = Some(Reason::KafkaUnreachable.problem(message, "look at the network"));
        });
        view
    };
    let first = sink::sink(&sink, &unreachable(3), at(100));
    sink.status = Some(first.clone());
    assert_eq!(sink::sink(&sink, &unreachable(7), at(200)), first);
    let facts = |ms: u32| ConnectionFacts {
        answer: Some(Err(Reason::KafkaUnreachable.problem(format!("nobody at kafka:909{ms}"), "look"))),
        ..ConnectionFacts::default()
    };
    let first = connection::connection(&ConnectionStatus::default(), Some(1), &facts(2), at(100));
    assert_eq!(connection::connection(&first, Some(1), &facts(3), at(200)), first);
    // Of another generation all is told as it is now.
    assert_ne!(
        connection::connection(&first, Some(2), &facts(3), at(200)).conditions[0].message,
        first.conditions[0].message
    );
}

#[test]
fn a_connection_is_ready_when_it_answers() {
    let check = |facts: ConnectionFacts, expected: &str| {
        let status = connection::connection(&ConnectionStatus::default(), Some(1), &facts, at(100));
        assert_eq!(in_words(&status.conditions), expected);
    };
    let answer = |answer| ConnectionFacts { answer: Some(answer), ..ConnectionFacts::default() };
    check(answer(Ok(())), "True:Connected");
    check(answer(Err(problem(Reason::KafkaUnreachable))), "False:KafkaUnreachable Reconciling");
    check(answer(Err(problem(Reason::KafkaAuthenticationFailed))), "False:KafkaAuthenticationFailed Stalled");
    let invalid = ConnectionFacts { invalid: Some(invalid(&[wrong()])), ..ConnectionFacts::default() };
    check(invalid, "False:ManifestInvalid Stalled");
    let deletion = Some("Sink default/a uses it".to_owned());
    check(ConnectionFacts { deletion, ..answer(Ok(())) }, "False:Deleting Reconciling");
}

#[test]
fn a_connection_tells_what_cannot_be_provided_with_it() {
    let facts = |provided| ConnectionFacts { answer: Some(Ok(())), provided, ..ConnectionFacts::default() };
    let told = |before: &ConnectionStatus, generation, provided, now| {
        connection::connection(before, Some(generation), &facts(provided), at(now))
    };
    let missing = || Provided::Known(Some(problem(Reason::KafkaAuthorizerMissing)));
    let first = told(&ConnectionStatus::default(), 1, missing(), 100);
    assert_eq!(in_words(&first.conditions), "False:KafkaAuthorizerMissing Stalled");
    // Who begins anew leaves that as it is until it knows better, or the connection is another.
    assert_eq!(told(&first, 1, Provided::Unknown, 200), first);
    assert_eq!(in_words(&told(&first, 2, Provided::Unknown, 200).conditions), "True:Connected");
    assert_eq!(in_words(&told(&first, 1, Provided::Known(None), 200).conditions), "True:Connected");
    // That it does not answer says more.
    let answer = Some(Err(problem(Reason::KafkaUnreachable)));
    let status = connection::connection(&first, Some(1), &ConnectionFacts { answer, ..facts(missing()) }, at(200));
    assert_eq!(in_words(&status.conditions), "False:KafkaUnreachable Reconciling");
}

#[test]
fn mistakes_are_told_as_one_sentence() {
    let said = |errors: &[ManifestError]| in_a_sentence(&invalid(errors));
    let first = "Sink default/orders: spec.kafka.topic.name: it is taken";
    assert_eq!(said(&[wrong()]), format!("{first} · what to do: take another"));
    assert_eq!(said(&[wrong(), wrong(), wrong()]), format!("{first} (and 2 more mistakes) · what to do: take another"));
}
