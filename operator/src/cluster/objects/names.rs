//! The names of a worker's objects, and the words by which they are found again.
//!
//! No two workers of a namespace share a name: a pool has no dash in it, so the last word of a name is the pool; in a name that was
//! shortened a double dash stands before the last word, which none has that was not.

use std::collections::BTreeMap;

use afterbay_crds::names::{ResourceName, WorkerName};
use sha2::{Digest as _, Sha256};

use crate::cluster::labels;

/// Label of Kubernetes' recommendation: what part of the application something is.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// The component of workers.
pub const WORKER: &str = "worker";
/// The component of what retires Sinks and SourceConnectors.
pub const RETIREMENT: &str = "retirement";
/// Annotation of a worker's list of Sinks that have begun, which outlives the worker: its replication slot.
pub const SLOT_ANNOTATION: &str = "afterbay.dev/slot";

/// Of annotations of the same list: what became of a Sink of this worker that is not there any more.
const RETAINED: &str = "retained.afterbay.dev/";

/// How long the name of a worker's Deployment can be: its pods' names, with 17 characters more, are labels and host names too.
const NAME_MAX: usize = 52;
/// Characters of a hash that tells two shortened names apart.
const SHORT_HASH: usize = 10;

/// The name of a worker's Deployment; all its other objects begin with it.
pub fn deployment(worker: &WorkerName) -> String {
    shortened(&format!("afterbay-{}-{}", worker.source.name, worker.pool), NAME_MAX)
}

/// The ConfigMap of a plan.
pub fn plan(worker: &WorkerName, hash: &str) -> String {
    format!("{}-plan-{hash}", deployment(worker))
}

/// The Secret of a plan's files.
pub fn secrets(worker: &WorkerName, hash: &str) -> String {
    format!("{}-secrets-{hash}", deployment(worker))
}

/// The ConfigMap of the Sinks that have committed before.
pub fn begun(worker: &WorkerName) -> String {
    format!("{}-begun", deployment(worker))
}

/// The annotation that tells whether the progress record of a Sink waits for a worker's slot, though the Sink has gone.
pub fn retained(sink: &str) -> String {
    format!("{RETAINED}{sink}")
}

/// The Sink that an annotation is about, if it is one of those.
pub fn retained_sink(annotation: &str) -> Option<&str> {
    annotation.strip_prefix(RETAINED)
}

/// The Job that retires a resource, and what it reads. Each life of a resource has one of its own.
pub fn retirement(kind: &str, name: &ResourceName, uid: &str) -> String {
    let hash = hash([kind.as_bytes(), uid.as_bytes()]);
    let prefix = shortened(&format!("afterbay-retire-{}", name.name), NAME_MAX - SHORT_HASH - 1);
    format!("{prefix}-{}", &hash[..SHORT_HASH])
}

/// The topics that a Sink by patterns filled when it was deleted.
pub fn topics(sink: &ResourceName, uid: &str) -> String {
    format!("{}-topics", retirement("Sink", sink, uid))
}

/// The labels of a worker's objects.
pub fn labels(worker: &WorkerName) -> BTreeMap<String, String> {
    let mut own = common(WORKER, &deployment(worker));
    own.insert(labels::SOURCE.to_owned(), worker.source.name.clone());
    own.insert(labels::POOL.to_owned(), worker.pool.clone());
    own
}

/// Those of them that select a worker's pods. They cannot change as long as the Deployment lives.
pub fn selector(worker: &WorkerName) -> BTreeMap<String, String> {
    let mut own = self::labels(worker);
    own.retain(|label, _| [labels::SOURCE, labels::POOL, COMPONENT_LABEL].contains(&label.as_str()));
    own
}

/// The labels of what retires a resource; `label` names its kind.
pub fn retirement_labels(label: &str, name: &ResourceName, job: &str) -> BTreeMap<String, String> {
    let mut own = common(RETIREMENT, job);
    own.insert(label.to_owned(), name.name.clone());
    own
}

fn common(component: &str, instance: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "afterbay"),
        ("app.kubernetes.io/instance", instance),
        (COMPONENT_LABEL, component),
        (labels::MANAGED_BY, labels::MANAGER),
    ]
    .map(|(label, value)| (label.to_owned(), value.to_owned()))
    .into()
}

/// A hash of these parts, in 16 characters of `0-9a-f`. The parts' lengths count, so no two lists of parts are one.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:016x}")
}

fn shortened(name: &str, longest: usize) -> String {
    if name.len() <= longest {
        return name.to_owned();
    }
    let hash = hash([name.as_bytes()]);
    let kept = name[..longest - SHORT_HASH - 2].trim_end_matches('-');
    format!("{kept}--{}", &hash[..SHORT_HASH])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use afterbay_crds::names::is_dns_label;

    use super::*;

    fn worker(source: &str, pool: &str) -> WorkerName {
        WorkerName { source: ResourceName::new("eu", source), pool: pool.to_owned() }
    }

    #[test]
    fn names_are_short_enough_and_never_shared() {
        assert_eq!(deployment(&worker("shop", "default")), "afterbay-shop-default");
        let long = "s".repeat(63);
        let dashed = format!("{}-x", "s-".repeat(30));
        let sources = ["shop", "shop-bulk", "a", "a-b", &long, &long[..62], &dashed, "shop-default"];
        let pools = ["default", "bulk", "b", "0123456789", "abcdefabcdefabcdefabcdefabcdefab"];
        let mut seen = BTreeSet::new();
        for source in sources {
            for pool in pools {
                let name = deployment(&worker(source, pool));
                assert!(name.len() <= NAME_MAX && is_dns_label(&name), "{name}");
                assert!(seen.insert(name.clone()), "{name} twice");
            }
        }
        // A SourceConnector that is named as a shortened name begins, with its hash for a pool, is another one.
        let shortened = deployment(&worker(&long, "default"));
        let (kept, hash) = shortened.rsplit_once("--").unwrap();
        assert_ne!(deployment(&worker(kept.strip_prefix("afterbay-").unwrap(), hash)), shortened);
    }

    #[test]
    fn each_life_is_retired_under_a_name_of_its_own() {
        let sink = ResourceName::new("eu", "s".repeat(63));
        let names = [("Sink", "1"), ("Sink", "2"), ("SourceConnector", "1")].map(|(kind, uid)| {
            let name = retirement(kind, &sink, uid);
            assert!(name.len() <= NAME_MAX && is_dns_label(&name), "{name}");
            name
        });
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn where_one_part_ends_counts() {
        assert_ne!(hash([b"ab".as_slice(), b"c"]), hash([b"a".as_slice(), b"bc"]));
        assert_eq!(hash([b"".as_slice()]).len(), 16);
    }
}
