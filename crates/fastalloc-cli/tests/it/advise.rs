//! What is advised, and how it is told.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::{Files, SERVE, SETUP, Site, command, run, run_command, trace};

#[test]
fn advice_is_a_table_and_code() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let run = run(["advise".as_ref(), path.as_os_str(), "--no-replay".as_ref()]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains("4005 events in 4.0 ms, 2 call sites"), "{}", run.stdout);
    let rows: Vec<&str> = run.stdout.lines().filter(|line| line.contains("my_app::") && line.contains('│')).collect();
    assert!(rows[0].contains("my_app::serve") && rows[0].contains("FixedPool of 13 slots"), "{}", run.stdout);
    assert!(rows[1].contains("my_app::setup") && rows[1].contains("no pool: too few: 5 objects"), "{}", run.stdout);
    assert!(run.stdout.contains("src/main.rs:1"), "{}", run.stdout);
    assert!(run.stdout.contains("pub fn serve_64_pool<T: fastalloc::Poolable>()"), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1B'), "colours without a terminal: {}", run.stdout);
}

#[test]
fn colour_is_up_to_the_environment() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE]));
    let forced = run_command(command().env("CLICOLOR_FORCE", "1").arg("advise").arg(&path));
    assert!(forced.stdout.contains('\x1B'));
    let none = run_command(command().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").arg("advise").arg(&path));
    assert!(!none.stdout.contains('\x1B'), "{:?}", none.stdout);
}

#[test]
fn what_allocates_for_others_is_no_call_site() {
    let functions = &["__rust_alloc", "alloc::boxed::Box<T>::new", "my_app::parse", "main"];
    let files = Files::new();
    let path = files.write("trace", &trace(&[Site { functions, ..SERVE }, SETUP]));
    let run = run(["advise".as_ref(), path.as_os_str(), "--json".as_ref()]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&json["advice"][0]["advice"]["site"], &json["advice"][0]["place"]),
        (&"my_app::parse".into(), &"src/main.rs:3".into())
    );
}

#[test]
fn json_has_advice_and_report() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let run = run(["advise".as_ref(), "--json".as_ref(), path.as_os_str()]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (run.status, &json["format"], &json["ending"]["ending"]),
        (Some(0), &"fastalloc".into(), &"complete".into())
    );
    assert_eq!(json["advice"][0]["advice"]["verdict"]["pool"]["capacity"], 13);
    assert_eq!(json["advice"][0]["usage"]["alive_peak"], 10);
    assert_eq!(json["advice"][1]["advice"]["verdict"]["do_not_pool"]["reason"], "too_few");
    assert_eq!(json["report"]["sites"].as_array().unwrap().len(), 2);
}

#[test]
fn functions_that_are_pasted_have_different_names() {
    let files = Files::new();
    let other = Site { functions: &["other::serve"], ..SERVE };
    let path = files.write("trace", &trace(&[SERVE, other]));
    let run = run(["advise".as_ref(), path.as_os_str()]);
    assert!(run.stdout.contains("pub fn serve_64_pool<T"), "{}", run.stdout);
    assert!(run.stdout.contains("pub fn serve_64_pool_2<T"), "{}", run.stdout);
}

#[test]
fn top_leaves_out_the_rest() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let run_with = |top: &str| run(["advise".as_ref(), path.as_os_str(), "--top".as_ref(), top.as_ref()]);
    let one = run_with("1");
    assert!(!one.stdout.contains("my_app::setup") && one.stdout.contains("And 1 row: --top 0"), "{}", one.stdout);
    assert!(run_with("0").stdout.contains("my_app::setup"));
}

#[test]
fn advised_pools_pass_the_check_and_smaller_ones_fail() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    let toml = run(["advise".as_ref(), "--toml".as_ref(), path.as_os_str()]).stdout;
    let fitting = files.write("fitting.toml", toml.as_bytes());
    let check = |config: &std::path::Path, more: &[&str]| {
        run_command(command().arg("advise").arg(&path).arg("--check").arg(config).args(more))
    };
    let fits = check(&fitting, &[]);
    assert_eq!((fits.status, fits.stdout.as_str()), (Some(0), "1 pool checked: all fit.\n"));

    let small = toml.replace("capacity = 13", "capacity = 9");
    assert_ne!(small, toml);
    let small = files.write("small.toml", small.as_bytes());
    let fails = check(&small, &[]);
    let text = "pool 1 (my_app::serve): 10 objects were alive at once, but it has 9 slots at most\n\
                1 pool checked: 1 does not fit.\n";
    assert_eq!((fails.status, fails.stdout.as_str()), (Some(1), text));
    let quiet = check(&small, &["--quiet"]);
    assert_eq!((quiet.status, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(1), "", ""));
    let json: Value = serde_json::from_str(&check(&small, &["--json"]).stdout).unwrap();
    assert_eq!((&json["fits"], &json["findings"][0]["is_certain"]), (&false.into(), &true.into()));
}

#[test]
fn uncertain_findings_leave_the_status_alone() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE, SETUP]));
    // The peaks, 10 and 5, did not come at the same time, but a report does not say so.
    let config = files.write("shared.toml", b"[[pool]]\nsite = \"my_app::*\"\ncapacity = 12\n");
    let run = run_command(command().arg("advise").arg(&path).arg("--check").arg(config));
    assert_eq!(run.status, Some(0));
    assert!(run.stdout.starts_with("perhaps: pool 1 (my_app::*): 10 to 15 objects"), "{}", run.stdout);
    assert!(run.stdout.ends_with("1 pool checked: whether all fit is not certain.\n"), "{}", run.stdout);
}

#[test]
fn check_of_nothing_says_so() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE]));
    let config = files.write("empty.toml", b"");
    let run = run_command(command().arg("advise").arg(&path).arg("--check").arg(config));
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), "0 pools checked: all fit.\n"));
    assert!(run.stderr.contains("has no pools"), "{}", run.stderr);
}

#[test]
fn configuration_that_cannot_be_read_is_an_error() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[SERVE]));
    let config = files.write("bad.toml", b"[[pool]]\nsite = 5\n");
    let missing = path.with_file_name("missing.toml");
    for (config, what) in [(config, "is no configuration of pools"), (missing, "cannot read")] {
        let run = run_command(command().arg("advise").arg(&path).arg("--check").arg(config));
        assert_eq!((run.status, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.contains(what) && run.stderr.contains("help: "), "{}", run.stderr);
    }
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let mut child = command()
        .args(["advise", "-", "--no-replay"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It cannot have written before it has read.
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(&trace(&[SERVE])).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn names_in_a_trace_do_not_control_the_terminal() {
    let files = Files::new();
    let path = files.write("trace", &trace(&[Site { functions: &["my\x1B[2J_app::se\u{9B}rve"], ..SERVE }]));
    for option in ["--top=1", "--json", "--toml"] {
        let run = run(["advise".as_ref(), path.as_os_str(), option.as_ref()]);
        assert!(run.stdout.contains("my\u{FFFD}[2J_app::se\u{FFFD}rve"), "{}", run.stdout);
        assert!(!run.stdout.contains(['\x1B', '\u{9B}']), "{:?}", run.stdout);
    }
}
