//! CPU and memory of processes, from `/proc`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use afterbay_e2e::processes::children;
use afterbay_e2e::programs::repository;

/// The unit of the times in `/proc` (`sysconf(_SC_CLK_TCK)`, which is 100 on every Linux that Rust knows).
const TICK: Duration = Duration::from_millis(10);

/// Places in `/proc/PID/stat`, counted from the state behind the name (proc_pid_stat(5) counts from the pid: two more).
const OWN_TIMES: std::ops::Range<usize> = 11..13;
const TIMES_OF_THE_DEAD: std::ops::Range<usize> = 13..15;
const START: usize = 19;

/// CPU time of a process.
pub fn cpu(pid: u32) -> Duration {
    ticks(stat(pid).get(OWN_TIMES))
}

/// CPU time of a process and all below it, also of those that have ended.
pub fn cpu_of_tree(pid: u32) -> Duration {
    let stat = stat(pid);
    let below: Duration = children(pid).into_iter().map(cpu_of_tree).sum();
    ticks(stat.get(OWN_TIMES)) + ticks(stat.get(TIMES_OF_THE_DEAD)) + below
}

/// CPU time of all processes of the machine; and what a hypervisor took away from it, which stands still for them too.
pub fn cpu_of_machine() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").expect("/proc/stat can be read");
    let fields: Vec<u64> = numbers(stat.lines().next().expect("it has a line for all processors").split(' ').skip(2));
    // user nice system idle iowait irq softirq steal
    let busy: u64 =
        fields.iter().take(8).enumerate().filter(|(place, _)| ![3, 4].contains(place)).map(|(_, n)| n).sum();
    TICK * busy as u32
}

/// The most memory that a process has held, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1_024
}

/// When a process was started.
pub fn started(pid: u32) -> SystemTime {
    let uptime = std::fs::read_to_string("/proc/uptime").expect("/proc/uptime can be read");
    let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).expect("it begins with seconds");
    let after_boot = ticks(stat(pid).get(START..=START));
    SystemTime::now() - Duration::from_secs_f64(uptime).saturating_sub(after_boot)
}

/// The process of a part of the rig; none where the part is not the rig's.
pub fn part(name: &str) -> Option<u32> {
    std::fs::read_to_string(run_folder().join(format!("{name}.pid"))).ok()?.trim().parse().ok()
}

/// The processes of all parts of the rig.
pub fn parts() -> Vec<u32> {
    let files = std::fs::read_dir(run_folder()).into_iter().flatten().flatten();
    files.filter_map(|file| part(file.file_name().to_str()?.strip_suffix(".pid")?)).collect()
}

/// As `e2e/rig/lib.sh` has it.
fn run_folder() -> PathBuf {
    let state = std::env::var_os("AFTERBAY_RIG_STATE").unwrap_or_else(|| "target/rig".into());
    repository().join(state).join("run")
}

fn stat(pid: u32) -> Vec<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in front may hold anything, also parentheses.
    stat.rsplit_once(')').map_or_else(Vec::new, |(_, fields)| numbers(fields.split_whitespace()))
}

/// The state is a letter, and some fields are negative: they count as 0.
fn numbers<'a>(fields: impl Iterator<Item = &'a str>) -> Vec<u64> {
    fields.map(|field| field.parse().unwrap_or_default()).collect()
}

fn ticks(fields: Option<&[u64]>) -> Duration {
    TICK * fields.unwrap_or_default().iter().sum::<u64>() as u32
}
