//! The end of a SourceConnector whose namespace takes no Job, as it is ending, or by a quota or a policy: the operator drops slots and
//! publication itself. It leaves alone what the Job would leave alone.
//!
//! Progress records are none of it: only who has fenced a Sink's worker may write there, and the operator produces nothing.

use std::time::Duration;

use afterbay_clients::postgres::retirement;
use afterbay_crds::api::SourceConnector;
use afterbay_crds::reason::Reason;

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
    };
    scratch.keep(&own.secrets)?;
    let tried = tokio::time::timeout(TRY, retirement::retire(&own.plan, || ())).await;
    let tried = tried.unwrap_or_else(|_| {
        Err(Reason::LeftBehind
            .problem(format!("it took more than {} s", TRY.as_secs()), "see whether the database answers"))
    });
    match tried {
        Ok(()) => {
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
