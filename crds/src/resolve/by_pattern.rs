//! Sinks that carry what patterns match: what becomes of a table once it is known.

use std::collections::{BTreeMap, BTreeSet};

use super::{KafkaProvisioning, TopicSpec, Worker};
use crate::api::SinkSpec;
use crate::manifest::Manifests;
use crate::names::{self, ResourceName};
use crate::plan::{RelationPlan, SinkPlan, TableName};
use crate::rights::{AclOperation, AclResource, Right};
use crate::table_pattern::TablePatterns;
use crate::topic_template;
use crate::validate;

/// What a Sink does with the tables that match.
#[derive(Clone, Debug)]
pub struct ByPattern {
    /// Which.
    pub tables: TablePatterns,
    /// Whether the key is that of the table.
    pub primary_key: bool,
    /// A relation, with a template for its topic, without its table and the columns of its key.
    relation: RelationPlan,
    /// A topic, with a template for its name.
    topic: TopicSpec,
    /// The topics that Sinks of one table fill on the same cluster.
    taken: BTreeMap<String, ResourceName>,
}

impl ByPattern {
    pub(super) fn of(
        manifests: &Manifests,
        name: &ResourceName,
        spec: &SinkSpec,
        relation: RelationPlan,
        topic: TopicSpec,
    ) -> Option<Self> {
        let tables = TablePatterns::parse(spec.source.tables.as_ref()?).ok()?;
        let primary_key = spec.key.as_ref().is_some_and(|key| key.primary_key);
        Some(Self { tables, primary_key, relation, topic, taken: validate::topics_beside(manifests, name) })
    }

    /// The table as it is carried; `key` are the columns of its primary key.
    pub fn relation(&self, table: &TableName, key: &[String]) -> RelationPlan {
        RelationPlan {
            table: table.clone(),
            topic: topic_template::topic(&self.relation.topic, table),
            key_columns: if self.primary_key { key.to_vec() } else { Vec::new() },
            ..self.relation.clone()
        }
    }

    /// The topic of a table, as it is to be made.
    pub fn topic(&self, relation: &RelationPlan) -> TopicSpec {
        TopicSpec { name: relation.topic.clone(), ..self.topic.clone() }
    }

    /// What workers need on the topic of a table.
    pub fn right(relation: &RelationPlan) -> Right {
        Right::new(AclOperation::Write, AclResource::Topic(relation.topic.clone()))
    }

    /// Why this cannot be a topic of the Sink's, and what to do about it.
    pub fn topic_problem(&self, topic: &str, sink: &SinkPlan) -> Option<(String, &'static str)> {
        const OTHER: &str = "leave the table out with a pattern that begins with !, or write spec.kafka.topic.name so that its topic is another one";
        if !names::is_topic(topic) {
            let what = "is no name of a topic: up to 249 letters, digits, dots, underscores and dashes";
            return Some((
                what.to_owned(),
                "leave the table out with a pattern that begins with !, and carry it with a Sink of its own",
            ));
        }
        if names::is_of_brokers(topic) {
            return Some(("belongs to the brokers".to_owned(), OTHER));
        }
        let is_progress =
            topic == sink.kafka.progress_topic || topic.starts_with(&names::progress_topics(&sink.kafka.name_prefix));
        if is_progress {
            return Some(("is one of progress records".to_owned(), OTHER));
        }
        self.taken.get(topic).map(|other| (format!("is filled by Sink {other}"), OTHER))
    }
}

impl Worker {
    /// Has a Sink by patterns carry these tables: in the plan, and in what must exist before.
    pub fn carry(&mut self, sink: usize, relations: Vec<RelationPlan>) {
        let Some(by_pattern) = self.sinks.get(sink).and_then(|sink| sink.by_pattern.as_ref()) else { return };
        let Some(plan) = self.plan.sinks.get_mut(sink) else { return };
        let of_cluster = |kafka: &&mut KafkaProvisioning| kafka.connection.name == plan.kafka.connection.name;
        if let Some(kafka) = self.provisioning.kafka.iter_mut().find(of_cluster) {
            kafka.topics.retain(|topic| topic.sink.as_ref() != Some(&plan.name));
            let topic =
                |relation: &RelationPlan| TopicSpec { name: relation.topic.clone(), ..by_pattern.topic.clone() };
            kafka.topics.extend(relations.iter().map(topic));
            if let Some(grants) = &mut kafka.grants {
                let topics = relations.iter().map(|relation| AclResource::Topic(relation.topic.clone()));
                grants.rights.extend(topics.map(|topic| Right::new(AclOperation::Write, topic)));
            }
        }
        plan.relations = relations;
        self.provisioning.publication.tables = tables(&self.plan.sinks);
    }
}

/// All tables of these Sinks.
pub(super) fn tables(sinks: &[SinkPlan]) -> Vec<TableName> {
    let relations = sinks.iter().flat_map(|sink| &sink.relations);
    relations.map(|relation| relation.table.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}
