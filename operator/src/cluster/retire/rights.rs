//! The rights of a Sink that is deleted, where they are managed: those go that nobody needs any more.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use afterbay_clients::fault;
use afterbay_clients::kafka::acls::Acl;
use afterbay_clients::kafka::admin::Admin;
use afterbay_crds::api::Sink;
use afterbay_crds::resolve::deleted::{SinkRights, rights_of_sink};
use afterbay_crds::rights::{AclOperation, AclResource, Right};
use kube::ResourceExt as _;

use super::outcome::in_words;
use super::{papers, topics};
use crate::cluster::context::{Context, Failure};
use crate::cluster::scratch::Folder;
use crate::cluster::stores::name_of;

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

/// Whether rights are given, and taken back, on a Sink's cluster.
pub fn are_managed(context: &Context, sink: &Sink) -> bool {
    let connection = name_of(sink).sibling(&sink.spec.kafka.connection);
    context.stores.connections.get(&connection).is_some_and(|found| found.spec.acls.manage)
}

/// Takes the rights that no other Sink needs; what stays behind.
pub async fn take_back(context: &Context, sink: &Sink) -> Result<Vec<String>, Failure> {
    if !are_managed(context, sink) {
        return Ok(Vec::new());
    }
    let _alone = context.returned.0.lock().await;
    let scratch = context.scratch.folder()?;
    let Some(own) = of(context, sink, scratch.path(), topics::of(context, sink)).await? else { return Ok(Vec::new()) };
    let needed = needed_by_others(context, sink, &own, scratch.path()).await?;
    let spare: BTreeSet<_> = own.grants.rights.difference(&needed).cloned().collect();
    context.returned.put(sink);
    take_spare(context, &own, &spare, &scratch).await
}

/// Takes the rights on topics that a Sink by patterns has ceased to fill, and nobody else needs; what stays behind. `filled` are those
/// that it fills.
pub async fn take_left(
    context: &Context,
    sink: &Sink,
    left: &BTreeSet<String>,
    filled: &BTreeSet<String>,
) -> Result<Vec<String>, Failure> {
    if !are_managed(context, sink) {
        return Ok(Vec::new());
    }
    let _alone = context.returned.0.lock().await;
    let scratch = context.scratch.folder()?;
    let Some(own) = of(context, sink, scratch.path(), filled.clone()).await? else { return Ok(Vec::new()) };
    let mut needed = needed_by_others(context, sink, &own, scratch.path()).await?;
    needed.extend(own.grants.rights.iter().cloned());
    let left = left.iter().map(|topic| Right::new(AclOperation::Write, AclResource::Topic(topic.clone())));
    let spare: BTreeSet<_> = left.filter(|right| !needed.contains(right)).collect();
    take_spare(context, &own, &spare, &scratch).await
}

/// What all other Sinks need whose workers are the same to the same brokers.
async fn needed_by_others(
    context: &Context,
    sink: &Sink,
    own: &SinkRights,
    scratch: &Path,
) -> Result<BTreeSet<Right>, Failure> {
    let mut needed = BTreeSet::new();
    for other in context.stores.sinks.all() {
        if other.uid() == sink.uid() || context.returned.has(&other) {
            continue;
        }
        if let Some(its) = of(context, &other, scratch, topics::of(context, &other)).await?
            && its.grants.principal == own.grants.principal
            && are_one(&its.connection.bootstrap_servers, &own.connection.bootstrap_servers)
        {
            needed.extend(its.grants.rights);
        }
    }
    Ok(needed)
}

async fn take_spare(
    context: &Context,
    own: &SinkRights,
    spare: &BTreeSet<Right>,
    scratch: &Folder,
) -> Result<Vec<String>, Failure> {
    if spare.is_empty() {
        return Ok(Vec::new());
    }
    scratch.keep(&own.secrets)?;
    let Err(problem) = take(own, spare).await else {
        context.metrics.broker_write("acl");
        fault::point("effect");
        return Ok(Vec::new());
    };
    let spare: Vec<_> = spare.iter().map(ToString::to_string).collect();
    let (principal, why) = (&own.grants.principal, in_words(&problem));
    Ok(vec![format!("rights of {principal} may stay behind ({}): {why}", spare.join(", "))])
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

/// The rights of a Sink that fills these topics beside the one that its manifest names.
async fn of(
    context: &Context,
    sink: &Sink,
    scratch: &Path,
    topics: BTreeSet<String>,
) -> Result<Option<SinkRights>, Failure> {
    if !are_managed(context, sink) {
        return Ok(None);
    }
    let manifests = context.gather_going(sink).await?;
    let mut settings = papers::settings(context);
    scratch.clone_into(&mut settings.secrets_dir);
    Ok(rights_of_sink(&manifests, &settings, &name_of(sink), topics))
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
