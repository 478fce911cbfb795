//! A worker: the plan, its threads and tasks, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use afterbay_crds::plan::Plan;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::serve::{self, WorkerStatus};
use crate::sink::batches::Batches;
use crate::sink::doors::Doors;
use crate::sink::status::SinkStatus;
use crate::sink::thread::{self, Outcome};
use crate::sink::{SinkContext, Stop};
use crate::source::floors::Floors;
use crate::source::histories::Histories;
use crate::source::kept::Kept;
use crate::source::manager::Manager;
use crate::source::session::Context;
use crate::source::status::SourceStatus;
use crate::source::turns::Turns;
use crate::source::{SourceHandle, own_thread};

/// How long the Sinks may take to commit what they hold when the worker is told to end. What they do not get done is
/// done by the next worker. It is to be gone within 10 s, and those who tell it and who notice need some of them.
const FAREWELL: Duration = Duration::from_secs(6);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// How a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was told to.
    Stopped,
    /// A successor owns its transactional ids.
    Fenced,
    /// A thread broke down.
    Broken,
}

/// Runs the plan until `shutdown` comes, or it cannot go on.
pub async fn run(plan: Plan, shutdown: impl Future<Output = ()>) -> std::io::Result<Exit> {
    let listener = TcpListener::bind(&plan.listen).await?;
    if let Some(file) = &plan.listen_file {
        let unfinished = file.with_extension("tmp");
        tokio::fs::write(&unfinished, listener.local_addr()?.to_string()).await?;
        tokio::fs::rename(&unfinished, file).await?;
    }
    let stop = Stop::default();
    let (status, mut ended) = start(plan, &stop)?;
    let http = tokio::spawn(serve::http::serve(listener, status.clone()));
    tokio::pin!(shutdown);
    let exit = tokio::select! {
        () = &mut shutdown => Exit::Stopped,
        outcome = ended.recv() => match outcome {
            Some(Outcome::Fenced) => Exit::Fenced,
            Some(Outcome::Stopped) | None => {
                status.broken();
                Exit::Broken
            }
        },
    };
    stop.set();
    let deadline = Instant::now() + FAREWELL;
    // The channel closes when the last thread has ended.
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline, ended.recv()).await {}
    http.abort();
    Ok(exit)
}

/// Starts the threads and tasks; gives what they say of themselves, and a channel that tells who ends.
fn start(plan: Plan, stop: &Stop) -> std::io::Result<(WorkerStatus, mpsc::UnboundedReceiver<Outcome>)> {
    let count = plan.sinks.len();
    let shares = Shares::of(plan.memory_bytes, count as u64);
    let floors = Floors::new(count);
    let context = Arc::new(Context {
        plan: Arc::new(plan.source),
        sinks: plan.sinks.iter().cloned().collect(),
        floors: floors.clone(),
        histories: Histories::default(),
        kept: Kept::default(),
        status: SourceStatus::default(),
        queue_bytes: shares.queue_bytes,
        batch_bytes: shares.batch_bytes,
        turns: Turns::new(tokio::runtime::Handle::current()),
    });
    let source_status = context.status.clone();
    let (requests, receiver) = mpsc::unbounded_channel();
    let manager = Manager::new(Arc::clone(&context), count, receiver, requests.downgrade());
    let handle = SourceHandle::new(context, requests);
    let (tell, ended) = mpsc::unbounded_channel();
    let told = tell.clone();
    let managed = own_thread::spawn("source", manager.run())?;
    tokio::spawn(async move {
        // Without it no Sink would ever be fed again: a panic is a defect, and the process ends with it.
        if managed.await.is_err() {
            // Nobody listens any more when the worker is ending.
            let _ = told.send(Outcome::Stopped);
        }
    });
    let mut sinks = Vec::with_capacity(count);
    let doors = Doors::of(&plan.sinks);
    for ((index, plan), doors) in plan.sinks.into_iter().enumerate().zip(doors) {
        let status = SinkStatus::new(&plan);
        sinks.push(status.clone());
        let sink = SinkContext {
            plan,
            index,
            source: handle.clone(),
            floors: floors.clone(),
            status,
            doors,
            producer_bytes: shares.producer_bytes,
            batches: Batches::default(),
            runtime: tokio::runtime::Handle::current(),
            stop: stop.clone(),
        };
        let tell = tell.clone();
        std::thread::Builder::new().name(format!("sink-{index}")).spawn(move || {
            // A panic is a defect; the process ends with it, and the next one goes on from what is committed.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread::run(&sink)));
            // Nobody listens any more when the worker is ending.
            let _ = tell.send(outcome.unwrap_or(Outcome::Stopped));
        })?;
    }
    Ok((WorkerStatus::new(plan.worker, source_status, sinks), ended))
}

/// How the worker's memory is shared among its Sinks.
#[allow(clippy::struct_field_names)] // The unit is part of the name.
struct Shares {
    queue_bytes: u32,
    batch_bytes: usize,
    producer_bytes: u64,
}

impl Shares {
    /// A quarter for the queues behind the source, half for the producers, the rest for all else.
    fn of(memory_bytes: u64, sinks: u64) -> Self {
        let sinks = sinks.max(1);
        let queue = (memory_bytes / 4 / sinks).clamp(256 * KIB, 16 * MIB);
        Self {
            queue_bytes: u32::try_from(queue).unwrap_or(u32::MAX),
            batch_bytes: (queue / 4).min(128 * KIB) as usize,
            producer_bytes: (memory_bytes / 2 / sinks).clamp(MIB, 256 * MIB),
        }
    }
}
