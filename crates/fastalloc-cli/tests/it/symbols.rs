//! Names of functions, from the files that were recorded.

use std::path::Path;
use std::process::Command;

use fastalloc_trace::{Event, EventKind, Frame, Module, Process, StackId, TraceWriter};
use serde_json::Value;

use crate::{Files, run_command};

/// A function of this program, which a trace is to name.
#[inline(never)]
fn marker() -> usize {
    std::hint::black_box(17)
}

/// Where the file of this program begins in memory: what its first mapping says.
fn load_address(path: &Path) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with(path.to_str().unwrap())).unwrap();
    u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()
}

/// A trace of 2000 objects allocated at an address of this program.
fn trace_of_marker(path: &Path, build_id: &[u8]) -> Vec<u8> {
    let load_address = load_address(path);
    let mut writer = TraceWriter::new(Vec::new(), &Process::default()).unwrap();
    let path = writer.string(path.to_str().unwrap()).unwrap();
    let module = Module { path, build_id: build_id.to_vec(), load_address, start: load_address, length: 1 << 32 };
    writer.module(&module).unwrap();
    // As if it had called from its second byte.
    let function: fn() -> usize = marker;
    let address = function as usize as u64 + 2;
    let stack = writer.stack(StackId::EMPTY, Frame { module: None, address }).unwrap();
    for time in 0..2000 {
        let kind = EventKind::Allocate { address: 0x100, size: 64, alignment: 8, stack };
        writer.event(&Event { time, thread: 1, duration: 0, kind }).unwrap();
        let kind = EventKind::Free { address: 0x100 };
        writer.event(&Event { time, thread: 1, duration: 0, kind }).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn function_is_named_by_the_file_it_is_in() {
    assert_eq!(marker(), 17);
    let files = Files::new();
    let program = std::env::current_exe().unwrap();
    let path = files.write("trace", &trace_of_marker(&program, &[]));
    let run = run_command(crate::command().arg("advise").arg(path).args(["--json", "--no-replay"]));
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["advice"][0]["advice"]["site"], "it::symbols::marker");
    // With debug information, which some profiles do not have.
    if let Some(place) = json["advice"][0]["place"].as_str() {
        assert!(place.contains("tests/it/symbols.rs:"), "{place}");
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn another_build_is_not_asked_for_names() {
    let files = Files::new();
    let program = std::env::current_exe().unwrap();
    let path = files.write("trace", &trace_of_marker(&program, &[1, 2, 3]));
    let run = run_command(crate::command().arg("advise").arg(path));
    assert!(run.stderr.contains("its build id differs"), "{}", run.stderr);
    assert!(run.stdout.contains(&format!("{}+0x", program.display())), "{}", run.stdout);
    assert!(run.stdout.contains("FixedPool of 2 slots"), "{}", run.stdout);
}

/// Runs a tool; `false` if it is not there.
fn has_run(command: &mut Command) -> bool {
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            println!("SKIPPED: {command:?} does not run here: {error}");
            false
        }
    }
}

const C: &str = r"
#include <stdlib.h>
static inline __attribute__((always_inline)) void *inner(int n) { return malloc(n); }
__attribute__((noinline)) void *middle(int n) { char *p = inner(n); *(volatile char *)p = 1; return p; }
int main(void) {
    void *p[8];
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 8; i++) p[i] = middle(64);
        for (int i = 0; i < 8; i++) free(p[i]);
    }
}
";

const CPP: &str = r"
#include <memory>
#include <vector>
namespace shop {
struct Order { char bytes[48]; };
__attribute__((noinline)) std::unique_ptr<Order> place(int seed) {
    auto order = std::make_unique<Order>();
    order->bytes[0] = seed;
    return order;
}
}
int main() {
    for (int round = 0; round < 500; round++) {
        std::vector<std::unique_ptr<shop::Order>> orders;
        orders.reserve(4);
        for (int i = 0; i < 4; i++) orders.push_back(shop::place(i));
    }
}
";

const RUST: &str = r"
mod shop {
    #[inline(never)]
    pub fn place(seed: u64) -> Box<[u64; 6]> { Box::new([std::hint::black_box(seed); 6]) }
}
fn main() {
    for _ in 0..500 {
        let orders: [_; 4] = std::array::from_fn(|i| shop::place(i as u64));
        std::hint::black_box(&orders);
    }
}
";

/// Records a program with heaptrack and advises; the first advice.
fn advised(source: &str, name: &str, compiler: &[&str]) -> Option<Value> {
    let files = Files::new();
    let source = files.write(name, source.as_bytes());
    let (program, recording) = (files.0.path().join("program"), files.0.path().join("recording"));
    let compiled = has_run(Command::new(compiler[0]).args(&compiler[1..]).arg("-o").arg(&program).arg(source));
    if !compiled || !has_run(Command::new("heaptrack").arg("--raw").arg("-o").arg(&recording).arg(&program)) {
        return None;
    }
    let found = std::fs::read_dir(files.0.path()).unwrap().map(|entry| entry.unwrap().path());
    let recording = found.into_iter().find(|path| path.to_str().unwrap().contains("recording.")).unwrap();
    let run = run_command(crate::command().arg("advise").arg(recording).arg("--json"));
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["format"], "heaptrack");
    Some(json["advice"][0].clone())
}

#[test]
fn inlined_functions_have_names() {
    let Some(first) = advised(C, "program.c", &["cc", "-g", "-O1"]) else { return };
    assert_eq!(first["advice"]["site"], "inner");
    assert_eq!((&first["usage"]["objects"], &first["usage"]["alive_peak"]), (&2400.into(), &8.into()));
    assert!(first["place"].as_str().unwrap().ends_with("program.c:3"), "{first}");
}

#[test]
fn functions_of_cpp_have_names_without_parameters() {
    let Some(first) = advised(CPP, "program.cpp", &["c++", "-g", "-O1"]) else { return };
    assert_eq!((&first["advice"]["site"], &first["usage"]["objects"]), (&"shop::place".into(), &2000.into()));
}

#[test]
fn functions_of_rust_have_names_without_hashes() {
    let Some(first) = advised(RUST, "program.rs", &["rustc", "-g", "-O"]) else { return };
    assert_eq!((&first["advice"]["site"], &first["usage"]["objects"]), (&"program::shop::place".into(), &2000.into()));
    assert!(first["place"].as_str().unwrap().ends_with("program.rs:4"), "{first}");
}

#[test]
fn functions_without_debug_information_have_those_of_the_symbol_table() {
    let Some(first) = advised(C, "program.c", &["cc", "-O1"]) else { return };
    assert_eq!(first["advice"]["site"], "middle");
}

#[test]
fn functions_of_stripped_programs_are_offsets() {
    let Some(first) = advised(C, "program.c", &["cc", "-O1", "-s"]) else { return };
    let site = first["advice"]["site"].as_str().unwrap();
    assert!(site.contains("/program+0x"), "{site}");
}
