//! What is replayed, and how it is told.

use fastalloc_trace::generate::{Lifetime, Program, SiteProgram};
use fastalloc_trace::{Process, TraceWriter};
use serde_json::Value;

use crate::{Files, SERVE, SETUP, Site, command, run, run_command, trace};

/// Call sites without names: `0x1000` and so on.
fn generated(program: &Program) -> Vec<u8> {
    let mut writer = TraceWriter::new(Vec::new(), &Process::default()).unwrap();
    program.items().for_each(|item| writer.item(&item).unwrap());
    writer.finish().unwrap()
}

fn many_threads() -> Program {
    let lifetime = Lifetime::Skewed(100, 100_000);
    let site = SiteProgram {
        objects: 2000,
        lifetime,
        threads: 16,
        freed_elsewhere_permille: 300,
        ..SiteProgram::new(0x1000, 64)
    };
    Program { seed: 5, sites: vec![site] }
}

fn json(arguments: &[&str], file: &std::path::Path) -> Value {
    let run = run_command(command().arg("replay").arg(file).args(["--json", "--time", "0.01"]).args(arguments));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn all_candidates_are_in_the_table() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let run = run_command(command().arg("replay").arg(&path).args(["--time", "0.01", "--no-html"]));
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains("pool of 13 slots: my_app::serve (64 bytes)"), "{}", run.stdout);
    for candidate in ["system", "mimalloc", "jemalloc", "pools"] {
        assert!(run.stdout.lines().any(|line| line.starts_with('│') && line.contains(candidate)), "{}", run.stdout);
    }
    assert!(run.stdout.contains("4005 steps of 1 thread"), "{}", run.stdout);
}

#[test]
fn threads_are_replayed_as_threads() {
    let files = Files::new();
    let program = many_threads();
    let path = files.write("trace", &generated(&program));
    let json = json(&[], &path);
    let measured = &json["measured"]["comparison"];
    assert_eq!((&measured["threads"], &measured["rows"].as_array().unwrap().len()), (&16.into(), &4));
    for (row, cold) in measured["rows"].as_array().unwrap().iter().zip(json["measured"]["cold"].as_array().unwrap()) {
        assert_eq!((&row["refused"], &row["failed"]), (&0.into(), &0.into()), "{row}");
        assert!(cold["Ok"]["time"].as_u64().unwrap() > 0, "{cold}");
        if cfg!(target_os = "linux") {
            assert!(cold["Ok"]["resident_peak"].as_u64().is_some(), "{cold}");
        }
    }
    let curve = &json["what_if"][0];
    assert_eq!(curve["peak"], program.truth()[0].alive_peak);
}

#[test]
fn truncated_recording_is_replayed_as_far_as_it_goes() {
    let files = Files::new();
    let whole = trace(&[SERVE, SETUP]);
    let path = files.write("trace", &whole[..whole.len() - 30]);
    let run = run_command(command().arg("replay").arg(&path).args(["--time", "0.01", "--no-html"]));
    assert_eq!(run.status, Some(0));
    assert!(run.stderr.contains("is truncated"), "{}", run.stderr);
    assert!(run.stdout.contains("4000 steps"), "{}", run.stdout);
}

#[test]
fn other_capacities_are_exact() {
    let files = Files::new();
    // 200 times: 10 come, and then 10 go.
    let path = files.write("trace", &trace(&[SERVE]));
    let json = json(&["--capacity", "1..12"], &path);
    assert_eq!(json["measured"], Value::Null);
    let outcomes = json["what_if"][0]["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 12);
    for outcome in outcomes {
        let capacity = outcome["capacity"].as_u64().unwrap();
        assert_eq!(outcome["failures"], 200 * 10_u64.saturating_sub(capacity), "{outcome}");
        let steps = (0..).find(|steps| capacity << steps >= 10).unwrap();
        assert_eq!((&outcome["steps"], &outcome["grown"]), (&steps.into(), &(capacity << steps).into()), "{outcome}");
        assert_eq!(outcome["bytes"], capacity * 64);
    }
    let run = run_command(command().arg("replay").arg(&path).args(["--capacity", "5", "--no-html"]));
    let row = run.stdout.lines().find(|line| line.starts_with('│') && line.contains("50.00 %"));
    let cells: Vec<&str> = row.unwrap().split(['│', '┆']).map(str::trim).collect();
    assert_eq!(cells[1..8], ["5", "320 B", "1000", "50.00 %", "1", "10", "640 B"]);
}

#[test]
fn configured_pools_take_the_place_of_advised_ones() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, Site { functions: &["other::setup"], ..SETUP }]));
    let config = files.write("x.toml", b"[[pool]]\nsite = \"my_app::*\"\ncapacity = 4\n");
    let run = run_command(command().arg("replay").arg(&path).arg("--config").arg(&config).args([
        "--time",
        "0.01",
        "--no-html",
    ]));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("1200 objects of each round found the pool full"), "{}", run.stdout);
    let none = run_command(command().arg("replay").arg(&path).args(["--site", "nobody*"]));
    assert_eq!(none.status, Some(2));
    assert!(none.stderr.contains("no pool is for a call site that matches \"nobody*\""), "{}", none.stderr);
}

#[test]
fn part_of_a_recording_is_a_part() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE]));
    let run = run_command(command().arg("replay").arg(&path).args(["--events", "100", "--time", "0.01", "--no-html"]));
    assert!(run.stderr.contains("this is about the first 100"), "{}", run.stderr);
    assert!(run.stdout.contains("100 steps"), "{}", run.stdout);
}

#[test]
fn what_cannot_be_replayed_is_refused() {
    let files = Files::new();
    let dhat = files.write("dhat", include_bytes!("../../../fastalloc-trace/tests/data/dhat.json"));
    let refused = run(["replay".as_ref(), dhat.as_os_str()]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.stderr.contains("has no events"), "{}", refused.stderr);
    for arguments in [&["--capacity", "0..5"][..], &["--capacity", "9..5"], &["--capacity", "x"], &["-"]] {
        let run = run_command(command().arg("replay").args(arguments));
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""), "{arguments:?}");
    }
}

#[test]
fn without_a_file_it_is_the_sample() {
    let run = run_command(command().args(["replay", "--time", "0.01", "--no-html", "--events", "2000"]));
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout.starts_with("the sample: "), "{}", run.stdout);
    let advised = run_command(command().args(["advise", "--no-replay", "--no-html"]));
    assert_eq!((advised.status, advised.stderr.as_str()), (Some(0), ""));
    assert!(advised.stdout.contains("pub fn "), "the sample has call sites that are worth a pool: {}", advised.stdout);
}

#[test]
fn gains_are_told_with_their_spread() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let advise = run_command(command().arg("advise").arg(&path).arg("--json"));
    let json: Value = serde_json::from_str(&advise.stdout).unwrap();
    let gain = &json["advice"][0]["gain"];
    assert_eq!(gain["objects"], 2000);
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(0.0 < number(&gain["heap"]["min"]) && number(&gain["heap"]["min"]) <= number(&gain["heap"]["median"]));
    let ratio: Vec<f64> = gain["ratio"].as_array().unwrap().iter().map(number).collect();
    assert!(ratio.is_sorted() && ratio[0] > 0.0, "{ratio:?}");
    assert_eq!(json["advice"][1]["gain"], Value::Null, "no pool is advised");
    let without = run_command(command().arg("advise").arg(&path).args(["--json", "--no-replay"]));
    let json: Value = serde_json::from_str(&without.stdout).unwrap();
    assert_eq!(json["advice"][0]["gain"], Value::Null);
}

#[test]
fn converted_recording_says_the_same() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let converted = files.path("converted");
    let run = run_command(command().arg("convert").arg(&path).arg("--output").arg(&converted));
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    let advice = |path: &std::path::Path| {
        let run = run_command(command().arg("advise").arg(path).args(["--no-replay", "--no-html", "--json"]));
        let mut json: Value = serde_json::from_str(&run.stdout).unwrap();
        (json["file"], json["ending"]) = (Value::Null, Value::Null);
        json
    };
    assert_eq!(advice(&path), advice(&converted));
}
