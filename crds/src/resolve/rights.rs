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
    let sink = &plan.kafka;
    let progress = || AclResource::Topic(sink.progress_topic.clone());
    // One row for all Sinks of the connection, as far as their names begin alike.
    let is_alike = |name: &str| name.starts_with(of_connection);
    let id = if is_alike(&sink.transactional_id) {
        AclResource::TransactionalIdPrefix(of_connection.to_owned())
    } else {
        AclResource::TransactionalId(sink.transactional_id.clone())
    };
    let group = if is_alike(&sink.progress_group_id) {
        AclResource::GroupPrefix(of_connection.to_owned())
    } else {
        AclResource::Group(sink.progress_group_id.clone())
    };
    let mut rights = vec![
        Right::new(Read, progress()),
        Right::new(Write, progress()),
        Right::new(Write, id),
        Right::new(Read, group),
        // How long the brokers allow a transaction to be.
        Right::new(DescribeConfigs, AclResource::Cluster),
    ];
    let topics = plan.relations.iter().map(|relation| AclResource::Topic(relation.topic.clone()));
    rights.extend(topics.map(|topic| Right::new(Write, topic)));
    rights
}
