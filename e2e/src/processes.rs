//! Processes by their ids, seen through `/proc`.

use std::process::{Command, Stdio};

/// In a set of signals.
const SIGTERM: u64 = 1 << 14;

/// All processes that are seen from here.
pub fn all() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The children of a process that still live.
pub fn children(parent: u32) -> Vec<u32> {
    all().into_iter().filter(|pid| status(*pid).is_some_and(|(state, ppid)| state != 'Z' && ppid == parent)).collect()
}

/// The parent of a process; none of one that is gone, or whose parent is not seen from here.
pub fn parent(pid: u32) -> Option<u32> {
    status(pid).map(|(_, parent)| parent).filter(|parent| *parent != 0)
}

/// Whether the process lives; a zombie does not.
pub fn lives(pid: u32) -> bool {
    status(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The arguments of a process.
pub fn arguments(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// Sends a signal (`KILL`, `TERM` …) to one process. One that is gone already does not need it.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    assert!(status.is_ok(), "cannot run kill: {status:?}");
}

/// Whether a process that stands still has been told to end in an orderly way.
pub fn is_told_to_end(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    pending.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & SIGTERM != 0)
}

/// Kills them, all at once. Those that are gone already do not need it.
pub fn kill(pids: &[u32]) {
    let pids = pids.iter().map(ToString::to_string);
    let status = Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status();
    assert!(status.is_ok(), "cannot run kill: {status:?}");
}

/// The most memory that a process has held, in bytes; of one that is gone 0.
pub fn peak_memory(pid: u32) -> u64 {
    kilobytes(pid, "VmHWM:") * 1_024
}

/// The memory that a process holds, in bytes; of one that is gone 0.
pub fn memory(pid: u32) -> u64 {
    kilobytes(pid, "VmRSS:") * 1_024
}

/// How many threads a process has.
pub fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

fn kilobytes(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// State and parent.
fn status(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in front may hold anything, also parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}
