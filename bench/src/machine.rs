//! What the figures are taken on.

use std::{collections::BTreeMap, env::consts, fs, process::Command, thread::available_parallelism};

use fastalloc_bench::record::Setting;

/// The packages of the rivals.
const RIVALS: [&str; 21] = [
    "bumpalo",
    "crossbeam-queue",
    "fastalloc",
    "heapless",
    "infinity_pool",
    "libmimalloc-sys",
    "lockfree-object-pool",
    "mimalloc",
    "nexus-slab",
    "object-pool",
    "onsen",
    "opool",
    "plurality",
    "sharded-slab",
    "shared_arena",
    "slab",
    "slotmap",
    "snmalloc-rs",
    "tikv-jemalloc-sys",
    "tikv-jemallocator",
    "typed-arena",
];

/// Looks at the machine, the compiler, the repository and the lock file.
pub(crate) fn setting() -> Setting {
    let unknown = || String::from("unknown");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Setting {
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| consts::ARCH.to_owned()),
        cores: available_parallelism().map_or(0, |cores| cores.get()),
        memory: memory().unwrap_or_else(unknown),
        system: output("uname", &["-sr"]).unwrap_or_else(|| consts::OS.to_owned()),
        load: load.split_whitespace().next().unwrap_or("unknown").to_owned(),
        compiler: env!("BENCH_RUSTC").to_owned(),
        commit: commit().unwrap_or_else(unknown),
        date: output("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown),
        debug: cfg!(debug_assertions),
        versions: versions(),
    }
}

/// Returns the setting in a few lines.
pub(crate) fn describe(setting: &Setting) -> String {
    let Setting { processor, cores, memory, system, load, compiler, commit, date, .. } = setting;
    let versions: Vec<String> = setting.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut text = format!(
        "{processor} ({cores} cores, {memory}, load {load}), {system}, {compiler}, commit {commit}, {date}\nRivals: {}",
        versions.join(", ")
    );
    if setting.debug {
        text.push_str("\nBuilt with debug assertions: the times mean nothing.");
    }
    text
}

/// Returns the versions of the packages from the registry: `fastalloc` is also the package beside us.
fn versions() -> BTreeMap<String, String> {
    let packages = include_str!("../Cargo.lock").split("[[package]]");
    let of_registry = packages.filter(|package| package.contains("\nsource = "));
    let versions = of_registry.filter_map(|package| {
        let value = |key| package.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"'));
        value("name = ").zip(value("version = "))
    });
    let rivals = versions.filter(|(name, _)| RIVALS.contains(name));
    rivals.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

fn memory() -> Option<String> {
    let total = field("/proc/meminfo", "MemTotal")?;
    let kibibytes: f64 = total.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.0} GiB", kibibytes / 1024.0 / 1024.0))
}

fn commit() -> Option<String> {
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let clean = output("git", &["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    Some(format!("{commit}{}", if clean { "" } else { " with changes" }))
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
