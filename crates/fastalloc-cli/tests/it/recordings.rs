//! What is taken for a recording, and what is said of others.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::{Files, Run, SERVE, SETUP, command, run, run_command, trace};

const HEAPTRACK: &[u8] = include_bytes!("../../../fastalloc-trace/tests/data/heaptrack.raw");
const DHAT: &[u8] = include_bytes!("../../../fastalloc-trace/tests/data/dhat.json");

fn advise(path: &Path, more: &[&str]) -> Run {
    run_command(command().arg("advise").arg(path).args(more))
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compression_is_found_out_from_the_content() {
    let files = Files::new();
    let whole = trace(&[SERVE]);
    let zstd = |content: &[u8]| zstd::bulk::compress(content, 3).unwrap();
    let expected = advise(&files.write("x", &whole), &["--no-replay"]).stdout;
    for content in [gzip(&whole), zstd(&whole)] {
        let run = advise(&files.write("x", &content), &["--no-replay"]);
        assert_eq!((run.status, &run.stdout, run.stderr.as_str()), (Some(0), &expected, ""));
    }
    let expected = advise(&files.write("x", HEAPTRACK), &["--no-replay"]);
    assert!(expected.stdout.contains("/usr/local/bin/s+0x1180"), "{}", expected.stdout);
    for content in [gzip(HEAPTRACK), zstd(HEAPTRACK)] {
        let run = advise(&files.write("x", &content), &["--no-replay"]);
        assert_eq!((run.status, run.stdout), (Some(0), expected.stdout.clone()));
    }
}

#[test]
fn standard_input_is_a_recording_too() {
    let mut child = command().args(["advise", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&trace(&[SERVE])).unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && stdout.contains("my_app::serve"), "{stdout}");
}

#[test]
fn truncated_trace_is_advised_with_a_warning() {
    let files = Files::new();
    let whole = trace(&[SERVE, SETUP]);
    let path = files.write("cut", &whole[..whole.len() - 30]);
    let run = advise(&path, &[]);
    assert_eq!(run.status, Some(0));
    assert!(run.stderr.contains("warning: the recording is truncated: at offset "), "{}", run.stderr);
    assert!(run.stdout.contains("my_app::serve"), "{}", run.stdout);
    assert_eq!(advise(&path, &["--quiet"]).stderr, "");
}

#[test]
fn truncated_compression_is_advised_with_a_warning() {
    let files = Files::new();
    // More than a block of zstd, so that some of it can be decompressed.
    let comments: String =
        (0..40_000_u64).map(|number| format!("# {:x}\n", number.wrapping_mul(0x9E37_79B9))).collect();
    let recording = [HEAPTRACK, comments.as_bytes()].concat();
    for whole in [gzip(&recording), zstd::bulk::compress(&recording, 3).unwrap()] {
        let run = advise(&files.write("cut", &whole[..whole.len() * 3 / 4]), &["--json"]);
        assert!(run.stderr.contains("warning: the compressed data is truncated"), "{}", run.stderr);
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((run.status, &json["is_cut"]), (Some(0), &true.into()));
        assert!(json["report"]["events"].as_u64().unwrap() > 0);

        let run = advise(&files.write("cut", &whole[..12]), &[]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.contains("nothing of it can be decompressed"), "{}", run.stderr);
    }
}

#[test]
fn damaged_trace_is_an_error_that_says_where() {
    let files = Files::new();
    let mut damaged = trace(&[SERVE]);
    let last = damaged.len() - 20;
    damaged[last] ^= 1;
    let run = advise(&files.write("damaged", &damaged), &[]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("the block at offset"), "{}", run.stderr);
    // What the help says works.
    let (_, bytes) = run.stderr.trim_end().trim_end_matches('`').rsplit_once("--bytes=").unwrap();
    let rest = advise(&files.write("rest", &damaged[..bytes.parse().unwrap()]), &[]);
    assert_eq!(rest.status, Some(0), "{}", rest.stderr);
}

#[test]
fn what_is_no_recording_is_refused_with_advice() {
    let files = Files::new();
    let interpreted = b"v 10400 3\nX ./s\nI 1000 5e298f\ns 5 /bin/s\ni 55a46ee3a080 1\nt 1 0\na 40 1\n+ 0\n";
    for (content, what) in [
        (&b""[..], "is empty"),
        (b"hello", "is no recording that is known here"),
        (interpreted, "has been interpreted"),
        (b"v 10400 9\n", "version 9 of the format"),
        (b"{\"a\": 1}", "none of DHAT"),
        (&gzip(b"hello"), "is no recording that is known here"),
    ] {
        let run = advise(&files.write("x", content), &[]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(what), "{}", run.stderr);
        assert!(run.stderr.contains("\nhelp: "), "{}", run.stderr);
    }
    let missing = run(["advise", "/nowhere/trace"]);
    assert_eq!(missing.status, Some(2));
    assert!(missing.stderr.contains("cannot read /nowhere/trace"), "{}", missing.stderr);
    assert_eq!(advise(files.0.path(), &[]).status, Some(2));
}

#[test]
fn summary_of_dhat_has_no_capacities() {
    let files = Files::new();
    let path = files.write("dhat.out", DHAT);
    let run = advise(&path, &[]);
    assert_eq!(run.status, Some(0));
    assert!(run.stderr.contains("no capacities can be advised"), "{}", run.stderr);
    let row = run.stdout.lines().find(|line| line.contains(" mk ")).unwrap();
    let cells: Vec<&str> = row.split(['│', '┆']).map(str::trim).collect();
    assert_eq!(cells[1..5], ["mk", "64.0", "24", "8"]);
    assert!(!run.stdout.contains("pub fn"));
    let json: Value = serde_json::from_str(&advise(&path, &["--json", "--quiet"]).stdout).unwrap();
    assert_eq!((&json["format"], &json["sites"][0]["objects"]), (&"dhat".into(), &24.into()));
    for option in [&["--toml"][..], &["--check", "x.toml"]] {
        files.write("x.toml", b"");
        let run = run_command(command().current_dir(files.0.path()).arg("advise").arg(&path).args(option));
        assert_eq!(run.status, Some(2));
        assert!(run.stderr.contains("has no capacities"), "{}", run.stderr);
    }
}

#[test]
fn call_sites_of_dhat_are_those_of_other_recordings() {
    let frames = [
        ("0x1: __rust_alloc (alloc.rs:3)", "0x2: my_app::parse (main.rs:9:5)", "my_app::parse"),
        ("0x1: malloc (vg_replace_malloc.c:381)", "0x2: ??? (in /opt/program)", "0x2: ??? (in /opt/program)"),
        ("0x1: ??? (in /usr/lib/libc.so.6)", "0x2: main (in /opt/program)", "main"),
    ];
    let files = Files::new();
    for (inner, outer, site) in frames {
        let content = format!(
            r#"{{"dhatFileVersion": 2, "mode": "heap", "cmd": "x", "pid": 1, "tu": "instrs", "te": 9,
            "pps": [{{"tb": 64, "tbk": 1, "fs": [1, 2]}}], "ftbl": ["[root]", "{inner}", "{outer}"]}}"#
        );
        let run = advise(&files.write("x", content.as_bytes()), &["--json"]);
        let json: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(json["sites"][0]["site"], site);
    }
}
