//! One worker of a SourceConnector: its tables, what it needs, its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::plan::Plan;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::Worker;

use super::memory::WorkerMemory;
use super::{Current, Look, carried, owner, patterns, provide, rollout, secret_files};
use crate::cluster::board::WorkerFacts;
use crate::cluster::context::Failure;
use crate::cluster::objects::{self, ObjectsError, names};
use crate::cluster::retire::retained;
use crate::cluster::scratch::Folder;

impl Look<'_> {
    /// One worker: its tables, what it needs, its objects.
    pub(super) async fn worker(
        &self,
        memory: &mut WorkerMemory,
        mut worker: Worker,
        mut own: Worker,
        scratch: &Folder,
    ) -> Result<Option<Duration>, Failure> {
        let context = self.context;
        scratch.keep(&own.secrets)?;
        let name = worker.name.clone();
        let current = self.current.iter().find(|current| current.name == name);
        let current_plan = current.and_then(|current| self.with_begun(current));
        let report = context.board.worker(&name).report;
        let mut facts = Self::facts(&name, current, &worker.plan.source.slot);
        let looked =
            patterns::carry(&mut memory.looks, &mut worker, &mut own, current_plan.as_ref(), report.as_deref()).await;
        let look = match (looked, &current_plan) {
            (Ok(look), _) => look,
            (Err(problem), Some(plan)) => {
                patterns::carry_on(&mut worker, &mut own, plan);
                facts.held_back.insert(format!("source {name}"));
                facts.problems.push((format!("source {name}"), problem));
                patterns::Look { again: Some(patterns::INTERVAL), ..patterns::Look::default() }
            }
            // Without the tables there is no plan.
            (Err(problem), None) => {
                facts.problems.push((format!("source {name}"), problem));
                context.board.set_worker(facts);
                return Ok(Some(patterns::INTERVAL));
            }
        };
        let is_urged = provide::is_urged(&worker, report.as_deref());
        let (outcome, writes) = provide::provide(&mut memory.provided, &worker, &own, is_urged).await;
        for (kind, count) in writes {
            (0..count).for_each(|_| context.metrics.broker_write(kind));
        }
        facts.is_provided = true;
        facts.problems.extend(outcome.problems.iter().cloned());
        facts.held_back.extend(outcome.forbidden.iter().cloned());
        facts.warnings = outcome.warnings.iter().cloned().chain(look.warnings).collect();
        let connections: BTreeMap<_, _> =
            worker.plan.sinks.iter().map(|sink| (sink.name.clone(), sink.kafka.connection.name.clone())).collect();
        let forbidden = |sink: &str| {
            let connection = connections.get(sink).map(String::as_str).unwrap_or_default();
            outcome.forbidden.contains(&format!("sink {sink}"))
                || outcome.forbidden.contains(&format!("connection {connection}"))
        };
        carried::leave_out(&mut worker, forbidden);
        if let (Some(current), Some(plan)) = (current, &current.and_then(|current| current.plan.clone())) {
            self.keep(&mut worker, current, plan).await?;
        }
        if worker.plan.sinks.is_empty() {
            context.board.set_worker(facts);
        } else {
            self.roll_out(worker, facts).await?;
        }
        let due = provide::due_in(memory.provided.as_ref(), is_urged);
        Ok([look.again, due].into_iter().flatten().min())
    }

    /// Has Sinks go on as they were that are carried, are still there, and have no place in the new plan.
    async fn keep(&self, worker: &mut Worker, current: &Current, plan: &Plan) -> Result<(), Failure> {
        let held = self.held(plan);
        let before = worker.plan.sinks.len();
        carried::keep(worker, plan, &held);
        if worker.plan.sinks.len() == before || current.secrets_hash.is_empty() {
            return Ok(());
        }
        // With the credentials that they have.
        let secret = names::secrets(&current.name, &current.secrets_hash);
        for file in secret_files(self.context, &self.name.sibling(&secret), &current.name).await? {
            if !worker.secrets.iter().any(|known| known.path == file.path) {
                worker.secrets.push(file);
            }
        }
        Ok(())
    }

    async fn roll_out(&self, worker: Worker, mut facts: WorkerFacts) -> Result<(), Failure> {
        let owner = owner(self.source);
        facts.sinks = worker.sinks.iter().map(|sink| sink.name.clone()).collect();
        let objects = match objects::of_worker(
            &worker,
            &self.source.spec.worker,
            &self.begun,
            &owner,
            &self.context.settings.worker,
        ) {
            Ok(objects) => objects,
            Err(error) => {
                facts.held_back.insert(format!("source {}", worker.name));
                facts.problems.push((format!("source {}", worker.name), not_made(&worker.name, &error)));
                self.context.board.set_worker(facts);
                return Ok(());
            }
        };
        facts.plan_hash = Some(objects.plan_hash.clone());
        let carried = facts.sinks.clone();
        self.context.board.set_worker(facts);
        rollout::apply(self.context, &objects).await?;
        retained::returned(self.context, &worker.name, &carried).await?;
        rollout::remove_old(self.context, &worker.name, &objects).await
    }

    fn facts(name: &WorkerName, current: Option<&Current>, slot: &str) -> WorkerFacts {
        WorkerFacts {
            name: name.clone(),
            deployment: names::deployment(name),
            slot: slot.to_owned(),
            plan_hash: current.map(|current| current.plan_hash.clone()),
            sinks: current.map(Current::sinks).unwrap_or_default(),
            is_provided: false,
            problems: Vec::new(),
            held_back: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether a Sink is there that cannot be read: it is carried on as it was.
    fn is_unreadable(&self, sink: &str) -> bool {
        let name = sink.split_once('/').map(|(namespace, name)| ResourceName::new(namespace, name));
        name.is_some_and(|name| self.context.stores.sinks.is_unreadable(&name))
    }

    /// The Sinks that are there: its own, and those of a plan that cannot be read.
    fn held(&self, plan: &Plan) -> BTreeSet<String> {
        let unreadable = plan.sinks.iter().filter(|sink| self.is_unreadable(&sink.name));
        let own = self.gathered.sinks.iter().map(ToString::to_string);
        own.chain(unreadable.map(|sink| sink.name.clone())).collect()
    }

    /// The plan that a worker runs, with what is known of its Sinks since.
    fn with_begun(&self, current: &Current) -> Option<Plan> {
        let mut plan = current.plan.clone()?;
        for sink in &mut plan.sinks {
            sink.begun = self.begun.contains(&sink.name);
        }
        Some(plan)
    }

    /// A worker goes on as it was, but for Sinks that are gone.
    pub(super) async fn as_it_was(&self, current: &Current) -> Result<(), Failure> {
        let held = current.plan.as_ref().map(|plan| self.held(plan)).unwrap_or_default();
        let slot = current.plan.as_ref().map(|plan| plan.source.slot.clone()).unwrap_or_default();
        let facts = Self::facts(&current.name, Some(current), &slot);
        let Some(mut worker) = current.plan.clone().map(|plan| carried::worker(&current.name, plan)) else {
            self.context.board.set_worker(facts);
            return Ok(());
        };
        let before = worker.plan.sinks.len();
        carried::leave_out(&mut worker, |sink| !held.contains(sink));
        if worker.plan.sinks.len() == before {
            self.context.board.set_worker(facts);
            return Ok(());
        }
        if worker.plan.sinks.is_empty() {
            return rollout::lay_down(self.context, &current.name).await;
        }
        if !current.secrets_hash.is_empty() {
            let secret = self.name.sibling(&names::secrets(&current.name, &current.secrets_hash));
            worker.secrets = secret_files(self.context, &secret, &current.name).await?;
        }
        self.roll_out(worker, facts).await
    }
}

fn not_made(worker: &WorkerName, error: &ObjectsError) -> Problem {
    let hint = match error {
        ObjectsError::TooLarge { .. } => {
            "spread its Sinks over several pools (spec.pool), or carry fewer tables; what runs goes on as it is"
        }
        _ => "please report it; what runs goes on as it is",
    };
    Reason::PlanInvalid.problem(format!("worker {worker} cannot be given its plan: {error}"), hint)
}
