//! Topics and settings of a cluster, for provisioning and checks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use afterbay_crds::plan::KafkaConnectionPlan;
use afterbay_crds::reason::Reason;
use afterbay_crds::report::Problem;
use afterbay_crds::rights::{AclOperation, AclResource, Right};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys::rd_kafka_AclOperation_t as NativeOperation;

use super::client::Client;
use super::config::Settings;
use super::error::{Identity, KafkaError, LOOKING_UP_TOPIC, READING_BROKER_SETTINGS, READING_TOPIC_SETTINGS};
use super::ffi::{NativeClient, NativeError, NativeTopicDescription};

/// How long one call may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a broker is waited for before it is looked whether that is of any use.
const SLICE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// A client for administration. Its calls belong to a tokio runtime; they block none of its threads.
pub struct Admin {
    client: Arc<Client>,
    identity: Arc<Identity>,
}

/// A topic as the cluster has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
}

/// What the user may do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicRights {
    /// Consume it.
    pub read: bool,
    /// Produce to it.
    pub write: bool,
    /// Read its settings.
    pub describe_configs: bool,
}

/// A topic to make; what is not told is the broker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicCreation {
    /// The name.
    pub name: String,
    /// Partitions.
    pub partitions: Option<i32>,
    /// Replicas of each.
    pub replication_factor: Option<i16>,
    /// Settings of the topic.
    pub config: BTreeMap<String, String>,
}

/// A setting of a topic or a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    /// Its value.
    pub value: String,
    /// Whether it is the broker's default: not set for this topic.
    pub is_default: bool,
}

/// A setting of the broker; none where it does not tell. For workers, which need no more of administration.
pub async fn broker_config(plan: &KafkaConnectionPlan, name: &str) -> Result<Option<String>, KafkaError> {
    Admin::new(plan)?.broker_config(name).await
}

impl Admin {
    /// A client; no broker is spoken to yet.
    pub fn new(plan: &KafkaConnectionPlan) -> Result<Self, KafkaError> {
        let client = Client::start(&plan.name, &mut Settings::new(plan)?)
            .map_err(|words| KafkaError::Config { connection: plan.name.clone(), words })?;
        Ok(Self { client, identity: Identity::of(plan) })
    }

    /// Whether a broker answers and lets the user in; with the true cause where not.
    pub async fn check_connection(&self) -> Result<(), KafkaError> {
        self.connected().await.map(|_| ())
    }

    /// The topic, if it exists (and may be seen).
    pub async fn describe_topic(&self, name: &str) -> Result<Option<TopicMetadata>, KafkaError> {
        Ok(self.description(name).await?.map(|found| TopicMetadata {
            partitions: i32::try_from(found.partitions).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(found.replicas).unwrap_or(i16::MAX),
        }))
    }

    /// What the user may do with a topic; none where it does not exist, or the cluster does not say.
    pub async fn topic_rights(&self, name: &str) -> Result<Option<TopicRights>, KafkaError> {
        let Some(operations) = self.description(name).await?.and_then(|found| found.operations) else {
            return Ok(None);
        };
        let may = |operation| operations.contains(&operation);
        Ok(Some(TopicRights {
            read: may(NativeOperation::RD_KAFKA_ACL_OPERATION_READ),
            write: may(NativeOperation::RD_KAFKA_ACL_OPERATION_WRITE),
            describe_configs: may(NativeOperation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS),
        }))
    }

    /// The settings of a topic.
    pub async fn topic_config(&self, name: &str) -> Result<BTreeMap<String, TopicSetting>, KafkaError> {
        let topic = name.to_owned();
        let settings =
            self.call(READING_TOPIC_SETTINGS, name, move |client| client.topic_settings(&topic, TIMEOUT)).await?;
        let setting = |(name, (value, own)): (_, (_, bool))| (name, TopicSetting { value, is_default: !own });
        Ok(settings.into_iter().map(setting).collect())
    }

    /// A setting of a broker; none where it has none of that name.
    pub async fn broker_config(&self, name: &str) -> Result<Option<String>, KafkaError> {
        let operation = READING_BROKER_SETTINGS;
        let brokers = self.connected().await?;
        let Some(&id) = brokers.first() else { return Err(self.failed(no_broker(), operation, "any")) };
        let settings = self.call(operation, &id.to_string(), move |client| client.broker_settings(id, TIMEOUT)).await?;
        Ok(settings.get(name).map(|(value, _)| value.clone()))
    }

    /// Whether the broker would make the topic; it does not.
    pub async fn try_topic(&self, topic: &TopicCreation) -> Result<(), KafkaError> {
        self.connected().await?;
        self.ask_for_topic(topic, true).await.map_err(|error| self.not_created(topic, &error))
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes a topic and waits until each of its partitions has a leader; one that exists by now is as good.
    pub async fn create_topic(&self, topic: &TopicCreation) -> Result<(), KafkaError> {
        self.connected().await?;
        let created = self.ask_for_topic(topic, false).await;
        match created {
            Ok(()) => {}
            Err(error) if error.code == Code::TopicAlreadyExists => {}
            Err(error) => return Err(self.not_created(topic, &error)),
        }
        let deadline = Instant::now() + TIMEOUT;
        // One partition may be told before the others: the description has to be whole.
        let whole = |found: &NativeTopicDescription| found.led && found.partitions > 0;
        while !self.description(&topic.name).await?.is_some_and(|found| whole(&found)) {
            if Instant::now() >= deadline {
                return Err(self.failed(no_leader(), "waiting for the leaders of a new topic", &topic.name));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn ask_for_topic(&self, topic: &TopicCreation, only_try: bool) -> Result<(), NativeError> {
        let new = topic.clone();
        self.blocking(move |client| {
            let replicas = new.replication_factor.map_or(-1, i32::from);
            client.create_topic(&new.name, new.partitions.unwrap_or(-1), replicas, &new.config, only_try, TIMEOUT)
        })
        .await
    }

    /// The rights to create are told as such; all else in the broker's words.
    fn not_created(&self, topic: &TopicCreation, error: &NativeError) -> KafkaError {
        let name = &topic.name;
        if matches!(error.code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) {
            let right = Right::new(AclOperation::Create, AclResource::Topic(name.clone()));
            let Problem { reason, message, hint } = self.identity.lacks(&right, "the topic does not exist");
            return KafkaError::Told(Problem { reason, message, hint: format!("make the topic, or {hint}") });
        }
        KafkaError::Told(Reason::TopicCreationRefused.problem(
            format!(
                "Kafka connection {}: the broker refuses to make topic {name}: {}",
                self.identity.connection, error.words
            ),
            "correct spec.kafka.topic (partitions, replicationFactor, config), or make the topic by hand",
        ))
    }

    async fn description(&self, name: &str) -> Result<Option<NativeTopicDescription>, KafkaError> {
        let topic = name.to_owned();
        match self.call(LOOKING_UP_TOPIC, name, move |client| client.describe_topic(&topic, TIMEOUT)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if matches!(error.code(), Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The brokers, as soon as one answers. Waits no longer than it is of any use.
    async fn connected(&self) -> Result<Vec<i32>, KafkaError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let error = match self.blocking(|client| client.brokers(SLICE)).await {
                Ok(brokers) => {
                    self.client.trouble.clear();
                    return Ok(brokers);
                }
                Err(error) => error,
            };
            let refused = self.client.trouble.cause().is_some_and(|cause| cause.is_refusal());
            if refused || Instant::now() >= deadline {
                return Err(self.failed(error, "connecting", "any broker"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A call of a cluster that answers.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: &str,
        call: impl FnOnce(&NativeClient) -> Result<T, NativeError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        self.connected().await?;
        self.blocking(call).await.map_err(|error| self.failed(error, operation, subject))
    }

    /// A call that blocks, off the runtime's threads.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&NativeClient) -> Result<T, NativeError> + Send + 'static,
    ) -> Result<T, NativeError> {
        let client = Arc::clone(&self.client);
        let done = tokio::task::spawn_blocking(move || call(&client.native)).await;
        done.unwrap_or_else(|error| Err(NativeError::new(Code::Fail, &error.to_string())))
    }

    fn failed(&self, error: NativeError, operation: &'static str, subject: &str) -> KafkaError {
        KafkaError::Call {
            operation,
            subject: subject.to_owned(),
            identity: Arc::clone(&self.identity),
            code: error.code,
            text: error.words,
            cause: self.client.trouble.cause().map(Box::new),
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.client.stop();
    }
}

fn no_broker() -> NativeError {
    NativeError::new(Code::BrokerNotAvailable, "the cluster names no broker")
}

fn no_leader() -> NativeError {
    NativeError::new(Code::LeaderNotAvailable, "not every partition has a leader yet")
}
