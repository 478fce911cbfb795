//! `afterbay operator`: the control plane in a cluster.
//!
//! One reconciler per kind; see `docs/design/0011-operator.md`. Nothing here produces a record, and no worker depends on it.

pub mod apply;
pub mod board;
pub mod context;
pub mod events;
pub mod finalize;
pub mod handshake;
pub mod labels;
pub mod leader;
pub mod metrics;
pub mod objects;
pub mod pods;
pub mod poll;
pub mod queue;
mod recorders;
pub mod retire;
pub mod scratch;
pub mod serve;
pub mod settings;
pub mod sink;
pub mod source;
pub mod source_status;
pub mod status;
pub mod stores;
pub mod triggers;

use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use afterbay_crds::names::ResourceName;
use anyhow::Context as _;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cli::OperatorArguments;
use crate::run::signalled;
use board::Board;
use context::{Context, Failure};
use events::Events;
use leader::Candidate;
use metrics::Metrics;
use queue::{Next, Queue};
use scratch::Scratch;
use serve::Leadership;
use settings::Settings;
use stores::Stores;
use stores::watching;
use triggers::{Queues, Triggers};

/// How many resources of a kind are looked at at once. Those of SourceConnectors wait for databases and brokers.
const AT_ONCE: usize = 8;

/// Works until it is told to end, or is no leader any more.
pub async fn operate(arguments: OperatorArguments) -> anyhow::Result<ExitCode> {
    // One for all that follows: a signal that comes between two waits is heard by the next.
    let mut asked_to_end = pin!(signalled());
    let settings = Settings::new(arguments);
    let scratch = Scratch::new(&settings.scratch_dir);
    if settings.owns_scratch {
        scratch.clean()?;
    }
    let client = Client::try_default().await.context(
        "cannot find out how to reach the API server; run it in a pod with a service account, or set KUBECONFIG",
    )?;
    let (leadership, leads) = watch::channel(Leadership::Unknown);
    let metrics = Arc::new(Metrics::default());
    let scopes = settings.scopes();
    let stores = Arc::new(Stores::new(&scopes));
    let mut tasks = JoinSet::new();
    {
        let (stores, metrics, listen) = (Arc::clone(&stores), Arc::clone(&metrics), settings.listen);
        tasks.spawn(async move {
            let served = serve::serve(listen, stores, metrics, leads).await;
            served.with_context(|| format!("cannot serve probes and metrics on {listen}; set --listen"))
        });
    }
    tokio::select! {
        () = &mut asked_to_end => return Ok(ExitCode::SUCCESS),
        () = leader::api_server_answers(&client) => {}
        ended = ended(&mut tasks) => return ended,
    }
    let candidate = match &settings.lease {
        Some(lease) => {
            let candidate = Candidate::new(client.clone(), lease, &settings.identity).await;
            Some(candidate.with_context(|| format!("cannot stand for Lease {}", lease.name))?)
        }
        None => None,
    };
    if let Some(candidate) = &candidate {
        leadership.send_replace(Leadership::Other);
        tokio::select! {
            () = &mut asked_to_end => return Ok(ExitCode::SUCCESS),
            elected = candidate.elected() => elected.context("cannot stand for the Lease")?,
            ended = ended(&mut tasks) => return ended,
        }
    }
    tracing::info!(instance = settings.instance, identity = settings.identity, "this operator leads");
    leadership.send_replace(Leadership::Own);
    metrics.leads(true);
    let queues = Arc::new(Queues::default());
    let board = Arc::new(Board::new(Arc::clone(&queues)));
    let triggers = Arc::new(Triggers::new(Arc::clone(&queues), Arc::clone(&board)));
    let context = Arc::new(Context {
        events: Events::new(client.clone(), &settings.identity, settings.own_pod.as_ref()),
        scratch,
        applied: apply::Memory::default(),
        answers: handshake::Answers::default(),
        memories: source::Memories::default(),
        returned: retire::Returned::default(),
        recalled: retire::Recalled::default(),
        client,
        stores,
        board,
        queues,
        metrics,
        settings,
    });
    let _watches = watching::start(&context.client, &context.stores, &triggers, &scopes);
    {
        let context = Arc::clone(&context);
        tasks.spawn(async move {
            context.stores.filled().await;
            tracing::info!(sinks = context.stores.sinks.len(), "what there is in the cluster has been read");
            reconcile(&context).await;
            Ok(())
        });
    }
    let board = Arc::clone(&context.board);
    tasks.spawn(async move { poll::run(&board).await.context("cannot ask the workers") });
    let deposed = async {
        match &candidate {
            Some(candidate) => candidate.deposed().await.context("cannot renew the Lease"),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = &mut asked_to_end => {}
        ended = ended(&mut tasks) => return ended,
        deposed = deposed => {
            deposed?;
            // What is under way must not go on beside who leads now.
            anyhow::bail!("another operator leads now");
        }
    }
    tasks.shutdown().await;
    if let Some(candidate) = &candidate {
        candidate.resign().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// None of them ends by itself, unless it fails.
async fn ended(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    if let Some(ended) = tasks.join_next().await {
        ended.context("a task failed")??;
    }
    anyhow::bail!("a task ended by itself")
}

/// All reconcilers, for ever.
async fn reconcile(context: &Arc<Context>) {
    let queues = &context.queues;
    tokio::join!(
        each(context, &queues.connections, "KafkaConnection", |context, name| {
            Box::pin(handshake::kafka_connection(context, name))
        }),
        each(context, &queues.registries, "SchemaRegistryConnection", |context, name| {
            Box::pin(handshake::registry(context, name))
        }),
        each(context, &queues.sources, "SourceConnector", |context, name| Box::pin(source::reconcile(context, name))),
        each(context, &queues.source_statuses, "SourceConnectorStatus", |context, name| {
            Box::pin(source_status::reconcile(context, name))
        }),
        each(context, &queues.sinks, "Sink", |context, name| Box::pin(sink::reconcile(context, name))),
    );
}

/// What a reconciler does.
type Look = for<'a> fn(&'a Context, &'a ResourceName) -> Looking<'a>;
type Looking<'a> = Pin<Box<dyn Future<Output = Result<Next, Failure>> + Send + 'a>>;

/// One reconciler, for ever: what it takes is measured, and what fails is told.
async fn each(context: &Arc<Context>, queue: &Arc<Queue>, kind: &'static str, look: Look) {
    let looked = |name: ResourceName| measured(Arc::clone(context), kind, name, look);
    Arc::clone(queue).run(AT_ONCE, looked).await;
}

async fn measured(context: Arc<Context>, kind: &'static str, name: ResourceName, look: Look) -> Option<Next> {
    let begun = Instant::now();
    let looked = look(&context, &name).await;
    context.metrics.reconciled(kind, looked.is_ok(), begun.elapsed());
    match looked {
        Ok(next) => {
            tracing::debug!(kind, %name, ?next, "looked at");
            Some(next)
        }
        Err(failure) => {
            tracing::warn!(kind, %name, "{failure}; it is tried again");
            None
        }
    }
}
