//! The reference consumer for tests that read again and again: a child process that tells what is new.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::message::{Format, Message};
use crate::programs::repository;
use crate::{Rig, reference};

/// Reads topics from where it has read them to; ends with the test.
pub struct Follower {
    _child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// The last line of an answer.
const END: &str = r#"{"end": true}"#;

/// What a line says besides its message.
#[derive(Deserialize)]
struct Origin {
    topic: String,
}

impl Follower {
    /// On the plain parts of the rig.
    pub fn start(rig: &Rig) -> Self {
        let mut child = Command::new(reference::python())
            .arg(repository().join("e2e/reference/follow.py"))
            .args(["--bootstrap", rig.broker(), "--registry", rig.registry()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the reference consumer can be started");
        let requests = child.stdin.take().expect("the pipe was asked for");
        let answers = BufReader::new(child.stdout.take().expect("the pipe was asked for")).lines();
        Self { _child: child, requests, answers }
    }

    /// What a `read_committed` reader sees in these topics that was not told before; in order within a partition.
    pub async fn read(&mut self, topics: &[(&str, Format)]) -> BTreeMap<String, Vec<Message>> {
        let topics: Vec<_> = topics.iter().map(|(topic, format)| json!([topic, format.as_str()])).collect();
        let request = format!("{}\n", json!(topics));
        self.requests.write_all(request.as_bytes()).await.expect("the reference consumer takes requests");
        let mut read = BTreeMap::<_, Vec<_>>::new();
        loop {
            let line = self.answers.next_line().await.expect("the reference consumer answers");
            let line = line.expect("the reference consumer goes on; what ended it stands on standard error");
            if line == END {
                return read;
            }
            // Two passes are far less than one that has to remember everything until it knows what it reads.
            let origin = serde_json::from_str::<Origin>(&line);
            let message = serde_json::from_str(&line);
            match (origin, message) {
                (Ok(origin), Ok(message)) => read.entry(origin.topic).or_default().push(message),
                (Err(error), _) | (_, Err(error)) => panic!("{error}: {line}"),
            }
        }
    }
}
