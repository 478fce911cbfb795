//! The reconciler of SourceConnectors: all that their workers need.

use afterbay_crds::names::ResourceName;

use super::context::{Context, Failure};
use super::queue::Next;

/// Looks at a SourceConnector.
pub async fn reconcile(context: &Context, name: &ResourceName) -> Result<Next, Failure> {
    context.gather(name).await?;
    Ok(Next::Settled)
}
