//! Finalizers: what holds a resource that is being deleted, for how long, and by what it is given up.

use std::time::Duration;

use afterbay_crds::names::ResourceName;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::context::{Context, Failure};
use super::labels::{ABANDON, MANAGER};
use super::stores::{Object, name_of};

/// How long what goes with a resource may take to be taken away.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Whether a resource is being deleted.
pub fn is_going(resource: &impl kube::Resource) -> bool {
    resource.meta().deletion_timestamp.is_some()
}

/// Whether a resource has this finalizer.
pub fn has(resource: &impl kube::Resource, finalizer: &str) -> bool {
    resource.finalizers().iter().any(|held| held == finalizer)
}

/// Whether somebody has asked to give up what goes with it.
pub fn is_abandoned(resource: &impl kube::Resource) -> bool {
    resource.annotations().get(ABANDON).is_some_and(|value| value == "true")
}

/// How much of `patience` is left since this moment; none: it is over.
pub fn left(since: Timestamp, now: Timestamp, patience: Duration) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    patience.checked_sub(passed).filter(|left| !left.is_zero())
}

/// Whether a resource is being deleted for less than so long.
pub fn has_time(resource: &impl kube::Resource, patience: Duration) -> bool {
    let since = resource.meta().deletion_timestamp.as_ref();
    since.is_some_and(|since| left(since.0, Timestamp::now(), patience).is_some())
}

impl Context {
    /// Has a resource hold this finalizer. Whether it was written.
    pub async fn hold<K: Object>(&self, resource: &K, finalizer: &str) -> Result<bool, Failure> {
        if has(resource, finalizer) || is_going(resource) {
            return Ok(false);
        }
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.push(finalizer.to_owned());
        self.set_finalizers(resource, &finalizers).await?;
        Ok(true)
    }

    /// Has a resource hold this finalizer no more. Whether it was written: not where it is gone already.
    pub async fn release<K: Object>(&self, resource: &K, finalizer: &str) -> Result<bool, Failure> {
        if !has(resource, finalizer) {
            return Ok(false);
        }
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.retain(|held| held != finalizer);
        self.set_finalizers(resource, &finalizers).await
    }

    /// By a JSON patch that holds only if nobody else has changed them meanwhile. Whether the resource is still there.
    async fn set_finalizers<K: Object>(&self, resource: &K, finalizers: &[String]) -> Result<bool, Failure> {
        let (kind, name) = (K::kind(&()), name_of(resource));
        let held = resource.finalizers();
        let path = "/metadata/finalizers";
        let before = if held.is_empty() { json!(null) } else { json!(held) };
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": resource.meta().uid},
            {"op": "test", "path": path, "value": before},
            {"op": if held.is_empty() { "add" } else { "replace" }, "path": path, "value": finalizers},
        ]);
        let action = || format!("change the finalizers of {kind} {name}");
        let patch =
            serde_json::from_value(patch).map_err(|error| Failure::api(action(), kube::Error::SerdeError(error)))?;
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api::<K>(&name.namespace);
        match self.write(&kind, api.patch(&name.name, &parameters, &Patch::Json::<()>(patch))).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(Failure::api(action(), error)),
        }
    }
}

/// Resources as a sentence names them: `Sink default/a`, `Sinks default/a, default/b and 3 more`.
pub fn in_words(kind: &str, names: &[ResourceName]) -> String {
    const TOLD: usize = 5;
    let told: Vec<_> = names.iter().take(TOLD).map(ToString::to_string).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    let more = names.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{kind}{plural} {}{more}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (since, now, expected) in [(100, 100, Some(120)), (100, 130, Some(90)), (100, 220, None), (100, 900, None)]
        {
            let left = left(at(since), at(now), PATIENCE).map(|left| left.as_secs());
            assert_eq!(left, expected, "{since} {now}");
        }
        // A clock that is behind that of the API server gives no more than there is.
        assert_eq!(left(at(100), at(50), PATIENCE), Some(PATIENCE));
    }

    #[test]
    fn resources_are_named_up_to_a_number() {
        let names: Vec<_> = (0..7).map(|number| ResourceName::new("a", number.to_string())).collect();
        assert_eq!(in_words("Sink", &names[..1]), "Sink a/0");
        assert_eq!(in_words("Sink", &names), "Sinks a/0, a/1, a/2, a/3, a/4 and 2 more");
    }
}
