//! The reference consumer: confluent-kafka and fastavro, run as a child process.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::Rig;
use crate::message::{Format, Message};
use crate::programs::repository;

/// All messages of a topic that a read_committed reader sees now, by partition and offset.
pub async fn read(rig: &Rig, topic: &str, format: Format) -> Vec<Message> {
    read_with(rig.broker(), topic, format, &["--registry", rig.registry()]).await
}

/// As [`read`], at this broker, with further arguments of the consumer.
pub async fn read_with(bootstrap: &str, topic: &str, format: Format, arguments: &[&str]) -> Vec<Message> {
    let lines = consume(bootstrap, topic, (format.as_str(), format.as_str()), arguments).await;
    parse(&lines)
}

/// As [`read`], all of these topics at once, by topic, partition and offset.
pub async fn read_all(rig: &Rig, topics: &[String], format: Format) -> Vec<Message> {
    let [first, others @ ..] = topics else { return Vec::new() };
    let others: Vec<_> = others.iter().flat_map(|topic| ["--topic", topic]).collect();
    read_with(rig.broker(), first, format, &[&others[..], &["--registry", rig.registry()]].concat()).await
}

fn parse(lines: &[String]) -> Vec<Message> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let mut messages: Vec<Message> = lines.iter().map(parse).collect();
    messages.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
    messages
}

/// The rights of a principal, sorted: `WRITE TOPIC LITERAL orders`.
pub async fn rights(bootstrap: &str, principal: &str, settings: &[String]) -> Vec<String> {
    let mut command = Command::new(python());
    command.arg(repository().join("e2e/reference/acls.py"));
    command.args(["--bootstrap", bootstrap, "--principal", principal]);
    for setting in settings {
        command.args(["--config", setting]);
    }
    // Who has none gets an empty line.
    lines(command).await.into_iter().filter(|line| !line.is_empty()).collect()
}

/// Gives a user of the brokers this password.
pub async fn set_password(bootstrap: &str, user: &str, password: &str, settings: &[String]) {
    let mut command = Command::new(python());
    command.arg(repository().join("e2e/reference/scram.py"));
    command.args(["--bootstrap", bootstrap, "--user", user]);
    for setting in settings {
        command.args(["--config", setting]);
    }
    told(command, password).await;
}

async fn lines(command: Command) -> Vec<String> {
    told(command, "").await
}

/// Runs a command with this on its standard input; gives the lines that it prints.
async fn told(mut command: Command, input: &str) -> Vec<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the reference client can be started");
    let mut stdin = child.stdin.take().expect("it has a standard input");
    stdin.write_all(input.as_bytes()).await.expect("the reference client reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("the reference client can be waited for");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the reference client ends with {}: {words}", output.status);
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Runs the consumer with formats of key and value; gives the lines that it prints.
pub async fn consume(
    bootstrap: &str,
    topic: &str,
    (key_format, value_format): (&str, &str),
    arguments: &[&str],
) -> Vec<String> {
    let mut command = Command::new(python());
    command.arg(repository().join("e2e/reference/consume.py"));
    command.args(["--bootstrap", bootstrap, "--topic", topic]);
    command.args(["--key-format", key_format, "--value-format", value_format]).args(arguments);
    lines(command).await
}

pub(crate) fn python() -> PathBuf {
    let python = repository().join("target/rig/venv/bin/python");
    assert!(python.exists(), "the reference client is not installed: run e2e/rig/install.sh");
    python
}
