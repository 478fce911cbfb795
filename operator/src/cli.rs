//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use afterbay_crds::quantity;
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Carries the changes of databases into Kafka, exactly once.
#[derive(Debug, Parser)]
#[command(name = "afterbay", version)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run what manifests declare, here, without a cluster
    Run(RunArguments),
    /// Say what is wrong with manifests
    Validate(ValidateArguments),
    /// Show what a running `afterbay run` carries
    Status(StatusArguments),
    /// Carry what the resources of a Kubernetes cluster declare
    Operator(OperatorArguments),
    /// Print the definitions of the resources
    Crds,
    /// Ask a page of the operator or of a worker whether all is well
    Probe(ProbeArguments),
}

/// Which manifests.
#[derive(Debug, Args)]
pub struct ManifestArguments {
    /// Manifests: files, folders of .yaml, .yml and .json files, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true, num_args = 1..)]
    pub paths: Vec<PathBuf>,
    /// Namespace of manifests that name none
    #[arg(long, default_value = "default", value_parser = namespace)]
    pub namespace: String,
    /// Name of this installation, in all names at Kafka; two installations on one cluster need two
    #[arg(long, default_value = "default", value_parser = instance)]
    pub instance: String,
}

/// `afterbay run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Which manifests
    #[command(flatten)]
    pub manifests: ManifestArguments,
    /// Where what must outlive the run is kept
    #[arg(long, value_name = "DIR", default_value = ".afterbay")]
    pub state_dir: PathBuf,
    /// End with 0 when every Sink has committed all that its source holds now
    #[arg(long)]
    pub until_caught_up: bool,
    /// With --until-caught-up: give up with 1 after this time (30s, 5m, 1h30m)
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "until_caught_up")]
    pub timeout: Option<Duration>,
    /// Delete Sinks and SourceConnectors that have run from this state directory and are not declared any more, as their
    /// deletionPolicy says: progress records, replication slots and managed publications; never topics of data
    #[arg(long)]
    pub prune: bool,
    /// How to tell what happens
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// The worker's program; by default `sink-runtime` beside this one, or on the PATH
    #[arg(long, value_name = "PATH")]
    pub runtime: Option<PathBuf>,
}

/// `afterbay validate`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// Which manifests
    #[command(flatten)]
    pub manifests: ManifestArguments,
    /// Ask the real broker, registry and database too
    #[arg(long)]
    pub online: bool,
    /// How to tell it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// `afterbay status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// The state directory of the run
    #[arg(long, value_name = "DIR", default_value = ".afterbay")]
    pub state_dir: PathBuf,
    /// How to tell it
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// `afterbay operator`.
#[derive(Debug, Args)]
pub struct OperatorArguments {
    /// Name of this installation, in all names at Kafka; two installations on one Kafka cluster need two
    #[arg(long, env = "AFTERBAY_INSTANCE", default_value = "default", value_parser = instance)]
    pub instance: String,
    /// Namespace to watch; can be given more than once, or as a list with commas. Without it all are watched
    #[arg(long = "watch-namespace", value_name = "NAMESPACE", env = "AFTERBAY_WATCH_NAMESPACE", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Image that workers run from; it holds `sink-runtime`
    #[arg(long, value_name = "IMAGE", env = "AFTERBAY_WORKER_IMAGE", default_value = DEFAULT_IMAGE)]
    pub worker_image: String,
    /// When nodes pull it: Always, IfNotPresent, Never
    #[arg(long, value_name = "POLICY", env = "AFTERBAY_WORKER_IMAGE_PULL_POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub worker_image_pull_policy: Option<String>,
    /// Secret by which nodes pull it, in the namespaces of the workers; can be given more than once
    #[arg(
        long = "worker-image-pull-secret",
        value_name = "NAME",
        env = "AFTERBAY_WORKER_IMAGE_PULL_SECRET",
        value_delimiter = ','
    )]
    pub worker_image_pull_secrets: Vec<String>,
    /// Where probes and metrics are served
    #[arg(long, value_name = "ADDRESS", env = "AFTERBAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: std::net::SocketAddr,
    /// Lease by which one of several operators leads
    #[arg(long, value_name = "NAME", env = "AFTERBAY_LEASE_NAME", default_value = "afterbay")]
    pub lease_name: String,
    /// Its namespace; by default that of this pod
    #[arg(long, value_name = "NAMESPACE", env = "AFTERBAY_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Lead without a Lease: there is one operator only
    #[arg(long, env = "AFTERBAY_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,
    /// Where secrets are kept in files while the operator's own clients read them; best in memory
    #[arg(long, value_name = "DIR", env = "AFTERBAY_SCRATCH_DIR")]
    pub scratch_dir: Option<PathBuf>,
    /// How to log
    #[arg(long, value_enum, env = "AFTERBAY_LOG_FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// Namespace of this pod
    #[arg(long, hide = true, env = "POD_NAMESPACE")]
    pub pod_namespace: Option<String>,
    /// Name of this pod
    #[arg(long, hide = true, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Which pod of that name this is
    #[arg(long, hide = true, env = "POD_UID")]
    pub pod_uid: Option<String>,
}

/// The image of this version.
const DEFAULT_IMAGE: &str = concat!("afterbay:", env!("CARGO_PKG_VERSION"));

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For machines: a JSON object a line
    Json,
}

/// `afterbay probe`.
#[derive(Debug, Args)]
pub struct ProbeArguments {
    /// The page, e.g. http://127.0.0.1:8080/readyz
    #[arg(value_name = "URL")]
    pub url: String,
    /// For how long it may answer otherwise, or not at all
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    pub timeout: Duration,
}

/// How to tell something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For machines: a JSON object a line
    Json,
}

/// Prints the definitions of the resources.
pub fn print_crds() -> anyhow::Result<ExitCode> {
    print(&afterbay_crds::api::crds_as_yaml()?)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output. A reader that has seen enough is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    if afterbay_crds::names::is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err("use up to 63 lower-case letters, digits and dashes, a letter or digit at both ends".to_owned())
    }
}

fn instance(text: &str) -> Result<String, String> {
    if afterbay_crds::names::is_instance(text) {
        Ok(text.to_owned())
    } else {
        Err("use up to 63 letters and digits".to_owned())
    }
}

/// Go's durations of whole numbers: `30s`, `1h30m`, `500ms`; more than nothing, and no more than a year.
fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_hours(24 * 366);
    match quantity::duration(text) {
        None => Err("write e.g. 30s, 5m or 1h30m".to_owned()),
        Some(length) if length.is_zero() || length > LONGEST => {
            Err("write e.g. 30s, 5m or 1h30m, more than nothing and up to a year".to_owned())
        }
        Some(length) => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("1s500ms"), Ok(Duration::from_millis(1_500)));
        for wrong in ["", "5", "s", "5 s", "-5s", "1.5h", "0s", "9000h", "9999999999999999999h", "4294967295h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
