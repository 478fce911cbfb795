//! What goes with Sinks and SourceConnectors that are deleted.
use std::sync::Arc;

use afterbay_crds::api::Sink;

use super::context::{Context, Failure};
use super::labels::SINK_FINALIZER;
use super::queue::Next;

/// Takes away what goes with a Sink.
pub async fn sink(context: &Context, sink: &Arc<Sink>) -> Result<Next, Failure> {
    context.release(&**sink, SINK_FINALIZER).await?;
    Ok(Next::Never)
}
