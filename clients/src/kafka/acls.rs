//! Rights on a cluster with an authorizer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub use afterbay_crds::rights::{AclOperation, AclResource, Right};
use rdkafka_sys::rd_kafka_AclOperation_t as NativeOperation;
use rdkafka_sys::rd_kafka_AclPermissionType_t as NativePermission;
use rdkafka_sys::rd_kafka_ResourcePatternType_t as NativePattern;
use rdkafka_sys::rd_kafka_ResourceType_t as NativeResource;

use super::admin::{Admin, TIMEOUT};
use super::error::{GIVING_RIGHTS, KafkaError, LOOKING_UP_RIGHTS, TAKING_RIGHTS};
use super::ffi::{NativeAcl, NativeFoundAcl};

/// How long it is waited before it is looked again whether rights are there.
const PAUSE: Duration = Duration::from_millis(20);

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

impl Admin {
    /// Whoever this is has these rights; gives those that are not there, and waits until the brokers know of them. How many
    /// that were.
    pub async fn provide_rights(&self, principal: &str, rights: &BTreeSet<Right>) -> Result<usize, KafkaError> {
        let missing = self.missing(principal, rights).await?;
        if missing.is_empty() {
            return Ok(0);
        }
        let acl = |Right { operation, resource }: &Right| Acl {
            principal: principal.to_owned(),
            operation: *operation,
            resource: resource.clone(),
        };
        self.allow(&missing.iter().map(acl).collect::<Vec<_>>()).await?;
        // The controller has taken them; a broker learns of them a moment later.
        let deadline = Instant::now() + TIMEOUT;
        while !self.missing(principal, &missing).await?.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(missing.len())
    }

    /// Those of the rights that are not given in just these words. (Others may imply them; that is not looked for.) All of
    /// them, where the brokers refuse to tell: librdkafka leaves that out of their answer. To give rights tells it then.
    async fn missing(&self, principal: &str, rights: &BTreeSet<Right>) -> Result<BTreeSet<Right>, KafkaError> {
        let who = principal.to_owned();
        let found = self.call(LOOKING_UP_RIGHTS, principal, move |client| client.describe_acls(&who, TIMEOUT)).await?;
        let is_given = |right: &&Right| {
            let wanted =
                Acl { principal: principal.to_owned(), operation: right.operation, resource: right.resource.clone() };
            found.iter().any(|acl| is_same(acl, &wanted.native()))
        };
        Ok(rights.iter().filter(|right| !is_given(right)).cloned().collect())
    }

    /// Gives rights; those that are there already are as good.
    pub async fn allow(&self, acls: &[Acl]) -> Result<(), KafkaError> {
        self.change(GIVING_RIGHTS, acls, true).await
    }

    /// Takes rights; those that are not there are as good.
    pub async fn disallow(&self, acls: &[Acl]) -> Result<(), KafkaError> {
        self.change(TAKING_RIGHTS, acls, false).await
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
            AclOperation::Alter => NativeOperation::RD_KAFKA_ACL_OPERATION_ALTER,
            AclOperation::Describe => NativeOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            AclOperation::DescribeConfigs => NativeOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        };
        NativeAcl { resource, name, pattern, principal: &self.principal, operation }
    }
}

/// Whether this is what is wanted, for clients on any host.
fn is_same(found: &NativeFoundAcl, wanted: &NativeAcl<'_>) -> bool {
    found.resource == wanted.resource
        && found.name == wanted.name
        && found.pattern == wanted.pattern
        && found.operation == wanted.operation
        && found.permission == NativePermission::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW
        && found.host == "*"
}
