//! A worker's plan and what it names, as objects: each is named for its contents, so a pod never starts with a plan and secrets that do
//! not belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use afterbay_crds::names::WorkerName;
use afterbay_crds::plan::Plan;
use afterbay_crds::resolve::SecretFile;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;

use super::{ObjectsError, names};

/// Where the pods find their secrets; below it a directory for each worker.
pub const SECRETS_DIR: &str = "/etc/afterbay/secrets";
/// The directory of the plan.
pub const PLAN_DIR: &str = "/etc/afterbay/plan";
/// The plan's file, and its key in the ConfigMap.
pub const PLAN_FILE: &str = "plan.json";
/// The directory of the list of Sinks that have committed before.
pub const BEGUN_DIR: &str = "/etc/afterbay/begun";
/// That list's file, and its key in the ConfigMap.
pub const BEGUN_FILE: &str = "sinks.json";

/// How large a document can be, in bytes: etcd takes requests of 1.5 MiB, and the API server refuses a ConfigMap of more than 1 MiB.
const BYTES_MAX: usize = 1_000_000;

/// A document and the secrets that it names.
#[derive(Debug)]
pub struct Documents {
    /// The document, under [`PLAN_FILE`].
    pub plan: ConfigMap,
    /// What tells it from another.
    pub plan_hash: String,
    /// The files that it names, if it names any.
    pub secrets: Option<Secret>,
    /// What tells them from others; empty where there are none.
    pub secrets_hash: String,
    /// The directory that the files are looked for in.
    pub secrets_dir: Option<PathBuf>,
}

/// The plan of a worker and its secrets. Of the files those are left out that only the operator reads.
pub fn documents(
    worker: &WorkerName,
    plan: &Plan,
    files: &[SecretFile],
    owner: &OwnerReference,
) -> Result<Documents, ObjectsError> {
    let text = text(plan)?;
    let named = named(plan, files);
    let secrets_dir = directory(&named)?;
    let (plan_hash, secrets_hash) = (names::hash([text.as_bytes()]), secrets_hash(&named));
    let meta = |name: String| ObjectMeta {
        name: Some(name),
        namespace: Some(worker.source.namespace.clone()),
        labels: Some(names::labels(worker)),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    };
    Ok(Documents {
        plan: config_map(meta(names::plan(worker, &plan_hash)), PLAN_FILE, text),
        secrets: secret(|| meta(names::secrets(worker, &secrets_hash)), &named),
        plan_hash,
        secrets_hash,
        secrets_dir,
    })
}

/// The Sinks of a worker that have committed before, and the slot that it reads. It changes without a new pod.
pub fn begun(
    worker: &WorkerName,
    slot: &str,
    sinks: &BTreeSet<String>,
    owner: &OwnerReference,
) -> Result<ConfigMap, ObjectsError> {
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::begun(worker)),
            namespace: Some(worker.source.namespace.clone()),
            labels: Some(names::labels(worker)),
            annotations: Some([(names::SLOT_ANNOTATION.to_owned(), slot.to_owned())].into()),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        data: Some([(BEGUN_FILE.to_owned(), text(sinks)?)].into()),
        ..ConfigMap::default()
    })
}

/// A document that does not change.
pub(super) fn config_map(metadata: ObjectMeta, file: &str, text: String) -> ConfigMap {
    ConfigMap { metadata, data: Some([(file.to_owned(), text)].into()), immutable: Some(true), ..ConfigMap::default() }
}

/// Files that do not change; none where there are none.
pub(super) fn secret(metadata: impl FnOnce() -> ObjectMeta, files: &[&SecretFile]) -> Option<Secret> {
    if files.is_empty() {
        return None;
    }
    let data: BTreeMap<_, _> =
        files.iter().map(|file| (key(file), ByteString(file.contents.expose_secret().to_vec()))).collect();
    Some(Secret {
        metadata: metadata(),
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        immutable: Some(true),
        ..Secret::default()
    })
}

/// A document as text: without blanks, since there is a bound.
pub(super) fn text(document: &impl Serialize) -> Result<String, ObjectsError> {
    let text = serde_json::to_string(document)?;
    if text.len() > BYTES_MAX {
        return Err(ObjectsError::TooLarge { bytes: text.len(), most: BYTES_MAX });
    }
    Ok(text)
}

/// Those of the files that a document names.
pub(super) fn named<'f>(document: &impl Serialize, files: &'f [SecretFile]) -> Vec<&'f SecretFile> {
    let mut paths = BTreeSet::new();
    // What cannot be written names nothing; `text` tells of it.
    collect_paths(&serde_json::to_value(document).unwrap_or_default(), &mut paths);
    files.iter().filter(|file| paths.contains(&file.path)).collect()
}

fn collect_paths(value: &Value, paths: &mut BTreeSet<PathBuf>) {
    match value {
        Value::String(text) if text.starts_with('/') => {
            paths.insert(PathBuf::from(text));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_paths(value, paths)),
        Value::Object(fields) => fields.values().for_each(|value| collect_paths(value, paths)),
        _ => {}
    }
}

/// The one directory of the files: a Secret is mounted as one.
pub(super) fn directory(files: &[&SecretFile]) -> Result<Option<PathBuf>, ObjectsError> {
    let directories: BTreeSet<_> = files.iter().filter_map(|file| file.path.parent()).collect();
    if directories.len() > 1 {
        return Err(ObjectsError::Scattered);
    }
    Ok(directories.first().map(|directory| Path::to_path_buf(directory)))
}

fn secrets_hash(files: &[&SecretFile]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let keys: Vec<_> = files.iter().map(|file| key(file)).collect();
    let contents = files.iter().map(|file| file.contents.expose_secret());
    names::hash(keys.iter().map(String::as_bytes).zip(contents).flat_map(|(key, contents)| [key, contents]))
}

fn key(file: &SecretFile) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
