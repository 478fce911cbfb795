//! Topics and settings of a cluster, for provisioning and checks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use afterbay_crds::plan::KafkaConnectionPlan;
use afterbay_crds::reason::Reason;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};

use super::config::Settings;
use super::error::KafkaError;
use super::trouble::Trouble;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// A client for administration.
pub struct Admin {
    client: AdminClient<Trouble>,
    trouble: Trouble,
    connection: String,
}

/// A topic as the cluster has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
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

/// A setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSetting {
    /// Its value.
    pub value: String,
    /// Whether it is the broker's default.
    pub is_default: bool,
}

/// A setting of the broker; none where it does not tell. For workers, which need no more of administration.
pub async fn broker_config(plan: &KafkaConnectionPlan, name: &str) -> Result<Option<String>, KafkaError> {
    Admin::new(plan)?.broker_config(name).await
}

impl Admin {
    /// A client; no broker is spoken to yet.
    pub fn new(plan: &KafkaConnectionPlan) -> Result<Self, KafkaError> {
        let trouble = Trouble::default();
        let created = Settings::new(plan)?.client_config().create_with_context(trouble.clone());
        let client = created.map_err(|error: RdKafkaError| KafkaError::Config {
            connection: plan.name.clone(),
            words: error.to_string(),
        })?;
        Ok(Self { client, trouble, connection: plan.name.clone() })
    }

    /// Whether a broker answers and lets the user in; with the true cause where not.
    pub async fn check_connection(&self) -> Result<(), KafkaError> {
        self.metadata(None, "connecting").await.map(|_| ())
    }

    /// The topic, if it exists (and may be seen).
    pub async fn describe_topic(&self, name: &str) -> Result<Option<TopicMetadata>, KafkaError> {
        let metadata = self.metadata(Some(name), "looking up a topic").await?;
        match metadata {
            Ok(topic) => Ok(Some(topic)),
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
            Err(code) => Err(self.refused(code, "looking up a topic", name)),
        }
    }

    /// The settings of a topic.
    pub async fn topic_config(&self, name: &str) -> Result<BTreeMap<String, TopicSetting>, KafkaError> {
        self.configs(&ResourceSpecifier::Topic(name), "reading the settings of a topic", name).await
    }

    /// A setting of the broker that answers first; none where it has none of that name.
    pub async fn broker_config(&self, name: &str) -> Result<Option<String>, KafkaError> {
        let id = self.any_broker().await?;
        let specifier = ResourceSpecifier::Broker(id);
        let settings = self.configs(&specifier, "reading the settings of a broker", &id.to_string()).await?;
        Ok(settings.get(name).map(|setting| setting.value.clone()))
    }

    /// Makes a topic and waits until all brokers that are asked know it; one that exists by now is as good.
    pub async fn create_topic(&self, topic: &TopicCreation) -> Result<(), KafkaError> {
        let replication = TopicReplication::Fixed(topic.replication_factor.map_or(-1, i32::from));
        let mut new = NewTopic::new(&topic.name, topic.partitions.unwrap_or(-1), replication);
        for (name, value) in &topic.config {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.client.create_topics([&new], &options).await;
        let results = results.map_err(|error| self.failed(&error, "creating a topic", &topic.name))?;
        for result in results {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(self.not_created(topic, code)),
            }
        }
        self.wait_for(&topic.name).await
    }

    async fn wait_for(&self, topic: &str) -> Result<(), KafkaError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if self.describe_topic(topic).await?.is_some_and(|found| found.partitions > 0) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.refused(Code::UnknownTopicOrPartition, "waiting for a new topic", topic));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The rights to create are told as such; all else in the broker's words.
    fn not_created(&self, topic: &TopicCreation, code: Code) -> KafkaError {
        let name = &topic.name;
        if matches!(code, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) {
            return KafkaError::Told(Reason::KafkaNotAuthorized.problem(
                format!(
                    "Kafka connection {}: topic {name} does not exist, and the right Create on it is missing",
                    self.connection
                ),
                "make the topic, or grant Create to the user of the KafkaConnection",
            ));
        }
        KafkaError::Told(Reason::TopicCreationRefused.problem(
            format!("Kafka connection {}: the broker refuses to make topic {name}: {code}", self.connection),
            "correct spec.kafka.topic (partitions, replicationFactor, config), or make the topic by hand",
        ))
    }

    async fn configs(
        &self,
        specifier: &ResourceSpecifier<'_>,
        operation: &'static str,
        subject: &str,
    ) -> Result<BTreeMap<String, TopicSetting>, KafkaError> {
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let described = self.client.describe_configs([specifier], &options).await;
        let described = described.map_err(|error| self.failed(&error, operation, subject))?;
        let mut settings = BTreeMap::new();
        for resource in described {
            let resource = resource.map_err(|code| self.refused(code, operation, subject))?;
            for entry in resource.entries {
                if let Some(value) = entry.value {
                    settings.insert(entry.name, TopicSetting { value, is_default: entry.is_default });
                }
            }
        }
        Ok(settings)
    }

    async fn any_broker(&self) -> Result<i32, KafkaError> {
        self.blocking("connecting", "any broker", |client| {
            let metadata = client.inner().fetch_metadata(None, Duration::from_secs(1))?;
            let broker = metadata.brokers().first().map(rdkafka::metadata::MetadataBroker::id);
            broker.ok_or(RdKafkaError::MetadataFetch(Code::BrokerNotAvailable))
        })
        .await
    }

    /// Metadata of one topic, or of none; the inner error is that of the topic.
    async fn metadata(
        &self,
        topic: Option<&str>,
        operation: &'static str,
    ) -> Result<Result<TopicMetadata, Code>, KafkaError> {
        let topic = topic.map(str::to_owned);
        let subject = topic.clone().unwrap_or_default();
        self.blocking(operation, &subject, move |client| {
            let metadata = client.inner().fetch_metadata(topic.as_deref(), Duration::from_secs(1))?;
            let Some(found) = metadata.topics().iter().find(|found| Some(found.name()) == topic.as_deref()) else {
                return Ok(Err(Code::UnknownTopicOrPartition));
            };
            if let Some(code) = found.error() {
                return Ok(Err(code.into()));
            }
            let replicas = found.partitions().iter().map(|partition| partition.replicas().len()).min();
            Ok(Ok(TopicMetadata {
                partitions: i32::try_from(found.partitions().len()).unwrap_or(i32::MAX),
                replication_factor: replicas.and_then(|replicas| i16::try_from(replicas).ok()).unwrap_or_default(),
            }))
        })
        .await
    }

    /// A call that blocks, off the runtime's threads: again and again until it succeeds, the time is over, or the broker
    /// has said no.
    async fn blocking<T>(
        &self,
        operation: &'static str,
        subject: &str,
        call: impl Fn(&AdminClient<Trouble>) -> Result<T, RdKafkaError>,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let error = match tokio::task::block_in_place(|| call(&self.client)) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let refused = self.trouble.cause().is_some_and(|cause| cause.is_refusal());
            if refused || Instant::now() >= deadline {
                return Err(self.failed(&error, operation, subject));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn refused(&self, code: Code, operation: &'static str, subject: &str) -> KafkaError {
        self.failed(&RdKafkaError::AdminOp(code), operation, subject)
    }

    fn failed(&self, error: &RdKafkaError, operation: &'static str, subject: &str) -> KafkaError {
        KafkaError::call(error, operation, subject, &self.connection, self.trouble.cause())
    }
}
