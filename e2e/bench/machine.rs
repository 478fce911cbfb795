//! Where the figures were taken, and of what.

use std::process::Command;

use afterbay_e2e::Rig;
use afterbay_e2e::programs::repository;
use tokio_postgres::NoTls;

/// Lines of a list.
pub async fn describe() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kilobytes: u64 =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or_default();
    let afterbay = format!("Afterbay {} ({})", env!("CARGO_PKG_VERSION"), commit());
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    vec![
        output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        format!(
            "{cores} × {model}, {:.0} GiB, Linux {}, all parts on this one machine",
            kilobytes as f64 / 1_048_576.0,
            output("uname", &["-r"])
        ),
        format!("{afterbay}, librdkafka {librdkafka}, PostgreSQL {}, Kafka {}", postgres().await, kafka()),
    ]
}

/// A field of one of the lists of `/proc`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn commit() -> String {
    let folder = repository().to_str().expect("the repository has a plain name");
    let commit = output("git", &["-C", folder, "rev-parse", "--short", "HEAD"]);
    let changed =
        !output("git", &["-C", folder, "status", "--porcelain", "--untracked-files=no", "--", "*.rs"]).is_empty();
    if changed { format!("{commit}, with changes") } else { commit }
}

async fn postgres() -> String {
    let (client, connection) = Rig::get().postgres().connect(NoTls).await.expect("the server lets us in");
    tokio::spawn(connection);
    let row = client.query_one("SHOW server_version", &[]).await.expect("the server tells its version");
    row.get::<_, String>(0).split(' ').next().unwrap_or_default().to_owned()
}

/// The broker is that of the rig, whose version is in its script.
fn kafka() -> String {
    let script = std::fs::read_to_string(repository().join("e2e/rig/lib.sh")).unwrap_or_default();
    let version = script.lines().find_map(|line| line.strip_prefix("kafka_version="));
    version.unwrap_or("of unknown version").to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
