//! How `run` and `validate --online` end while the systems keep silent: secrets do not outlive them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Ended, afterbay, check, program};

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "correct horse battery";

/// Manifests whose systems take connections, and never answer.
struct Silence {
    folder: TempDir,
    manifests: PathBuf,
    _listener: TcpListener,
}

fn silence() -> Silence {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("the listener has an address").port();
    let folder = tempfile::tempdir().expect("there is a place for files");
    let manifests = folder.path().join("manifests.yaml");
    let text = format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: shop}}
stringData: {{password: {SECRET}}}
---
apiVersion: afterbay.dev/v1alpha1
kind: SourceConnector
metadata: {{name: shop}}
spec:
  postgres:
    host: 127.0.0.1
    port: {port}
    database: shop
    tls: {{mode: disable}}
    authentication: {{username: shop, passwordSecret: {{secretName: shop, password: password}}}}
---
apiVersion: afterbay.dev/v1alpha1
kind: KafkaConnection
metadata: {{name: events}}
spec: {{bootstrapServers: '127.0.0.1:{port}'}}
---
apiVersion: afterbay.dev/v1alpha1
kind: Sink
metadata: {{name: orders}}
spec:
  source: {{name: shop, table: public.orders}}
  key: {{columns: [id]}}
  kafka:
    connection: events
    topic: {{name: orders}}
    envelope: upsert
    format: {{json: {{}}}}
"
    );
    fs::write(&manifests, text).expect("the manifests can be written");
    Silence { folder, manifests, _listener: listener }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().expect("afterbay can be started")
}

/// The only file below a folder that holds the secret, once there is one.
fn secret_below(folder: &Path) -> PathBuf {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A file that is still being written has another name.
        let holds = |file: &PathBuf| {
            file.extension().is_none_or(|end| end != "new") && fs::read_to_string(file).is_ok_and(|text| text == SECRET)
        };
        if let Some(file) = files(folder).into_iter().find(holds) {
            return file;
        }
        assert!(Instant::now() < deadline, "no secret is written below {}", folder.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn terminate(child: Child) -> Ended {
    // The shell's own kill: there need not be a program of that name.
    let asked = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &child.id().to_string()]).status();
    assert!(asked.expect("there is a shell").success(), "afterbay has ended by itself");
    child.wait_with_output().expect("afterbay ends").into()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn an_interrupted_validation_leaves_nothing() {
    let silence = silence();
    let temporary = silence.folder.path().join("tmp");
    fs::create_dir(&temporary).expect("a folder can be made");
    let child = spawn(program().args(["validate", "--online", "-f"]).arg(&silence.manifests).env("TMPDIR", &temporary));
    let secret = secret_below(&temporary);
    let made = secret.strip_prefix(&temporary).ok().and_then(|path| path.iter().next()).expect("it is below");
    assert_eq!((mode(&secret), mode(&temporary.join(made))), (0o600, 0o700));
    let ended = terminate(child);
    assert_eq!((ended.code, ended.log.as_str()), (Some(1), "error: interrupted\n"));
    assert_eq!(fs::read_dir(&temporary).expect("it is there").count(), 0);
}

#[test]
fn a_state_directory_has_one_run_which_takes_its_secrets_with_it() {
    let silence = silence();
    let state = silence.folder.path().join("state");
    let state_text = state.to_str().expect("the path is text");
    let manifests = silence.manifests.to_str().expect("the path is text");
    let child = spawn(program().args(["run", "-f", manifests, "--state-dir", state_text]));
    let secret = secret_below(&state);
    assert!(secret.starts_with(state.join("secrets")), "{}", secret.display());
    assert_eq!((mode(&secret), mode(&state)), (0o600, 0o700));

    let second = afterbay(&["run", "-f", manifests, "--state-dir", state_text]);
    assert_eq!(second.code, Some(1));
    let holder = format!("is held by another afterbay run (process {})", child.id());
    check(&second.log, &["error: the state directory", &holder, "end it, or give --state-dir"]);
    assert!(secret.exists(), "a refused run removes nothing");
    let status = afterbay(&["status", "--state-dir", state_text]);
    assert_eq!(status.code, Some(0), "{}", status.log);
    check(&status.out, &["NAME", "SOURCE", "DESTINATION"]);

    let ended = terminate(child);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains(SECRET));
    assert!(!state.join("secrets").exists());
    assert!(state.join("lock").exists(), "the lock's file is never removed");
    assert_eq!(afterbay(&["status", "--state-dir", state_text]).code, Some(1));
}

#[test]
fn a_run_that_fails_takes_its_secrets_with_it() {
    let Silence { folder, manifests, _listener: listener } = silence();
    // Now the systems refuse connections, which is found at once; the worker's program is missing, which ends the run.
    drop(listener);
    let state = folder.path().join("state");
    let ended: Ended = program()
        .args(["run", "--runtime", "/no/such/program", "-f"])
        .arg(&manifests)
        .arg("--state-dir")
        .arg(&state)
        .output()
        .expect("afterbay can be started")
        .into();
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    check(&ended.log, &["error: cannot start /no/such/program", "name it with --runtime"]);
    assert!(!state.join("secrets").exists() && !files(&state).is_empty());
    assert!(!files(&state).iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(SECRET))));
}
