//! Topics and settings.

use afterbay_clients::kafka::admin::{Admin, TopicCreation, TopicMetadata, TopicSetting, broker_config};

use crate::cluster::{plain, topic, unique};

#[tokio::test]
async fn a_topic_is_made_as_asked_for_and_described() {
    let plan = plain();
    let name = topic(&plan, "made", 3, &[("cleanup.policy", "compact")]).await;
    let admin = Admin::new(&plan).unwrap();
    let found = admin.describe_topic(&name).await.unwrap();
    assert_eq!(found, Some(TopicMetadata { partitions: 3, replication_factor: 1 }));
    let config = admin.topic_config(&name).await.unwrap();
    assert_eq!(config["cleanup.policy"], TopicSetting { value: "compact".into(), is_default: false });
    assert!(config["retention.ms"].is_default);
}

#[tokio::test]
async fn what_is_not_told_is_the_brokers_default() {
    let admin = Admin::new(&plain()).unwrap();
    let creation = TopicCreation { name: unique("default"), ..TopicCreation::default() };
    admin.create_topic(&creation).await.unwrap();
    let partitions = admin.broker_config("num.partitions").await.unwrap().unwrap();
    let found = admin.describe_topic(&creation.name).await.unwrap().unwrap();
    assert_eq!(found.partitions.to_string(), partitions);
}

#[tokio::test]
async fn one_that_exists_is_as_good() {
    let plan = plain();
    let name = topic(&plan, "twice", 2, &[]).await;
    let again = TopicCreation { name: name.clone(), partitions: Some(5), ..TopicCreation::default() };
    let admin = Admin::new(&plan).unwrap();
    admin.create_topic(&again).await.unwrap();
    assert_eq!(admin.describe_topic(&name).await.unwrap().unwrap().partitions, 2);
}

#[tokio::test]
async fn asking_for_a_topic_does_not_make_it() {
    let admin = Admin::new(&plain()).unwrap();
    let name = unique("missing");
    assert_eq!(admin.describe_topic(&name).await.unwrap(), None);
    assert_eq!(admin.topic_rights(&name).await.unwrap(), None);
    assert!(admin.topic_config(&name).await.is_err());
    assert_eq!(admin.describe_topic(&name).await.unwrap(), None);
}

#[tokio::test]
async fn a_refused_creation_has_the_brokers_words() {
    let admin = Admin::new(&plain()).unwrap();
    let refused = async |creation: TopicCreation| admin.create_topic(&creation).await.unwrap_err().problem();
    let config = [("cleanup.policy".to_owned(), "sometimes".to_owned())].into();
    let problem = refused(TopicCreation { name: unique("refused"), config, ..TopicCreation::default() }).await;
    assert_eq!(problem.reason, "TopicCreationRefused");
    assert!(problem.message.contains("sometimes") && problem.message.contains("cleanup.policy"), "{}", problem.message);

    let wide = TopicCreation { name: unique("wide"), replication_factor: Some(9), ..TopicCreation::default() };
    let problem = refused(wide).await;
    assert_eq!(problem.reason, "TopicCreationRefused");
    assert!(problem.message.contains('9'), "{}", problem.message);
}

#[tokio::test]
async fn settings_of_the_broker_are_read() {
    let value = broker_config(&plain(), "transaction.max.timeout.ms").await.unwrap();
    assert!(value.unwrap().parse::<u64>().is_ok());
    assert_eq!(broker_config(&plain(), "no.such.setting").await.unwrap(), None);
}
