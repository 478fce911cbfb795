//! What Kafka's errors mean, decided in one place: what is to be done next, and what a user is told.

use std::sync::Arc;

use afterbay_crds::plan::KafkaConnectionPlan;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::rights::{AclOperation, AclResource, Right};
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};

use super::trouble::Cause;
use crate::secret::SecretUnreadable;

/// Operations that need a right other than Write on their topic.
pub(super) const READING_PROGRESS: &str = "reading progress";
pub(super) const LOOKING_UP_TOPIC: &str = "looking up a topic";
pub(super) const READING_TOPIC_SETTINGS: &str = "reading the settings of a topic";
pub(super) const READING_BROKER_SETTINGS: &str = "reading the settings of a broker";
pub(super) const LOOKING_UP_RIGHTS: &str = "looking up rights";
pub(super) const GIVING_RIGHTS: &str = "giving rights";
pub(super) const TAKING_RIGHTS: &str = "taking rights";

/// The operation in [`TransactionError::operation`] of what happened to messages after they were taken.
pub const DELIVERING: &str = "delivering";

/// Whom an error happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, as the manifests name it.
    pub connection: String,
    /// For whom the brokers take the client; none where they alone know.
    pub principal: Option<String>,
}

impl Identity {
    /// Of a client of this connection.
    pub fn of(plan: &KafkaConnectionPlan) -> Arc<Self> {
        Arc::new(Self { connection: plan.name.clone(), principal: plan.principal() })
    }

    /// A right that is missing, as users read it.
    pub fn lacks(&self, right: &Right, operation: &str) -> Problem {
        let (connection, principal) = (&self.connection, self.principal.as_deref());
        Reason::KafkaNotAuthorized.problem(
            format!("Kafka connection {connection}: {} ({operation})", right.lacked_by(principal)),
            // With the right in it: a second one that is missing is another problem.
            format!("{}; it is tried again by itself", right.remedy(principal)),
        )
    }
}

/// What is to be done after a transactional call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The same call again.
    Retriable,
    /// Abort the transaction, then go on.
    Abort,
    /// What became of the transaction is not known: drop the producer, and read what is committed.
    Unknown,
    /// Drop the producer.
    Fatal,
    /// Another producer has this transactional id (or the broker has given the transaction up): leave.
    Fenced,
    /// The broker does not allow it.
    NotAuthorized,
    /// A message is too large.
    TooLarge,
    /// A setting is refused.
    Misconfigured,
}

/// What librdkafka says of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// The call may be made again.
    pub retriable: bool,
    /// The transaction can only be aborted.
    pub abortable: bool,
    /// The producer is of no use any more.
    pub fatal: bool,
}

impl ErrorClass {
    /// The class of an error.
    pub fn of(code: Code, flags: Flags) -> Self {
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Self::Fenced,
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => Self::NotAuthorized,
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => Self::TooLarge,
            Code::InvalidConfig | Code::InvalidTransactionTimeout | Code::InvalidArgument => Self::Misconfigured,
            _ if flags.fatal => Self::Fatal,
            _ if flags.abortable => Self::Abort,
            // Asked for, not produced to.
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic => {
                Self::Misconfigured
            }
            _ if flags.retriable => Self::Retriable,
            _ => Self::Fatal,
        }
    }
}

/// A transactional call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} failed: {text}")]
pub struct TransactionError {
    /// What is to be done.
    pub class: ErrorClass,
    /// librdkafka's code.
    pub code: Code,
    /// Its words.
    pub text: String,
    /// Which call.
    pub operation: &'static str,
    /// What it was about: a topic or a transactional id.
    pub subject: String,
    /// The cluster, and who was there.
    pub identity: Arc<Identity>,
    /// What was said of the connections before.
    pub cause: Option<Box<Cause>>,
}

impl TransactionError {
    /// As users read it.
    pub fn problem(&self) -> Problem {
        problem(&self.identity, self.operation, &self.subject, self.code, &self.text, self.cause.as_deref())
    }
}

/// A call outside of transactions failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A file that holds a secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretUnreadable),
    /// librdkafka refuses a setting.
    #[error("the client settings of {connection} are refused: {words}")]
    Config {
        /// The cluster, as the manifests name it.
        connection: String,
        /// librdkafka's words, which name the setting and not its value.
        words: String,
    },
    /// Kafka says no, or nothing.
    #[error("{operation} failed: {text}")]
    Call {
        /// Which call.
        operation: &'static str,
        /// What it was about.
        subject: String,
        /// The cluster, and who was there.
        identity: Arc<Identity>,
        /// librdkafka's code.
        code: Code,
        /// Its words.
        text: String,
        /// What was said of the connections before.
        cause: Option<Box<Cause>>,
    },
    /// A transaction of somebody else's is open, and what it holds of the topic is not decided in time.
    #[error("topic {topic} could not be read to its end in time")]
    Undecided {
        /// The cluster, as the manifests name it.
        connection: String,
        /// The topic.
        topic: String,
    },
    /// A problem that is told already.
    #[error("{}", .0.message)]
    Told(Problem),
}

impl KafkaError {
    /// Of an error of the `rdkafka` crate.
    pub(super) fn call(
        error: &RdKafkaError,
        operation: &'static str,
        subject: &str,
        identity: &Arc<Identity>,
        cause: Option<Cause>,
    ) -> Self {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let (subject, identity) = (subject.to_owned(), Arc::clone(identity));
        Self::Call { operation, subject, identity, code, text: error.to_string(), cause: cause.map(Box::new) }
    }

    /// Whether trying again may help without anybody doing anything.
    pub fn transient(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Config { .. } | Self::Told(_) => false,
            Self::Undecided { .. } => true,
            Self::Call { code, cause, .. } => match reason(telling(*code, cause.as_deref())) {
                Reason::KafkaUnreachable | Reason::TransactionFailed => true,
                Reason::KafkaTlsFailed => !cause.as_ref().is_some_and(|cause| cause.is_refusal()),
                _ => false,
            },
        }
    }

    /// librdkafka's code, where Kafka said it.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Call { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether a right is missing.
    pub fn is_not_authorized(&self) -> bool {
        match self {
            Self::Call { code, cause, .. } => reason(telling(*code, cause.as_deref())) == Reason::KafkaNotAuthorized,
            Self::Told(problem) => problem.reason == Reason::KafkaNotAuthorized.as_str(),
            _ => false,
        }
    }

    /// As users read it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Secret(error) => Reason::SecretUnreadable
                .problem(error.to_string(), "the file is written by the operator: see its log, and the Secret"),
            Self::Config { .. } => Reason::KafkaConfigRefused
                .problem(self.to_string(), "correct spec.config, or the certificates, of the KafkaConnection"),
            Self::Call { operation, subject, identity, code, text, cause } => {
                problem(identity, operation, subject, *code, text, cause.as_deref())
            }
            Self::Undecided { connection, .. } => Reason::ProgressUndecided.problem(
                format!("Kafka connection {connection}: {self}"),
                "the transaction of another Sink ends by its timeout, and it is looked again by itself; one that stays \
                 for a quarter of an hour hangs: find and abort it with kafka-transactions.sh",
            ),
            Self::Told(problem) => problem.clone(),
        }
    }
}

/// Of a vague code and what was said before, the one that tells more.
fn telling(code: Code, cause: Option<&Cause>) -> Code {
    let vague = matches!(
        code,
        Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::MessageTimedOut
            | Code::Fail
            | Code::TimedOutQueue
    );
    match cause {
        Some(cause) if vague => cause.code,
        _ => code,
    }
}

fn reason(code: Code) -> Reason {
    match code {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            Reason::KafkaAuthenticationFailed
        }
        Code::SSL => Reason::KafkaTlsFailed,
        Code::Resolve
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::CoordinatorLoadInProgress
        | Code::NetworkException => Reason::KafkaUnreachable,
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Reason::KafkaNotAuthorized,
        Code::SecurityDisabled => Reason::KafkaAuthorizerMissing,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => Reason::TopicNotFound,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Reason::MessageTooLarge,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Reason::Fenced,
        Code::InvalidConfig | Code::InvalidTransactionTimeout | Code::InvalidArgument => Reason::KafkaConfigRefused,
        _ => Reason::TransactionFailed,
    }
}

/// One for all the ways in which a cluster is away, so that one outage is told once.
const UNREACHABLE_HINT: &str = "check bootstrapServers, the network, and that spec.tls is set where the port expects TLS; it is tried again by itself";

fn problem(
    identity: &Identity,
    operation: &str,
    subject: &str,
    code: Code,
    text: &str,
    cause: Option<&Cause>,
) -> Problem {
    let code = telling(code, cause);
    let words = cause.filter(|cause| cause.code == code).map_or(text, |cause| cause.words.as_str());
    let at = format!("Kafka connection {}", identity.connection);
    match reason(code) {
        reason @ Reason::KafkaAuthenticationFailed => reason.problem(
            format!("{at}: the broker refuses the user or the password: {words}"),
            "correct spec.authentication of the KafkaConnection, or its Secret",
        ),
        reason @ Reason::KafkaTlsFailed => {
            let hint = if words.contains("PLAINTEXT") {
                "the port probably speaks plain text: remove spec.tls of the KafkaConnection, or name the port for TLS"
            } else if words.contains("alert") {
                "the broker wants a certificate of the client's, or another one: see spec.authentication (type: tls) of \
                 the KafkaConnection"
            } else {
                "check that spec.tls.trustedCertificates holds the authority of the brokers' certificates, and that \
                 these name the hosts of bootstrapServers"
            };
            reason.problem(format!("{at}: the TLS handshake fails: {words}"), hint)
        }
        reason @ Reason::KafkaUnreachable if cause.is_some_and(Cause::wants_tls) => reason.problem(
            format!(
                "{at}: the broker hangs up before it has said anything ({operation}), so unless it is just starting the \
                 port probably expects TLS: {words}"
            ),
            UNREACHABLE_HINT,
        ),
        reason @ Reason::KafkaUnreachable => reason.problem(
            format!("{at}: no broker answers ({operation}): {words}"),
            UNREACHABLE_HINT,
        ),
        Reason::KafkaNotAuthorized => identity.lacks(&missing_right(operation, subject, code), operation),
        reason @ Reason::KafkaAuthorizerMissing => reason.problem(
            format!("{at}: the brokers have no authorizer, so there are no rights to give: {words}"),
            "set spec.acls.manage: false, or set authorizer.class.name of the brokers",
        ),
        reason @ Reason::TopicNotFound => reason.problem(
            format!("{at}: there is no topic {subject}"),
            "it was deleted, or never made: make it, and the Sink goes on by itself",
        ),
        reason @ Reason::MessageTooLarge => reason.problem(
            format!("{at}: a message for topic {subject} is too large: {words}"),
            "raise message.max.bytes in spec.config of the KafkaConnection, and max.message.bytes of the topic",
        ),
        reason @ Reason::Fenced => reason.problem(
            format!("{at}: another producer has the transactional id now ({operation})"),
            "if two installations share this cluster, give each an --instance of its own; otherwise a successor of this \
             worker runs, or the broker gave up its transaction, and nothing is to be done",
        ),
        reason @ Reason::KafkaConfigRefused => reason.problem(
            format!("{at}: {operation} is refused: {words}"),
            "check spec.config, and that spec.kafka.commit.timeout of the Sink is within the broker's \
             transaction.max.timeout.ms",
        ),
        reason => reason.problem(
            format!("{at}: {operation} failed ({subject}): {words}"),
            "the transaction is rolled back and what it held is sent again by itself",
        ),
    }
}

/// Which right is missing, after the operations of Kafka's ACLs. Read and Write include Describe: who may not even look up
/// the topic that he is to write lacks Write.
fn missing_right(operation: &str, subject: &str, code: Code) -> Right {
    let subject = subject.to_owned();
    match code {
        Code::TopicAuthorizationFailed => {
            let right = match operation {
                READING_PROGRESS => AclOperation::Read,
                LOOKING_UP_TOPIC => AclOperation::Describe,
                READING_TOPIC_SETTINGS => AclOperation::DescribeConfigs,
                _ => AclOperation::Write,
            };
            Right::new(right, AclResource::Topic(subject))
        }
        Code::GroupAuthorizationFailed => Right::new(AclOperation::Read, AclResource::Group(subject)),
        Code::TransactionalIdAuthorizationFailed => {
            Right::new(AclOperation::Write, AclResource::TransactionalId(subject))
        }
        _ => {
            let right = match operation {
                LOOKING_UP_RIGHTS | GIVING_RIGHTS | TAKING_RIGHTS => AclOperation::Alter,
                READING_BROKER_SETTINGS => AclOperation::DescribeConfigs,
                _ => AclOperation::Describe,
            };
            Right::new(right, AclResource::Cluster)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Flags = Flags { retriable: false, abortable: false, fatal: false };

    #[test]
    fn each_error_has_one_class() {
        let retriable = Flags { retriable: true, ..NONE };
        let abortable = Flags { abortable: true, ..NONE };
        let fatal = Flags { fatal: true, ..NONE };
        for (code, flags, class) in [
            (Code::OperationTimedOut, retriable, ErrorClass::Retriable),
            (Code::UnknownTopicOrPartition, abortable, ErrorClass::Abort),
            (Code::OutOfOrderSequenceNumber, fatal, ErrorClass::Fatal),
            (Code::UnknownTopicOrPartition, retriable, ErrorClass::Misconfigured),
            (Code::State, NONE, ErrorClass::Fatal),
            (Code::Fenced, fatal, ErrorClass::Fenced),
            (Code::ProducerFenced, abortable, ErrorClass::Fenced),
            (Code::InvalidProducerEpoch, fatal, ErrorClass::Fenced),
            (Code::TopicAuthorizationFailed, abortable, ErrorClass::NotAuthorized),
            (Code::TransactionalIdAuthorizationFailed, fatal, ErrorClass::NotAuthorized),
            (Code::MessageSizeTooLarge, NONE, ErrorClass::TooLarge),
            (Code::InvalidTransactionTimeout, fatal, ErrorClass::Misconfigured),
        ] {
            assert_eq!(ErrorClass::of(code, flags), class, "{code:?} {flags:?}");
        }
    }

    #[test]
    fn the_true_cause_is_told() {
        let trouble = super::super::trouble::Trouble::new("c");
        trouble.note(Code::Authentication, "SASL authentication error");
        let cause = trouble.cause().unwrap();
        let problem = problem(&identity(None), "init", "id", Code::OperationTimedOut, "timed out", Some(&cause));
        assert_eq!(problem.reason, "KafkaAuthenticationFailed");
        assert!(problem.message.contains("SASL authentication error"));
    }

    fn identity(principal: Option<&str>) -> Identity {
        Identity { connection: "default/events".into(), principal: principal.map(str::to_owned) }
    }

    #[test]
    fn a_missing_right_is_named() {
        let told = |operation, code| {
            let problem = problem(&identity(Some("User:u")), operation, "orders", code, "", None);
            assert_eq!(problem.reason, "KafkaNotAuthorized");
            (problem.message, problem.hint)
        };
        let check = |operation, code, right: &str, arguments: &str| {
            let (message, hint) = told(operation, code);
            assert_eq!(message, format!("Kafka connection default/events: User:u lacks {right} ({operation})"));
            let arguments = format!("--add --allow-principal User:u {arguments};");
            assert!(hint.contains(&arguments), "{hint}");
        };
        let topic = Code::TopicAuthorizationFailed;
        check("producing", topic, "Write on topic \"orders\"", "--operation Write --topic orders");
        check(READING_PROGRESS, topic, "Read on topic \"orders\"", "--operation Read --topic orders");
        check(LOOKING_UP_TOPIC, topic, "Describe on topic \"orders\"", "--operation Describe --topic orders");
        let id = Code::TransactionalIdAuthorizationFailed;
        check("fencing", id, "Write on transactional id \"orders\"", "--operation Write --transactional-id orders");
        let group = Code::GroupAuthorizationFailed;
        check(READING_PROGRESS, group, "Read on group \"orders\"", "--operation Read --group orders");
        check(GIVING_RIGHTS, Code::ClusterAuthorizationFailed, "Alter on the cluster", "--operation Alter --cluster");
        let unknown = problem(&identity(None), "producing", "orders", topic, "", None);
        assert!(unknown.message.contains("the principal of the client certificate lacks Write"), "{unknown:?}");
    }

    #[test]
    fn brokers_that_know_no_rights_are_told() {
        let code = Code::SecurityDisabled;
        let problem = problem(&identity(None), GIVING_RIGHTS, "User:u", code, "Security features are disabled", None);
        assert_eq!(problem.reason, "KafkaAuthorizerMissing");
        assert!(problem.hint.contains("acls.manage: false"), "{problem:?}");
    }
}
