//! The operator's rights in the cluster, held against the audit log: nothing that it asks for is refused, and it has no right that it
//! does not use.

use std::collections::BTreeSet;

use afterbay_e2e::kubernetes::Operated;
use serde_json::Value;

/// Rights that are needed, though not in every life, or that are asked for beside what the log tells.
const UNSEEN: [(&str, &str); 4] = [
    // What is applied and is not there is made.
    ("deployments", "create"),
    ("poddisruptionbudgets", "create"),
    // Where the API server did not answer whether it has made one.
    ("jobs", "get"),
    // Of an event that is told again.
    ("events", "patch"),
];

/// What the Roles of this namespace give the operator.
async fn given(operated: &Operated) -> BTreeSet<(String, String)> {
    let mut given = BTreeSet::new();
    for role in ["Role/afterbay", "Role/afterbay-leader"] {
        let role = operated.namespace.get(role).await.expect("the chart gives it rights");
        for rule in role["rules"].as_array().expect("a role has rules") {
            for resource in words(&rule["resources"]) {
                given.extend(words(&rule["verbs"]).map(|verb| (resource.to_owned(), verb.to_owned())));
            }
        }
    }
    given
}

fn words(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Holds the rights against what was asked in a life with workers that came and went.
pub async fn check(operated: &Operated) {
    let requests = operated.requests();
    let refused: Vec<_> = requests.iter().filter(|request| request.code == 403).collect();
    assert!(refused.is_empty(), "it lacks rights: {refused:?}");
    let used: BTreeSet<_> = requests.into_iter().map(|request| (request.resource, request.verb)).collect();
    let is_unseen = |right: &&(String, String)| UNSEEN.contains(&(right.0.as_str(), right.1.as_str()));
    let given = given(operated).await;
    let unused: Vec<_> = given.difference(&used).filter(|right| !is_unseen(right)).collect();
    assert!(!given.is_empty() && unused.is_empty(), "it has rights that it does not use: {unused:?}");
}
