//! The reconciler of SourceConnectors: all that their workers need.
use std::sync::Arc;

use afterbay_crds::names::ResourceName;

use super::context::{Context, Failure};
use super::queue::Next;

/// The reconciler of SourceConnectors.
pub struct Sources(Arc<Context>);

impl Sources {
    /// With this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Looks at a SourceConnector.
    pub async fn reconcile(&self, name: &ResourceName) -> Result<Next, Failure> {
        self.0.gather(name).await?;
        Ok(Next::Settled)
    }
}
