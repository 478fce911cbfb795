//! Labels, annotations and finalizers: what the operator writes on objects, and finds them by.

/// Who applies what the operator makes: its field manager.
pub const MANAGER: &str = "afterbay";

/// By this label, and the value [`MANAGER`], the operator finds what is its own.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Of everything that belongs to a SourceConnector: its name.
pub const SOURCE: &str = "afterbay.dev/source";

/// Of everything that belongs to a worker: its pool.
pub const POOL: &str = "afterbay.dev/pool";

/// Of what belongs to one Sink alone: its name.
pub const SINK: &str = "afterbay.dev/sink";

/// On a worker's pod, an annotation: the hash of the plan that it runs.
pub const PLAN_HASH: &str = "afterbay.dev/plan-hash";

/// On a worker's pod, an annotation: the hash of the secrets that it was given.
pub const SECRETS_HASH: &str = "afterbay.dev/secrets-hash";

/// On what is applied, an annotation: the hash of all that it was made of.
pub const MADE_OF: &str = "afterbay.dev/made-of";

/// With `"true"` an annotation of a resource that is being deleted: what goes with it is given up at once.
pub const ABANDON: &str = "afterbay.dev/abandon";

/// The finalizer of Sinks.
pub const SINK_FINALIZER: &str = "afterbay.dev/sink";

/// The finalizer of SourceConnectors.
pub const SOURCE_FINALIZER: &str = "afterbay.dev/source";

/// The finalizer of connections and registries: they stay as long as Sinks refer to them.
pub const IN_USE_FINALIZER: &str = "afterbay.dev/in-use";
