//! What the stream does not tell of the tables, looked up now and then.
//!
//! A table that is renamed, or taken out of the publication, is just silent in the stream; the replica identity of a
//! partition does not show in it either. Without this look a Sink would go on beside such a table, and tell that all is
//! well.

use std::sync::Arc;
use std::time::Duration;

use afterbay_clients::postgres::catalogue::server;
use afterbay_clients::postgres::{PostgresError, sql};
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
        let members = members.iter().map(|member| (member.sink, member.relation)).collect();
        let look = look(Arc::clone(context), members);
        self.look = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            // A server that does not answer is the session's to tell of.
            look.await.unwrap_or_default()
        })));
    }
}

async fn look(context: Arc<Context>, members: Vec<(usize, RelationIdentity)>) -> Result<Lost, PostgresError> {
    let client = sql::connect(&context.plan.connection).await?;
    if let Some(problem) = server::facts(&client).await?.synchronous() {
        return Ok(members.into_iter().map(|(sink, _)| (sink, problem.clone())).collect());
    }
    let begun: Vec<_> =
        members.iter().filter_map(|(sink, record)| Some((*sink, context.sinks.get(*sink)?, *record))).collect();
    let tables: Vec<_> = begun.iter().map(|(_, plan, record)| (&plan.table, *record)).collect();
    let verdicts = checks::standing(&client, &context.plan.publication, &tables).await?;
    let lost = begun.into_iter().zip(verdicts).filter_map(|((sink, plan, _), verdict)| {
        let problem = match verdict {
            Ok(table) => carried::unfit_since(&table, plan),
            Err(problem) => Some(problem),
        };
        Some((sink, problem?))
    });
    Ok(lost.collect())
}
