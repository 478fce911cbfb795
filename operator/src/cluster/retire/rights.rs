//! The rights of a Sink that is deleted, where they are managed: those go that nobody needs any more.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use afterbay_clients::kafka::acls::Acl;
use afterbay_clients::kafka::admin::Admin;
use afterbay_crds::api::Sink;
use afterbay_crds::names::{ResourceName, WorkerName};
use afterbay_crds::resolve::deleted::{SinkRights, rights_of_sink};
use afterbay_crds::rights::Right;
use kube::ResourceExt as _;

use super::outcome::in_words;
use super::papers;
use crate::cluster::context::{Context, Failure};
use crate::cluster::source::current_workers;
use crate::cluster::stores::{Key, name_of};

/// The Sinks whose rights have been given back, by their uids: they are there for another moment, and need nothing any more. Held while
/// rights are taken, so that of two Sinks that end together the later sees that the earlier is through.
#[derive(Default)]
pub struct Returned(tokio::sync::Mutex<()>, Mutex<HashSet<String>>);

impl Returned {
    fn has(&self, sink: &Sink) -> bool {
        let uids = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        sink.uid().is_some_and(|uid| uids.contains(&uid))
    }

    fn put(&self, sink: &Sink) {
        let mut uids = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        uids.extend(sink.uid());
    }

    /// A Sink is not there any more.
    pub fn forget(&self, uid: &str) {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// Takes the rights that no other Sink needs; what stays behind.
pub async fn take_back(context: &Context, sink: &Sink, name: &ResourceName) -> Result<Vec<String>, Failure> {
    let connection = name.sibling(&sink.spec.kafka.connection);
    let is_managed = context.stores.connections.get(&connection).is_some_and(|found| found.spec.acls.manage);
    if !is_managed {
        return Ok(Vec::new());
    }
    let _alone = context.returned.0.lock().await;
    let scratch = context.scratch.folder()?;
    let Some(own) = of(context, sink, scratch.path()).await? else { return Ok(Vec::new()) };
    let mut needed = BTreeSet::new();
    for other in context.stores.sinks.all() {
        if other.uid() == sink.uid() || context.returned.has(&other) {
            continue;
        }
        if let Some(its) = of(context, &other, scratch.path()).await?
            && its.grants.principal == own.grants.principal
            && are_one(&its.connection.bootstrap_servers, &own.connection.bootstrap_servers)
        {
            needed.extend(its.grants.rights);
        }
    }
    let spare: BTreeSet<_> = own.grants.rights.difference(&needed).cloned().collect();
    context.returned.put(sink);
    if spare.is_empty() {
        return Ok(Vec::new());
    }
    scratch.keep(&own.secrets)?;
    match take(&own, &spare).await {
        Ok(()) => {
            context.metrics.broker_write("acl");
            Ok(Vec::new())
        }
        Err(problem) => {
            let spare: Vec<_> = spare.iter().map(ToString::to_string).collect();
            Ok(vec![format!(
                "rights of {} may stay behind ({}): {}",
                own.grants.principal,
                spare.join(", "),
                in_words(&problem)
            )])
        }
    }
}

async fn take(own: &SinkRights, spare: &BTreeSet<Right>) -> Result<(), afterbay_crds::report::Problem> {
    let admin = Admin::new(&own.connection).map_err(|error| error.problem())?;
    let acl = |right: &Right| Acl {
        principal: own.grants.principal.clone(),
        operation: right.operation,
        resource: right.resource.clone(),
    };
    let acls: Vec<_> = spare.iter().map(acl).collect();
    admin.disallow(&acls).await.map_err(|error| error.problem())
}

/// The rights of a Sink; those on the topics of patterns as its worker's plan has them.
async fn of(context: &Context, sink: &Sink, scratch: &Path) -> Result<Option<SinkRights>, Failure> {
    let name = name_of(sink);
    let connection = name.sibling(&sink.spec.kafka.connection);
    if !context.stores.connections.get(&connection).is_some_and(|found| found.spec.acls.manage) {
        return Ok(None);
    }
    let worker = WorkerName { source: name.sibling(&sink.spec.source.name), pool: sink.spec.pool.clone() };
    let current = current_workers(&context.stores, &worker.source).into_iter().find(|current| current.name == worker);
    let relations = current.as_ref().and_then(|current| current.sink(&name.to_string())).map(|plan| &plan.relations);
    let mut topics: BTreeSet<_> = relations.into_iter().flatten().map(|relation| relation.topic.clone()).collect();
    topics.extend(of_retired(context, &name, &worker));
    let manifests = context.gather_going(sink).await?;
    let mut settings = papers::settings(context);
    scratch.clone_into(&mut settings.secrets_dir);
    Ok(rights_of_sink(&manifests, &settings, &name, topics))
}

/// The topics of a Sink by patterns in plans that its worker has not got any more, as far as they are there.
fn of_retired(context: &Context, name: &ResourceName, worker: &WorkerName) -> Vec<String> {
    let sink = name.to_string();
    let config_maps = context.stores.config_maps.by(&Key::Source(worker.source.clone()));
    let plans = config_maps.iter().filter_map(|config_map| {
        let text = config_map.data.as_ref()?.get(crate::cluster::objects::plan::PLAN_FILE)?;
        serde_json::from_str::<afterbay_crds::plan::Plan>(text).ok()
    });
    let relations = plans.flat_map(|plan| plan.sinks).filter(|plan| plan.name == sink).flat_map(|plan| plan.relations);
    relations.map(|relation| relation.topic).collect()
}

/// Whether two lists of servers lead to one cluster, as far as addresses tell.
fn are_one(one: &str, other: &str) -> bool {
    one.split(',').any(|server| other.split(',').any(|its| its.eq_ignore_ascii_case(server)))
}

#[cfg(test)]
mod tests {
    use super::are_one;

    #[test]
    fn clusters_that_share_a_server_are_one() {
        assert!(are_one("a:1,b:2", "c:3,B:2"));
        assert!(!are_one("a:1", "a:2,b:1"));
    }
}
