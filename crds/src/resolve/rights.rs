//! The rights that workers need, as the table of `docs/kafka.md` lists them.

use super::Grants;
use crate::api::KafkaConnectionSpec;
use crate::plan::SinkPlan;
use crate::rights::AclOperation::{DescribeConfigs, Read, Write};
use crate::rights::{AclResource, Right};

/// Who is to be given rights on this cluster, if anybody; the rights are still to be added.
pub(super) fn to_be_given(connection: &KafkaConnectionSpec, plan: &SinkPlan) -> Option<Grants> {
    let principal = plan.kafka.connection.principal().filter(|_| connection.acls.manage)?;
    Some(Grants { principal, rights: [].into() })
}

/// What the worker of a Sink needs. Create is not among it: topics are made by whoever provisions.
pub(super) fn of_sink(plan: &SinkPlan, of_connection: &str) -> Vec<Right> {
    let named = Named {
        progress_topic: &plan.kafka.progress_topic,
        transactional_id: &plan.kafka.transactional_id,
        progress_group_id: &plan.kafka.progress_group_id,
    };
    of_names(&named, plan.relations.iter().map(|relation| relation.topic.clone()), of_connection)
}

/// What a Sink is named by at the brokers.
pub(super) struct Named<'a> {
    pub(super) progress_topic: &'a str,
    pub(super) transactional_id: &'a str,
    pub(super) progress_group_id: &'a str,
}

/// What a Sink of these names needs that fills these topics.
pub(super) fn of_names(named: &Named<'_>, topics: impl IntoIterator<Item = String>, of_connection: &str) -> Vec<Right> {
    let progress = || AclResource::Topic(named.progress_topic.to_owned());
    // One row for all Sinks of the connection, as far as their names begin alike.
    let is_alike = |name: &str| name.starts_with(of_connection);
    let id = if is_alike(named.transactional_id) {
        AclResource::TransactionalIdPrefix(of_connection.to_owned())
    } else {
        AclResource::TransactionalId(named.transactional_id.to_owned())
    };
    let group = if is_alike(named.progress_group_id) {
        AclResource::GroupPrefix(of_connection.to_owned())
    } else {
        AclResource::Group(named.progress_group_id.to_owned())
    };
    let mut rights = vec![
        Right::new(Read, progress()),
        Right::new(Write, progress()),
        Right::new(Write, id),
        Right::new(Read, group),
        // How long the brokers allow a transaction to be.
        Right::new(DescribeConfigs, AclResource::Cluster),
    ];
    rights.extend(topics.into_iter().map(|topic| Right::new(Write, AclResource::Topic(topic))));
    rights
}
