//! `afterbay`: runs, validates and shows what carries changes into Kafka.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use operator::cli::{Arguments, Command, LogFormat};
use operator::{cli, cluster, online, probe, run};
use tracing_subscriber::EnvFilter;

/// What the clients have to say is told as problems, once each.
const LOG: &str = "warn,afterbay_clients=error";

/// An operator's log is its only voice beside the resources.
const LOG_OF_OPERATOR: &str = "warn,operator=info,afterbay_clients=error";

/// To standard error.
fn log(command: &Command) {
    let (default, format) = match command {
        Command::Operator(arguments) => (LOG_OF_OPERATOR, arguments.log_format),
        _ => (LOG, LogFormat::Text),
    };
    let filter = EnvFilter::try_from_env("AFTERBAY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let to = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Json => to.json().init(),
        LogFormat::Text => to.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(&arguments.command);
    // Of rustls' providers one is chosen. It can only fail where one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Validate(arguments) => online::validate(arguments).await,
        Command::Status(arguments) => run::status::show(arguments).await,
        Command::Operator(arguments) => cluster::operate(arguments).await,
        Command::Crds => cli::print_crds(),
        Command::Probe(arguments) => probe::probe(arguments).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
