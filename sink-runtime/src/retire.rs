//! Takes away what goes with Sinks and SourceConnectors that are deleted: progress records, slots, publications. Topics of
//! data stay as they are.
//!
//! What is taken away already is no error, so that it can be done again after whatever end.

use std::time::Duration;

use afterbay_clients::fault;
use afterbay_clients::kafka::{ProducerSettings, TransactionalProducer, progress};
use afterbay_clients::postgres::retirement;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::retirement::{LeftBehind, RetiredSink, Retirement, RetirementPlan};
use serde::Deserialize;
use tokio::time::Instant;

use crate::sink::begin::KAFKA_TIMEOUT;

/// How often something is tried before it is told that it stays behind.
const TRIES: u32 = 3;
/// How long to wait before it is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// How long all of it may take. Who waits for it takes it for ended some time later, though nobody should have seen that.
const LIMIT: Duration = Duration::from_mins(2);

/// Takes away what it can, and tells what stays behind.
pub async fn run(plan: RetirementPlan) -> Retirement {
    within(plan, LIMIT).await
}

async fn within(plan: RetirementPlan, limit: Duration) -> Retirement {
    let until = Instant::now() + limit;
    let mut done = Retirement::default();
    for sink in plan.sinks {
        let (name, of) = (sink.name.clone(), sink);
        let outcome = tried(|| {
            let sink = of.clone();
            async move {
                // Its calls block.
                let done = tokio::task::spawn_blocking(move || record(&sink)).await;
                done.unwrap_or_else(|_| Err(Reason::WorkerExited.problem("it broke down", "please report it")))
            }
        });
        match in_time(until, limit, outcome).await {
            Ok(()) => done.sinks.push(name),
            Err(problem) => {
                let what = format!("the progress record under key {} in topic {}", of.progress_key, of.progress_topic);
                done.left.push(stays(format!("sink {name}"), &what, &problem));
            }
        }
    }
    for source in plan.sources {
        let dropped = || fault::point("retire-slot-dropped");
        match in_time(until, limit, tried(|| retirement::retire(&source, dropped))).await {
            Ok(()) => done.sources.push(source.name),
            Err(problem) => {
                done.left.push(stays(format!("source {}", source.name), &source.in_words(), &problem));
            }
        }
    }
    done
}

async fn in_time(
    until: Instant,
    limit: Duration,
    attempt: impl Future<Output = Result<(), Problem>>,
) -> Result<(), Problem> {
    let done = tokio::time::timeout_at(until, attempt).await;
    done.unwrap_or_else(|_| {
        let message = format!("all was to be done in {} s, and it was not", limit.as_secs());
        Err(Reason::LeftBehind.problem(message, "see whether the systems answer, and take it away by hand"))
    })
}

async fn tried<F: Future<Output = Result<(), Problem>>>(mut attempt: impl FnMut() -> F) -> Result<(), Problem> {
    for _ in 1..TRIES {
        match attempt().await {
            Ok(()) => return Ok(()),
            Err(problem) => tracing::warn!(reason = %problem.reason, "{}", problem.message),
        }
        tokio::time::sleep(PAUSE).await;
    }
    attempt().await
}

fn stays(subject: String, what: &str, problem: &Problem) -> LeftBehind {
    let message = format!("{what} may stay behind: {} ({})", problem.message, problem.reason);
    let problem = Reason::LeftBehind.problem(message, problem.hint.clone());
    LeftBehind { subject, problem }
}

/// Fences whoever still runs, and then deletes the record: nobody writes another one after it.
fn record(sink: &RetiredSink) -> Result<(), Problem> {
    let producer = TransactionalProducer::new(&sink.connection, &ProducerSettings::new(&sink.transactional_id))
        .map_err(|error| error.problem())?;
    producer.init_transactions(KAFKA_TIMEOUT).map_err(|error| error.problem())?;
    fault::point("retire-fenced");
    let found = progress::read_progress(
        &sink.connection,
        &sink.progress_topic,
        &sink.progress_group_id,
        &sink.progress_key,
        KAFKA_TIMEOUT,
    )
    .map_err(|error| error.problem())?;
    let Some(record) = found else { return Ok(()) };
    if !is_of(&record, &sink.uid)? {
        return Ok(());
    }
    let delete = || {
        let topic = producer.topic(&sink.progress_topic)?;
        producer.begin()?;
        producer.produce(&topic, 0, Some(sink.progress_key.as_bytes()), None, std::iter::empty())?;
        producer.flush(KAFKA_TIMEOUT)?;
        fault::point("retire-staged");
        producer.commit(KAFKA_TIMEOUT)
    };
    delete().map_err(|error: afterbay_clients::kafka::TransactionError| error.problem())
}

/// Whether a record, of whatever version, is of this life of the Sink.
fn is_of(record: &[u8], uid: &str) -> Result<bool, Problem> {
    #[derive(Deserialize)]
    struct Owned {
        uid: String,
    }
    let owned: Owned = serde_json::from_slice(record).map_err(|error| {
        Reason::ProgressUnreadable.problem(format!("its owner cannot be told: {error}"), "delete it by hand")
    })?;
    Ok(owned.uid == uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_life_is_left_alone() {
        let record = br#"{"version":9,"uid":"a","place":"elsewhere"}"#;
        assert!(is_of(record, "a").unwrap());
        assert!(!is_of(record, "b").unwrap());
        assert_eq!(is_of(b"{}", "a").unwrap_err().reason, "ProgressUnreadable");
    }

    #[tokio::test]
    async fn it_ends_though_a_database_does_not_answer() {
        // Takes connections, and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        let plan = serde_json::from_value(serde_json::json!({
            "version": afterbay_crds::retirement::RETIREMENT_VERSION, "sinks": [],
            "sources": [{
                "name": "eu/shop", "slots": ["afterbay_shop"], "publication": null,
                "connection": {
                    "hosts": [{"host": "127.0.0.1", "port": port}], "database": "shop", "username": "u",
                    "tls": {"mode": "disable"},
                },
            }],
        }));
        let told = within(plan.unwrap(), Duration::from_millis(50)).await;
        assert!(told.sources.is_empty());
        assert!(told.left[0].problem.message.contains("replication slot afterbay_shop"), "{:?}", told.left);
    }
}
