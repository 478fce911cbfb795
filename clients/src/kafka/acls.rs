//! Rights on a cluster with an authorizer.

use rdkafka_sys::rd_kafka_AclOperation_t as NativeOperation;
use rdkafka_sys::rd_kafka_ResourcePatternType_t as NativePattern;
use rdkafka_sys::rd_kafka_ResourceType_t as NativeResource;

use super::admin::{Admin, TIMEOUT};
use super::error::KafkaError;
use super::ffi::NativeAcl;

/// A right that somebody has, from any host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// Who, as the broker names it: `User:afterbay`.
    pub principal: String,
    /// To do what.
    pub operation: AclOperation,
    /// With what.
    pub resource: AclResource,
}

/// What a right is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclResource {
    /// The topic of this name.
    Topic(String),
    /// The consumer group of this name.
    Group(String),
    /// The transactional id of this name.
    TransactionalId(String),
    /// Transactional ids that begin so.
    TransactionalIdPrefix(String),
    /// Consumer groups that begin so.
    GroupPrefix(String),
    /// The cluster.
    Cluster,
}

/// An operation of Kafka's ACLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum AclOperation {
    Read,
    Write,
    Create,
    Describe,
    DescribeConfigs,
}

impl Admin {
    /// Gives rights; those that are there already are as good.
    pub async fn allow(&self, acls: &[Acl]) -> Result<(), KafkaError> {
        self.change("giving rights", acls, true).await
    }

    /// Takes rights; those that are not there are as good.
    pub async fn disallow(&self, acls: &[Acl]) -> Result<(), KafkaError> {
        self.change("taking rights", acls, false).await
    }

    async fn change(&self, operation: &'static str, acls: &[Acl], give: bool) -> Result<(), KafkaError> {
        if acls.is_empty() {
            return Ok(());
        }
        let subject = acls.iter().map(|acl| acl.principal.as_str()).next().unwrap_or_default();
        let acls = acls.to_vec();
        let change = move |client: &super::ffi::NativeClient| {
            let native: Vec<_> = acls.iter().map(Acl::native).collect();
            if give { client.create_acls(&native, TIMEOUT) } else { client.delete_acls(&native, TIMEOUT) }
        };
        self.call(operation, subject, change).await
    }
}

impl Acl {
    fn native(&self) -> NativeAcl<'_> {
        let (literal, prefixed) =
            (NativePattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL, NativePattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED);
        let (resource, name, pattern) = match &self.resource {
            AclResource::Topic(name) => (NativeResource::RD_KAFKA_RESOURCE_TOPIC, name.as_str(), literal),
            AclResource::Group(name) => (NativeResource::RD_KAFKA_RESOURCE_GROUP, name.as_str(), literal),
            AclResource::GroupPrefix(name) => (NativeResource::RD_KAFKA_RESOURCE_GROUP, name.as_str(), prefixed),
            AclResource::TransactionalId(name) => {
                (NativeResource::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID, name.as_str(), literal)
            }
            AclResource::TransactionalIdPrefix(name) => {
                (NativeResource::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID, name.as_str(), prefixed)
            }
            // librdkafka has one type for the cluster and its brokers; the cluster's name is Kafka's own.
            AclResource::Cluster => (NativeResource::RD_KAFKA_RESOURCE_BROKER, "kafka-cluster", literal),
        };
        let operation = match self.operation {
            AclOperation::Read => NativeOperation::RD_KAFKA_ACL_OPERATION_READ,
            AclOperation::Write => NativeOperation::RD_KAFKA_ACL_OPERATION_WRITE,
            AclOperation::Create => NativeOperation::RD_KAFKA_ACL_OPERATION_CREATE,
            AclOperation::Describe => NativeOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            AclOperation::DescribeConfigs => NativeOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        };
        NativeAcl { resource, name, pattern, principal: &self.principal, operation }
    }
}
