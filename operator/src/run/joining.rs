//! The tables that join and leave the Sinks by patterns of a worker.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use afterbay_crds::plan::{SinkPlan, TableName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::resolve::Worker;
use serde_json::json;

use super::reports::Finder;
use super::{Shared, child};
use crate::tables::{self, Carried, Choice};

/// How often the catalogue is looked at: soon enough for somebody who makes a table and waits for its topic, and a few
/// short statements of a minute to the database.
const INTERVAL: Duration = Duration::from_secs(10);

/// Within this time a worker has told where the log ended after a look at the catalogue: it asks every two seconds, and is
/// asked more often.
const LOG_END_HEARD: Duration = Duration::from_secs(4);

/// What is carried by a worker's Sinks by patterns, and what was told of it.
pub struct Joining<'s> {
    shared: &'s Shared,
    index: usize,
    /// By the plan that the worker was last started with, also that of an earlier run.
    carried: Carried,
}

impl<'s> Joining<'s> {
    pub fn new(shared: &'s Shared, index: usize, worker: &Worker) -> Self {
        let mut last = shared.state.last_plan(&worker.name.file_stem());
        if let Some(plan) = &mut last {
            // One that was deleted and is declared again carries nothing yet.
            let begun = shared.begun.lock().unwrap_or_else(PoisonError::into_inner);
            plan.sinks.retain(|sink| begun.contains(&sink.name));
        }
        Self { shared, index, carried: last.as_ref().map(Carried::of).unwrap_or_default() }
    }

    /// What is to be carried at the start of the run; waits for the source.
    pub async fn at_first(&self, worker: &Worker) -> Vec<Choice> {
        if !tables::has_patterns(worker) {
            return Vec::new();
        }
        let subject = format!("source {} (tables)", worker.name);
        let mut waits = child::patience();
        loop {
            match self.look(worker, &self.carried, tables::Joining::AtFirst).await {
                Ok(choices) => {
                    self.shared.teller.solved(&subject);
                    self.shared.reports.lacks(self.index, Finder::Tables, &[]);
                    self.shared.keep_status();
                    return choices;
                }
                Err(problem) => {
                    self.shared.teller.problem(&subject, &problem);
                    self.shared.reports.lacks(self.index, Finder::Tables, &[(subject.clone(), problem)]);
                    self.shared.keep_status();
                }
            }
            tokio::time::sleep(waits.next().unwrap_or(INTERVAL)).await;
        }
    }

    /// Waits until something else is to be carried than the worker does; tells what is left out meanwhile.
    pub fn change<'w>(&self, worker: &'w Worker) -> impl Future<Output = Vec<Choice>> + use<'w, 's> {
        let this = Self { shared: self.shared, index: self.index, carried: Carried::of(&worker.plan) };
        // A run that is to end carries what matched when it began.
        let joining = if this.shared.until_caught_up { tables::Joining::None } else { tables::Joining::Later };
        async move {
            if !tables::has_patterns(worker) {
                return std::future::pending().await;
            }
            loop {
                tokio::time::sleep(INTERVAL).await;
                // A source that does not answer is told by who reads it; what it held, it will hold again.
                let Ok(choices) = this.look(worker, &this.carried, joining).await else { continue };
                let is_other = |choice: &Choice| {
                    worker.plan.sinks.get(choice.sink).is_some_and(|plan| plan.relations != choice.relations)
                };
                let loses = |choice: &Choice| worker.plan.sinks.get(choice.sink).is_some_and(|plan| choice.loses(plan));
                if choices.iter().any(loses) {
                    this.worked_off().await;
                }
                if choices.iter().any(is_other) {
                    return choices;
                }
                this.tell_left_out(worker, &choices);
            }
        }
    }

    /// Waits until the worker has carried what the log holds: the last changes of a table that was dropped are in it, and
    /// come out of it only while the worker goes on as it is.
    async fn worked_off(&self) {
        tokio::time::sleep(LOG_END_HEARD).await;
        let Some(target) = self.shared.reports.log_end(self.index) else { return };
        while !self.shared.reports.has_settled(self.index, target) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Has the worker carry this, and tells what joins, leaves and is left out.
    pub fn carry(&mut self, worker: &mut Worker, choices: Vec<Choice>) {
        self.tell_left_out(worker, &choices);
        for choice in choices {
            if let Some(plan) = worker.plan.sinks.get(choice.sink) {
                self.tell_change(plan, &choice);
            }
            worker.carry(choice.sink, choice.relations);
        }
        self.carried = Carried::of(&worker.plan);
    }

    async fn look(&self, worker: &Worker, carried: &Carried, joining: tables::Joining) -> Result<Vec<Choice>, Problem> {
        let _alone = self.shared.alone_at_publication(&worker.name.source).await;
        tables::choose_and_admit(worker, carried, joining).await.map_err(|error| error.problem())
    }

    fn tell_change(&self, plan: &SinkPlan, choice: &Choice) {
        let sink = &plan.name;
        let now: BTreeSet<&TableName> = choice.relations.iter().map(|relation| &relation.table).collect();
        for relation in &choice.relations {
            let (table, topic) = (&relation.table, &relation.topic);
            if !self.carried.has(sink, table) {
                let json = json!({"event": "tableJoins", "sink": sink, "table": table.to_string(), "topic": topic});
                self.shared.teller.say(&format!("sink {sink}: table {table} joins, into topic {topic}"), &json);
            }
        }
        for table in self.carried.of_sink(sink).filter(|table| !now.contains(table)) {
            let json = json!({"event": "tableLeaves", "sink": sink, "table": table.to_string()});
            self.shared.teller.say(&format!("sink {sink}: table {table} leaves"), &json);
        }
    }

    /// Once per table and reason, as long as it is so; the status has it, too.
    fn tell_left_out(&self, worker: &Worker, choices: &[Choice]) {
        let (mut told, mut kept) = (Vec::new(), Vec::new());
        for choice in choices {
            let Some(plan) = worker.plan.sinks.get(choice.sink) else { continue };
            let subject = format!("sink {}", plan.name);
            if choice.relations.is_empty() && choice.left_out.is_empty() {
                told.push((subject.clone(), tables::nothing_matches()));
                kept.push((subject.clone(), tables::nothing_matches()));
            }
            for left_out in &choice.left_out {
                told.push((format!("{subject}, table {}", left_out.table), left_out.problem.clone()));
                kept.push((subject.clone(), left_out.problem.clone()));
            }
            let over = |other: &str| {
                other.starts_with(&format!("{subject}, table ")) && !told.iter().any(|(subject, _)| subject == other)
            };
            self.shared.teller.forget_warnings(Reason::TablesLeftOut.as_str(), over);
            let over = |other: &str| other == subject && !told.iter().any(|(subject, _)| subject == other);
            self.shared.teller.forget_warnings(Reason::TableNotFound.as_str(), over);
        }
        for (subject, problem) in &told {
            self.shared.teller.warning(subject, problem);
        }
        self.shared.reports.leaves_out(self.index, kept);
        self.shared.keep_status();
    }
}
