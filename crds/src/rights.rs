//! Rights on a Kafka cluster with an authorizer, in the words of its ACLs: which a Sink needs, how a missing one is told,
//! and how it is given.

use std::fmt;

/// To do something with something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
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
    Alter,
    Describe,
    DescribeConfigs,
}

impl Right {
    /// To do this with that.
    pub fn new(operation: AclOperation, resource: AclResource) -> Self {
        Self { operation, resource }
    }

    /// The arguments of `kafka-acls.sh` that give it to somebody.
    pub fn arguments(&self, principal: &str) -> String {
        let resource = match &self.resource {
            AclResource::Topic(name) => format!("--topic {}", quoted(name)),
            AclResource::Group(name) => format!("--group {}", quoted(name)),
            AclResource::GroupPrefix(name) => format!("--group {} --resource-pattern-type prefixed", quoted(name)),
            AclResource::TransactionalId(name) => format!("--transactional-id {}", quoted(name)),
            AclResource::TransactionalIdPrefix(name) => {
                format!("--transactional-id {} --resource-pattern-type prefixed", quoted(name))
            }
            AclResource::Cluster => "--cluster".to_owned(),
        };
        format!("--add --allow-principal {} --operation {} {resource}", quoted(principal), self.operation)
    }

    /// Who lacks it.
    pub fn lacked_by(&self, principal: Option<&str>) -> String {
        format!("{} lacks {self}", principal.unwrap_or("the principal of the client certificate"))
    }

    /// What to do where somebody lacks it. Where the brokers alone know who that is, a name is left to be filled in.
    pub fn remedy(&self, principal: Option<&str>) -> String {
        let arguments = self.arguments(principal.unwrap_or("User:<name of the client certificate>"));
        format!("give it: kafka-acls.sh --bootstrap-server … {arguments}")
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.operation, self.resource)
    }
}

impl fmt::Display for AclResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic \"{name}\""),
            Self::Group(name) => write!(f, "group \"{name}\""),
            Self::TransactionalId(name) => write!(f, "transactional id \"{name}\""),
            Self::TransactionalIdPrefix(name) => write!(f, "transactional ids that begin with \"{name}\""),
            Self::GroupPrefix(name) => write!(f, "groups that begin with \"{name}\""),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

impl fmt::Display for AclOperation {
    /// As `kafka-acls.sh` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Alter => "Alter",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
        })
    }
}

/// A word as a shell takes it: names of certificates hold spaces, commas and more.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '@');
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_told_and_given_in_kafkas_words() {
        let check = |right: Right, principal: Option<&str>, told: &str, arguments: &str| {
            assert_eq!(right.lacked_by(principal), told);
            let remedy = right.remedy(principal);
            assert_eq!(remedy, format!("give it: kafka-acls.sh --bootstrap-server … {arguments}"));
        };
        check(
            Right::new(AclOperation::Write, AclResource::Topic("x".into())),
            Some("User:limited"),
            "User:limited lacks Write on topic \"x\"",
            "--add --allow-principal User:limited --operation Write --topic x",
        );
        check(
            Right::new(AclOperation::Read, AclResource::GroupPrefix("afterbay-default-".into())),
            Some("User:CN=it's me,O=x"),
            "User:CN=it's me,O=x lacks Read on groups that begin with \"afterbay-default-\"",
            r"--add --allow-principal 'User:CN=it'\''s me,O=x' --operation Read --group afterbay-default- --resource-pattern-type prefixed",
        );
        check(
            Right::new(AclOperation::DescribeConfigs, AclResource::Cluster),
            None,
            "the principal of the client certificate lacks DescribeConfigs on the cluster",
            "--add --allow-principal 'User:<name of the client certificate>' --operation DescribeConfigs --cluster",
        );
    }
}
