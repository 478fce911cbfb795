//! What the program says and how it ends, as far as it needs no broker, no database and no registry.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

mod chart;
mod crds;
mod probe;
mod status;
mod stopping;
mod usage;
mod validate;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// How a program ended, and what it said.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    log: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), log: text(&output.stderr) }
    }
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_afterbay"));
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Examples are named as a reader of the repository names them.
    program.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).env_remove("AFTERBAY_LOG");
    program
}

fn afterbay(arguments: &[&str]) -> Ended {
    program().args(arguments).output().expect("afterbay can be started").into()
}

fn afterbay_reading(arguments: &[&str], input: &str) -> Ended {
    let mut child = program().args(arguments).stdin(Stdio::piped()).spawn().expect("afterbay can be started");
    let mut pipe = child.stdin.take().expect("its input is a pipe");
    pipe.write_all(input.as_bytes()).expect("afterbay reads its input");
    drop(pipe);
    child.wait_with_output().expect("afterbay ends").into()
}

/// All of the words are there, in this order.
#[track_caller]
fn check(told: &str, words: &[&str]) {
    words.iter().fold(told, |rest, word| {
        rest.split_once(word).unwrap_or_else(|| panic!("{word:?} is not told (in this order) in:\n{told}")).1
    });
}
