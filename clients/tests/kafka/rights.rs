//! Missing rights are named, one after the other, until all that a Sink needs is there.

use afterbay_clients::kafka::acls::{Acl, AclOperation, AclResource};
use afterbay_clients::kafka::admin::{Admin, TopicCreation, TopicRights};
use afterbay_clients::kafka::progress::read_progress;
use afterbay_clients::kafka::{ErrorClass, ProducerSettings, TransactionalProducer};
use afterbay_crds::report::Problem;
use afterbay_crds::rights::Right;

use crate::cluster::{TIMEOUT, User, eventually, topic, unique};

/// Rights that are taken again at the end.
struct Rights {
    admin: Admin,
    principal: String,
    given: Vec<Acl>,
}

impl Rights {
    async fn give(&mut self, operation: AclOperation, resource: AclResource) {
        // Waits until the brokers know of it.
        let right = Right::new(operation, resource.clone());
        self.admin.provide_rights(&self.principal, &[right].into()).await.unwrap();
        self.given.push(Acl { principal: self.principal.clone(), operation, resource });
    }
}

#[track_caller]
fn check(problem: &Problem, words: &[&str]) {
    assert_eq!(problem.reason, "KafkaNotAuthorized", "{problem:?}");
    for word in words {
        assert!(problem.message.contains(word), "{word}: {problem:?}");
    }
}

#[tokio::test]
async fn each_missing_right_is_named() {
    let (admin, limited) = (User::admin(), User::limited());
    let data = topic(&admin.plan, "data", 1, &[]).await;
    let progress = topic(&admin.plan, "progress", 1, &[("cleanup.policy", "compact")]).await;
    let (id, group) = (unique("id"), unique("group"));
    let mut rights = Rights {
        admin: Admin::new(&admin.plan).unwrap(),
        principal: format!("User:{}", limited.name),
        given: Vec::new(),
    };
    let theirs = Admin::new(&limited.plan).unwrap();
    let fence = || {
        let producer = TransactionalProducer::new(&limited.plan, &ProducerSettings::new(&id)).unwrap();
        producer.init_transactions(TIMEOUT).map(|()| producer)
    };

    let error = fence().err().unwrap();
    assert_eq!(error.class, ErrorClass::NotAuthorized, "{error:?}");
    check(&error.problem(), &["lacks Write on transactional id", &id]);
    rights.give(AclOperation::Write, AclResource::TransactionalIdPrefix(id[..id.len() - 1].into())).await;
    let producer = fence().unwrap();

    let read = || read_progress(&limited.plan, &progress, &group, "k", TIMEOUT).map_err(|error| error.problem());
    check(&read().unwrap_err(), &["Read", &progress]);
    rights.give(AclOperation::Read, AclResource::Topic(progress.clone())).await;
    check(&read().unwrap_err(), &["lacks Read on group", &group]);
    rights.give(AclOperation::Read, AclResource::Group(group.clone())).await;
    assert_eq!(read().unwrap(), None);

    let problem = producer.partition_count(&data, TIMEOUT).unwrap_err().problem();
    check(&problem, &["lacks Write on topic", &data]);
    assert_eq!(theirs.describe_topic(&data).await.unwrap_err().problem().reason, "KafkaNotAuthorized");
    rights.give(AclOperation::Describe, AclResource::Topic(data.clone())).await;
    let told = theirs.topic_rights(&data).await.unwrap();
    assert_eq!(told, Some(TopicRights { read: false, write: false, describe_configs: false }));
    check(&theirs.topic_config(&data).await.unwrap_err().problem(), &["DescribeConfigs", &data]);

    // A client remembers that a topic was refused: each try has a new one, as each life of a Sink has.
    let send = || {
        let producer = fence().unwrap();
        let topic = producer.topic(&data)?;
        producer.begin()?;
        producer.produce(&topic, 0, None, Some(b"v"), std::iter::empty())?;
        producer.commit(TIMEOUT)
    };
    let error = send().unwrap_err();
    assert_eq!(error.class, ErrorClass::NotAuthorized, "{error:?}");
    check(&error.problem(), &["Write", &data]);

    rights.give(AclOperation::Write, AclResource::Topic(data.clone())).await;
    rights.give(AclOperation::DescribeConfigs, AclResource::Topic(data.clone())).await;
    let told = theirs.topic_rights(&data).await.unwrap();
    assert_eq!(told, Some(TopicRights { read: false, write: true, describe_configs: true }));
    theirs.topic_config(&data).await.unwrap();
    send().unwrap();

    let creation = TopicCreation { name: unique("theirs"), ..TopicCreation::default() };
    let problem = theirs.create_topic(&creation).await.unwrap_err().problem();
    check(&problem, &["Create", &creation.name]);

    rights.admin.disallow(&rights.given).await.unwrap();
    eventually("the brokers know that they are taken", || {
        fence().is_err_and(|error| error.class == ErrorClass::NotAuthorized)
    })
    .await;
}
