//! The end of a SourceConnector whose namespace takes no Job, as it is ending, or by a quota or a policy: the operator drops slots and
//! publication itself. It leaves alone what the Job would leave alone.
//!
//! Progress records are none of it: only who has fenced a Sink's worker may write there, and the operator produces nothing.

use std::time::Duration;

use afterbay_clients::fault;
use afterbay_clients::postgres::catalogue::slot;
use afterbay_clients::postgres::{retirement, sql};
use afterbay_crds::api::SourceConnector;
use afterbay_crds::names::{self, ResourceName};
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::retirement::RetiredSource;

use super::outcome::in_words;
use super::papers::{self, Found};
use crate::cluster::context::{Context, Failure};
use crate::cluster::stores::name_of;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(20);

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Nothing is left.
    Done,
    /// What stays, and why; it may be otherwise in a moment.
    NotNow(String),
    /// What stays, and why, for good.
    Never(String),
}

/// Drops what a SourceConnector has.
pub async fn take(context: &Context, source: &SourceConnector) -> Result<Tried, Failure> {
    let name = name_of(source);
    let scratch = context.scratch.folder()?;
    let own = match papers::find(context, source, &name, scratch.path()).await? {
        Found::Nothing => return Ok(Tried::Done),
        Found::Impossible(why) => return Ok(Tried::Never(why)),
        Found::Own(own) => own,
        Found::Unclear(own) => {
            scratch.keep(&own.secrets)?;
            return look(context, source, &name, &own.plan).await;
        }
    };
    scratch.keep(&own.secrets)?;
    let tried = tokio::time::timeout(TRY, retirement::retire(&own.plan, || fault::point("effect"))).await;
    let tried = tried.unwrap_or_else(|_| Err(late()));
    match tried {
        Ok(()) => {
            fault::point("effect");
            tracing::info!(source = %name, "its namespace takes no Job: {} dropped without one", own.plan.in_words());
            Ok(Tried::Done)
        }
        Err(problem) => Ok(Tried::NotNow(format!(
            "{} may stay behind: {} ({}); {}",
            own.plan.in_words(),
            problem.message,
            problem.reason,
            problem.hint
        ))),
    }
}

/// Asks the database for slots of whose makers nothing tells any more. None is dropped: one of such a name may be somebody else's, as where
/// resources have moved to another cluster.
async fn look(
    context: &Context,
    source: &SourceConnector,
    name: &ResourceName,
    own: &RetiredSource,
) -> Result<Tried, Failure> {
    let base = names::slot(source.spec.postgres.slot.name.as_deref(), name);
    let asked = async {
        let client = sql::connect(&own.connection).await?;
        slot::named(&client, &base).await
    };
    let asked = tokio::time::timeout(TRY, asked).await.map_err(|_| late());
    let found = match asked.and_then(|found| found.map_err(|error| error.problem())) {
        Ok(found) => papers::not_inherited(context, source, name, found.into_iter().collect()).await?,
        Err(problem) => {
            return Ok(Tried::NotNow(format!("{} may stay behind: {}", own.in_words(), in_words(&problem))));
        }
    };
    if found.is_empty() {
        return Ok(Tried::Done);
    }
    Ok(Tried::Never(format!(
        "the operator was begun anew when it was deleted already, and nothing tells any more which slots it has had. The database has {}: \
         drop what nobody needs by SELECT pg_drop_replication_slot(…)",
        found.join(", ")
    )))
}

fn late() -> Problem {
    let message = format!("it took more than {} s", TRY.as_secs());
    Reason::LeftBehind.problem(message, "see whether the database answers")
}
