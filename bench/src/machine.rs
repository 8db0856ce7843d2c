//! What the figures were taken on.

use std::{fs, process::Command, thread::available_parallelism};

/// Returns the machine, the compiler and the commit in one line.
pub(crate) fn describe() -> String {
    let cores = available_parallelism().map_or(0, |cores| cores.get());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    format!(
        "{} ({cores} cores, {}, load {load}), {}, {}, {}",
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| String::from("unknown processor")),
        memory().unwrap_or_else(|| String::from("unknown memory")),
        output("uname", &["-sr"]).unwrap_or_else(|| String::from("unknown system")),
        env!("BENCH_RUSTC"),
        commit().unwrap_or_else(|| String::from("unknown commit")),
    )
}

/// Returns the versions of all rivals, from the lock file.
pub(crate) fn versions() -> String {
    let rivals = [
        "nexus-slab",
        "slab",
        "opool",
        "plurality",
        "shared_arena",
        "lockfree-object-pool",
        "object-pool",
        "onsen",
        "sharded-slab",
        "fastalloc",
        "mimalloc",
        "tikv-jemallocator",
        "snmalloc-rs",
    ];
    let versions = rivals.map(|name| format!("{name} {}", version(name).unwrap_or("unknown")));
    format!("Rivals: {}", versions.join(", "))
}

/// Returns the version of a package from the registry: `fastalloc` is also the package beside us.
fn version(package: &str) -> Option<&'static str> {
    let mut packages = include_str!("../Cargo.lock").split("[[package]]");
    let name = format!("name = \"{package}\"\n");
    let entry = packages.find(|entry| entry.contains(&name) && entry.contains("\nsource = "))?;
    entry.lines().find_map(|line| line.strip_prefix("version = ")).map(|version| version.trim_matches('"'))
}

fn memory() -> Option<String> {
    let total = field("/proc/meminfo", "MemTotal")?;
    let kibibytes: f64 = total.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.0} GiB", kibibytes / 1024.0 / 1024.0))
}

fn commit() -> Option<String> {
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let clean = output("git", &["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    Some(format!("commit {commit}{}", if clean { "" } else { " with changes" }))
}

/// Returns what follows `name:` in a file of the kernel's.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
