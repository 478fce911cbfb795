//! What a run tells of itself, to people and to machines, and how it ends.

use afterbay_crds::report::{SinkState, WorkerReport};
use afterbay_e2e::afterbay::{Options, PATIENCE, status};
use afterbay_e2e::database::lsn;
use afterbay_e2e::{Afterbay, Format, Manifests, Scenario, Sink, await_condition, broker, http, processes, reference};
use serde_json::Value;

/// A Sink of table `t`, which holds ten rows.
async fn begin(test: &str) -> (Scenario, String, Manifests) {
    let scenario = Scenario::new(test).await;
    scenario
        .database
        .run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 10) i")
        .await;
    let topic = scenario.topic("t");
    let manifests = scenario.manifests().with(Sink::new("t", "public.t", &topic).key(&["id"]));
    (scenario, topic, manifests)
}

/// Status and body of a page of the worker; where it listens stands in the state directory.
async fn page(scenario: &Scenario, page: &str) -> Option<(u16, String)> {
    let file = scenario.state_dir().join(format!("{}.shop.address", scenario.unique));
    let address = std::fs::read_to_string(file).ok()?;
    http::request("GET", &format!("http://{}/{page}", address.trim()), "").await
}

#[tokio::test]
async fn status_tells_what_a_run_carries() {
    let (scenario, topic, manifests) = begin("status").await;
    let nothing = status(&scenario.state_dir(), &[]).await;
    assert_eq!(nothing.status.code(), Some(1));
    assert!(nothing.log.join("\n").contains("no afterbay run holds the state directory"), "{nothing:?}");

    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    scenario.database.run("INSERT INTO t VALUES (11, 11), (12, 12)").await;
    afterbay.caught_up(&scenario).await;
    let sink = await_condition("the status has come to its file", PATIENCE, async || {
        let finished = status(&scenario.state_dir(), &["-o", "json"]).await;
        assert!(finished.success(), "{finished:?}");
        let workers: Vec<WorkerReport> = serde_json::from_str(&finished.output.concat()).expect("reports of workers");
        let [worker] = workers.as_slice() else { return None };
        worker.sinks.first().filter(|sink| sink.messages_committed == 12).cloned()
    })
    .await;
    assert_eq!((sink.name, sink.table, &sink.topic), (format!("{}/t", scenario.unique), "public.t".into(), &topic));
    assert_eq!((sink.state, sink.begun, sink.error), (SinkState::Running, true, None));
    assert_eq!((sink.snapshot_rows, sink.messages_staged), (10, 12));
    let place = |position: &str| lsn(position.split(':').next().expect("an LSN"));
    let position = place(&sink.position.expect("a Sink that has committed has a position"));
    assert!(sink.lag_bytes.is_some() && sink.lag_ms.is_some_and(|ms| ms < 60_000), "{:?}", sink.lag_ms);

    let table = status(&scenario.state_dir(), &[]).await;
    assert!(table.success(), "{table:?}");
    // Below it, after an empty line, is told that the rig has one broker.
    let [headings, row, empty, warning] = table.output.as_slice() else { panic!("one Sink: {table:?}") };
    assert!(empty.is_empty() && warning.starts_with("warning: ProgressTopicWeak: "), "{table:?}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(headings), words("NAME SOURCE DESTINATION STATUS POSITION LAG RATE COMMITTED ERROR"));
    let row = words(row);
    let source = format!("{0}/shop/public.t", scenario.unique);
    assert_eq!(row[..5], [format!("{}/t", scenario.unique), source, topic, "running".into(), row[4].clone()]);
    // It moves with the log that others fill.
    let end = scenario.database.log_end().await;
    assert!(position <= place(&row[4]) && place(&row[4]) <= end, "{row:?}");
    assert_eq!(row[row.len() - 3..], ["0/s", "12", "-"], "rate, count and error");
}

#[tokio::test]
async fn status_tells_how_fast_it_goes_and_what_is_wrong() {
    let (scenario, topic, manifests) = begin("status-rate").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let writer = scenario.database.session().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            writer.run("UPDATE t SET n = n + 1").await;
        }
    });
    await_condition("the rate is more than nothing", PATIENCE, async || {
        let table = status(&scenario.state_dir(), &[]).await;
        let rate =
            table.output.get(1)?.split_whitespace().find_map(|word| word.strip_suffix("/s")?.parse::<u32>().ok());
        rate.filter(|rate| *rate > 0)
    })
    .await;
    stop.send(()).expect("the writer listens");
    writing.await.expect("the writer does not panic");
    afterbay.caught_up(&scenario).await;
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "100").await;
    scenario.database.run("UPDATE t SET n = 0").await;
    afterbay.stalled("t", "MessageTooLarge").await;
    let told = await_condition("the status tells the problem", PATIENCE, async || {
        let table = status(&scenario.state_dir(), &[]).await;
        let told = |line: &&String| line.contains("what to do") && !line.starts_with("warning: ");
        table.output.iter().find(told).cloned()
    })
    .await;
    assert!(told.starts_with(&format!("sink {}/t: MessageTooLarge: ", scenario.unique)), "{told}");
}

#[tokio::test]
async fn people_are_told_in_lines() {
    let (scenario, topic, manifests) = begin("text").await;
    let afterbay = scenario.run_with(&manifests, &Options::default().text());
    let name = format!("{}/t", scenario.unique);
    afterbay.logged("the Sink's line", |line| line.starts_with(&format!("{name} running 10 committed"))).await;
    let started = format!("worker {}/shop started (process {})", scenario.unique, afterbay.worker().await);
    afterbay.logged("the worker's line", |line| line == started).await;
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "100").await;
    scenario.database.run("UPDATE t SET n = 0").await;
    let problem = format!("sink {name}: MessageTooLarge: ");
    afterbay.logged("the problem", |line| line.starts_with(&problem) && line.contains(" · what to do: raise ")).await;
    broker::configure_topic(scenario.rig, &topic, "max.message.bytes", "1000000").await;
    afterbay.logged("its end", |line| line == format!("sink {name}: MessageTooLarge is over")).await;
    let finished = afterbay.stop().await;
    assert!(finished.success() && finished.output.is_empty(), "standard output is for results: {finished:?}");
}

#[tokio::test]
async fn an_interrupt_ends_it_well() {
    let (scenario, topic, manifests) = begin("interrupt").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let workers = afterbay.workers();
    scenario.database.run("UPDATE t SET n = n + 1").await;
    let finished = afterbay.end_by("INT").await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let events = finished.events();
    let last = events.last().expect("a run has a last word");
    assert_eq!((&last["event"], &last["code"]), (&"end".into(), &0.into()));
    assert!(!workers.is_empty() && !workers.iter().any(|pid| processes::lives(*pid)), "a worker is left");
    for gone in ["secrets", "status.json"] {
        assert!(!scenario.state_dir().join(gone).exists(), "{gone} is left");
    }
    scenario.carry(&manifests).await;
    assert_eq!(scenario.messages(&topic, Format::Json).await.len(), 20);
}

#[tokio::test]
async fn until_caught_up_gives_up_in_time_and_says_what_is_lacking() {
    let (scenario, topic, manifests) = begin("timeout").await;
    broker::create_topic(scenario.rig, &topic, 1, &[("max.message.bytes", "100")]).await;
    let options = Options::default().argument("--until-caught-up").argument("--timeout").argument("45s");
    let finished = scenario.run_with(&manifests, &options).wait().await;
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    let events = finished.events();
    let told = |event: &str, field: &str, word: &str| events.iter().any(|e| e["event"] == event && e[field] == word);
    assert!(told("problem", "reason", "MessageTooLarge"), "{events:?}");
    assert!(events.iter().any(|event| event["event"] == "timeout"), "{events:?}");
    let last = events.last().expect("a run has a last word");
    assert_eq!((&last["event"], &last["code"]), (&"end".into(), &1.into()));
    assert!(scenario.messages(&topic, Format::Json).await.is_empty());
}

#[tokio::test]
async fn a_worker_is_ready_when_it_carries() {
    let (scenario, _, manifests) = begin("ready").await;
    // The slot waits for the transactions that were open when it was asked for.
    let long = scenario.database.session().await;
    long.run("BEGIN; INSERT INTO t VALUES (11, 11)").await;
    let afterbay = scenario.run(&manifests);
    let starting = await_condition("a worker listens", PATIENCE, async || page(&scenario, "readyz").await).await;
    assert_eq!(starting.0, 503, "{starting:?}");
    afterbay.sink("asks for its place", "t", |sink| sink.state == SinkState::Starting).await;
    assert_eq!(page(&scenario, "livez").await.map(|(status, _)| status), Some(200), "it lives all the same");
    assert_eq!(page(&scenario, "readyz").await.map(|(status, _)| status), Some(503), "a Sink has no place yet");
    long.run("COMMIT").await;
    let ready = async || page(&scenario, "readyz").await.filter(|(status, _)| *status == 200);
    await_condition("the worker is ready", PATIENCE, ready).await;
    let report = page(&scenario, "status").await.expect("the worker answers").1;
    let report: WorkerReport = serde_json::from_str(&report).expect("a report");
    assert!(matches!(report.sinks[0].state, SinkState::Snapshotting | SinkState::Running), "{report:?}");
    afterbay.caught_up(&scenario).await;
}

/// The value of a series.
async fn metric(scenario: &Scenario, name: &str, labels: &str) -> Option<u64> {
    let (status, text) = page(scenario, "metrics").await?;
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"), "OpenMetrics ends with its mark: {text}");
    let sink = format!("worker=\"{0}/shop\",sink=\"{0}/t\"", scenario.unique);
    let series = format!("afterbay_sink_{name}{{{sink}{labels}}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

#[tokio::test]
async fn metrics_count_what_was_carried() {
    let (scenario, topic, manifests) = begin("metrics").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    let sql = "INSERT INTO t VALUES (11, 0), (12, 0), (13, 0); UPDATE t SET id = 14 WHERE id = 11; DELETE FROM t WHERE id = 1";
    scenario.database.run(sql).await;
    afterbay.caught_up(&scenario).await;
    // Ten rows; three insertions, a change of the key (two messages), a deletion.
    for (name, value) in [("snapshot_rows_total", 10), ("messages_staged_total", 16), ("messages_committed_total", 16)]
    {
        assert_eq!(metric(&scenario, name, "").await, Some(value), "{name}");
    }
    let bytes = bytes(&scenario, &topic).await;
    for name in ["bytes_staged_total", "bytes_committed_total"] {
        assert_eq!(metric(&scenario, name, "").await, Some(bytes), "{name}");
    }
    for (state, value) in [("running", 1), ("stalled", 0), ("starting", 0)] {
        let label = format!(",state=\"{state}\"");
        assert_eq!(metric(&scenario, "state", &label).await, Some(value), "{state}");
    }
    assert!(
        metric(&scenario, "lag_bytes", "").await.is_some() && metric(&scenario, "lag_milliseconds", "").await.is_some()
    );
    let (_, text) = page(&scenario, "metrics").await.expect("the worker answers");
    assert!(text.lines().any(|line| line.starts_with("afterbay_source_connected") && line.ends_with(" 1")), "{text}");
    nothing_more_is_counted(&scenario, &afterbay).await;
}

/// Keys and values of a topic, as they lie there.
async fn bytes(scenario: &Scenario, topic: &str) -> u64 {
    let lines = reference::consume(scenario.rig.broker(), topic, ("text", "text"), &[]).await;
    let messages = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a message"));
    messages
        .map(|message| {
            ["key", "value"].map(|part| message[part].as_str().map_or(0, str::len)).iter().sum::<usize>() as u64
        })
        .sum()
}

/// What is no business of a Sink moves its position, and none of its counters.
async fn nothing_more_is_counted(scenario: &Scenario, afterbay: &Afterbay) {
    scenario.database.run("CREATE TABLE other (id int); INSERT INTO other VALUES (1)").await;
    afterbay.caught_up(scenario).await;
    assert_eq!(metric(scenario, "messages_committed_total", "").await, Some(16));
}

/// Keys go to new partitions, too, as soon as these are noticed: the partitions are counted every half minute.
#[tokio::test]
async fn a_topic_that_grows_is_followed() {
    let (scenario, topic, manifests) = begin("growth").await;
    let afterbay = scenario.run(&manifests);
    afterbay.caught_up(&scenario).await;
    broker::add_partitions(scenario.rig, &topic, 4).await;
    await_condition("the Sink notices the new partitions", PATIENCE, async || {
        scenario.database.run("INSERT INTO t SELECT max(id) + 1, 0 FROM t").await;
        let noticed = afterbay.log().iter().any(|line| line.contains("has 4 partitions now, it had 1"));
        // A Sink that begins anew meanwhile has nothing to notice.
        (noticed || (1..4).any(|partition| broker::end(scenario.rig, &topic, partition) > 0)).then_some(())
    })
    .await;
    scenario.database.run("INSERT INTO t SELECT i, i FROM generate_series(100001, 100100) i").await;
    afterbay.caught_up(&scenario).await;
    let messages = scenario.messages(&topic, Format::Json).await;
    assert_eq!(messages.len() as i64, scenario.database.number("SELECT count(*) FROM t").await);
    let late = messages.iter().filter(|message| message.integer("id") > 100_000);
    let partitions: std::collections::BTreeSet<_> = late.map(|message| message.partition).collect();
    assert_eq!(partitions, [0, 1, 2, 3].into());
}
