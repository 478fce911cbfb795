//! What the stream does not tell of the tables, looked up now and then.
//!
//! A table that is renamed, or taken out of the publication, is just silent in the stream; the replica identity of a
//! partition does not show in it either. Without this look a Sink would go on beside such a table, and tell that all is
//! well.

use std::sync::Arc;
use std::time::Duration;

use afterbay_clients::postgres::catalogue::server;
use afterbay_clients::postgres::{PostgresError, sql};
use afterbay_crds::plan::TableName;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_queries::carried;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use super::checks;
use super::router::Member;
use super::session::Context;
use crate::protocol::RelationIdentity;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(10);

/// Sinks that cannot go on, and why.
pub type Lost = Vec<(usize, Problem)>;

/// Looks at the tables of a session's members on a timer, one look at a time.
pub struct Watch {
    timer: Interval,
    look: Option<AbortOnDropHandle<Lost>>,
}

/// What has come up.
pub enum Seen {
    /// It is time to look.
    Due,
    /// What the look has shown.
    Lost(Lost),
}

impl Default for Watch {
    /// The first look is due after the interval: at the beginning all was looked at.
    fn default() -> Self {
        let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { timer, look: None }
    }
}

impl Watch {
    /// Waits for something to come up. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Seen {
        let Some(look) = &mut self.look else {
            self.timer.tick().await;
            return Seen::Due;
        };
        let lost = look.await.unwrap_or_default();
        self.look = None;
        Seen::Lost(lost)
    }

    /// Begins to look at the tables of these members.
    pub fn look(&mut self, context: &Arc<Context>, members: &[Member]) {
        let relations = members.iter().flat_map(|member| {
            let carried = member.relations.iter().filter(|relation| relation.is_carried());
            carried.map(|relation| (member.sink, relation.table.clone(), relation.identity))
        });
        let look = look(Arc::clone(context), members.iter().map(|member| member.sink).collect(), relations.collect());
        self.look = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            // A server that does not answer is the session's to tell of.
            look.await.unwrap_or_default()
        })));
    }
}

async fn look(
    context: Arc<Context>,
    members: Vec<usize>,
    relations: Vec<(usize, TableName, RelationIdentity)>,
) -> Result<Lost, PostgresError> {
    let client = sql::connect(&context.plan.connection).await?;
    if let Some(problem) = server::facts(&client).await?.synchronous() {
        return Ok(members.into_iter().map(|sink| (sink, problem.clone())).collect());
    }
    let known = |(sink, table, record): &(usize, TableName, RelationIdentity)| {
        Some((*sink, context.relation(*sink, table)?, *record))
    };
    let begun: Vec<_> = relations.iter().filter_map(known).collect();
    let tables: Vec<_> = begun.iter().map(|(_, plan, record)| (&plan.table, *record)).collect();
    let verdicts = checks::standing(&client, &context.plan.publication, &tables).await?;
    let lost = begun.into_iter().zip(verdicts).filter_map(|((sink, plan, _), verdict)| {
        let problem = match verdict {
            Ok(table) => carried::unfit_since(&context.kept.of(sink, table), plan),
            // Its last changes may still be on their way, and no others will come: the next life leaves it out.
            Err(problem) if context.is_by_pattern(sink) && problem.reason == Reason::TableNotFound.as_str() => None,
            Err(problem) => Some(problem),
        };
        Some((sink, problem?))
    });
    Ok(lost.collect())
}
