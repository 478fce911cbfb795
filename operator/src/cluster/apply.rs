//! Server-side apply of what differs from what the stores hold; and each write is counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use afterbay_clients::fault;
use afterbay_crds::names::ResourceName;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use super::context::{Context, Failure};
use super::labels::{self, MANAGER};
use super::objects::names;
use super::stores::{Object, Shelf, name_of};

/// What has been applied by this process, and which generation the API server gave to it. The API server writes some values
/// in another way than they were given to it (`0.5` as `500m`); by this, it is not asked about these again and again.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<(String, ResourceName), Applied>>);

#[derive(Clone, PartialEq, Eq)]
struct Applied {
    uid: Option<String>,
    generation: Option<i64>,
    desired: String,
}

impl Memory {
    fn holds(&self, kind: &str, name: &ResourceName, applied: &Applied) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        applied.generation.is_some() && all.get(&(kind.to_owned(), name.clone())) == Some(applied)
    }

    fn keep(&self, kind: &str, name: &ResourceName, applied: Option<Applied>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind.to_owned(), name.clone());
        match applied {
            Some(applied) => all.insert(key, applied),
            None => all.remove(&key),
        };
    }
}

impl Context {
    /// Waits for a request that writes to the API server, counted as one of this kind.
    pub async fn write<T>(&self, kind: &str, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        self.metrics.api_write(kind);
        let written = request.await?;
        fault::point("effect");
        Ok(written)
    }

    /// Has an object be as it is desired, if the store holds another one or none. Whether it was written.
    pub async fn apply<K: Object>(&self, shelf: &Shelf<K>, desired: &K) -> Result<bool, Failure> {
        let (kind, name) = (K::kind(&()), name_of(desired));
        let action = || format!("apply {kind} {name}");
        let mut value = to_value(desired).map_err(|error| Failure::api(action(), error))?;
        let hash = stamp(&mut value);
        if let Some(held) = shelf.get(&name) {
            let meta = held.meta();
            let applied = Applied { uid: meta.uid.clone(), generation: meta.generation, desired: hash.clone() };
            let is_as_desired =
                self.applied.holds(&kind, &name, &applied) || to_value(&*held).is_ok_and(|held| covers(&held, &value));
            if is_as_desired {
                return Ok(false);
            }
        }
        let parameters = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(&name.namespace);
        let applied = self.write(&kind, api.patch(&name.name, &parameters, &Patch::Apply(&value))).await;
        let applied = applied.map_err(|error| Failure::api(action(), error))?;
        let meta = applied.meta();
        let kept = Applied { uid: meta.uid.clone(), generation: meta.generation, desired: hash };
        self.applied.keep(&kind, &name, Some(kept));
        Ok(true)
    }

    /// Makes an object whose name says what it holds, if there is none of that name. Whether it was written.
    pub async fn create<K: Object>(&self, is_there: bool, desired: &K) -> Result<bool, Failure> {
        if is_there {
            return Ok(false);
        }
        let (kind, name) = (K::kind(&()), name_of(desired));
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match self.write(&kind, self.api::<K>(&name.namespace).create(&parameters, desired)).await {
            Ok(_) => Ok(true),
            // The store has not heard of it yet.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(Failure::api(format!("create {kind} {name}"), error)),
        }
    }

    /// Gives annotations of an object these values, or takes them away, and leaves others as they are. Whether there is such an object.
    pub async fn annotate<K: Object>(
        &self,
        name: &ResourceName,
        annotations: &BTreeMap<String, Option<&str>>,
    ) -> Result<bool, Failure> {
        let kind = K::kind(&());
        let patch = json!({"metadata": {"annotations": annotations}});
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api::<K>(&name.namespace);
        match self.write(&kind, api.patch(&name.name, &parameters, &Patch::Merge(&patch))).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(Failure::api(format!("annotate {kind} {name}"), error)),
        }
    }

    /// Deletes an object with all that it owns; one that is gone already is no failure.
    pub async fn delete<K: Object>(&self, object: &impl Resource) -> Result<(), Failure> {
        let (kind, name) = (K::kind(&()), name_of(object));
        if object.meta().deletion_timestamp.is_some() {
            return Ok(());
        }
        self.applied.keep(&kind, &name, None);
        // Not another one of its name.
        let preconditions = object.uid().map(|uid| Preconditions { uid: Some(uid), resource_version: None });
        let parameters = DeleteParams { preconditions, ..DeleteParams::background() };
        match self.write(&kind, self.api::<K>(&name.namespace).delete(&name.name, &parameters)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(Failure::api(format!("delete {kind} {name}"), error)),
        }
    }

    /// Writes the status of a resource, if it differs from the one that it has. Whether it was written.
    pub async fn apply_status<K, S>(&self, resource: &K, held: Option<&S>, status: &S) -> Result<bool, Failure>
    where
        K: Object,
        S: Serialize + PartialEq,
    {
        if held == Some(status) {
            return Ok(false);
        }
        let (kind, name) = (K::kind(&()), name_of(resource));
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": kind,
            // Not to be made anew by it.
            "metadata": {"name": name.name, "namespace": name.namespace, "uid": resource.meta().uid},
            "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(&name.namespace);
        match self.write(&kind, api.patch_status(&name.name, &parameters, &Patch::Apply(&patch))).await {
            Ok(_) => Ok(true),
            // It has been deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(Failure::api(format!("write the status of {kind} {name}"), error)),
        }
    }
}

fn to_value<K: Object>(object: &K) -> Result<Value, kube::Error> {
    let mut value = serde_json::to_value(object).map_err(kube::Error::SerdeError)?;
    // Types of k8s-openapi know their kind and say it; those of resources may not.
    if let Value::Object(fields) = &mut value {
        fields.entry("apiVersion").or_insert_with(|| K::api_version(&()).into_owned().into());
        fields.entry("kind").or_insert_with(|| K::kind(&()).into_owned().into());
    }
    Ok(value)
}

/// Has an object say of what it is made. By what it has nobody can tell what it is to have no more, as that may be somebody else's.
fn stamp(desired: &mut Value) -> String {
    let hash = names::hash([desired.to_string().as_bytes()]);
    desired["metadata"]["annotations"][labels::MADE_OF] = json!(hash);
    hash
}

/// Whether what is held has all that is desired. More is the API server's defaults, or somebody else's.
fn covers(held: &Value, desired: &Value) -> bool {
    match (held, desired) {
        (Value::Object(held), Value::Object(desired)) => desired.iter().all(|(field, desired)| match held.get(field) {
            Some(held) => covers(held, desired),
            None => is_nothing(desired),
        }),
        (Value::Array(held), Value::Array(desired)) => {
            let named = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
            if !desired.is_empty() && desired.iter().all(|value| named(value).is_some()) {
                // Lists of what has a name are merged by it: others may have added some of theirs.
                let find = |name: Option<String>| held.iter().find(|held| named(held) == name);
                return desired.iter().all(|desired| find(named(desired)).is_some_and(|held| covers(held, desired)));
            }
            held.len() == desired.len() && held.iter().zip(desired).all(|(held, desired)| covers(held, desired))
        }
        _ => held == desired,
    }
}

/// What the API server leaves out.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(held: &Value, desired: &Value, expected: bool) {
        assert_eq!(covers(held, desired), expected, "{held} {desired}");
    }

    #[test]
    fn what_others_add_is_no_difference_and_what_they_change_is() {
        let held =
            json!({"metadata": {"labels": {"a": "1", "theirs": "x"}}, "spec": {"replicas": 1, "policy": "Default"}});
        check(&held, &json!({"metadata": {"labels": {"a": "1"}}, "spec": {"replicas": 1}}), true);
        check(&held, &json!({"metadata": {"labels": {"a": "2"}}}), false);
        check(&held, &json!({"spec": {"replicas": 0}}), false);
        check(&held, &json!({"spec": {"paused": true}}), false);
        check(&held, &json!({"spec": {"selector": null, "template": {"spec": {}}}}), true);
    }

    #[test]
    fn what_is_desired_no_more_is_a_difference() {
        let stamped = |mut value: Value| {
            stamp(&mut value);
            value
        };
        let desired = |labels: &Value| stamped(json!({"metadata": {"name": "a"}, "spec": {"nodeSelector": labels}}));
        let mut held = desired(&json!({"disk": "ssd", "zone": "a"}));
        held["spec"]["theirs"] = json!(1);
        held["metadata"]["annotations"]["theirs"] = json!("x");
        check(&held, &desired(&json!({"disk": "ssd", "zone": "a"})), true);
        check(&held, &desired(&json!({"disk": "ssd"})), false);
        check(&held, &desired(&Value::Null), false);
        check(&json!({"metadata": {"name": "a"}, "spec": {}}), &desired(&Value::Null), false);
    }

    #[test]
    fn lists_of_what_has_a_name_are_held_together_by_it() {
        let held = json!([{"name": "mesh"}, {"name": "worker", "image": "a", "port": 1}]);
        check(&held, &json!([{"name": "worker", "image": "a"}]), true);
        check(&held, &json!([{"name": "worker", "image": "b"}]), false);
        check(&held, &json!([{"name": "other"}]), false);
        check(&json!(["a", "b"]), &json!(["a"]), false);
        check(&json!([{"key": "a", "effect": "x"}]), &json!([{"key": "a"}]), true);
        check(&json!([{"name": "theirs"}]), &json!([]), false);
    }
}
