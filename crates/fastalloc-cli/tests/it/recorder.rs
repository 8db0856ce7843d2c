//! Programs whose allocations are known, and what is recorded of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use fastalloc_trace::{Analysis, AnalysisLimits, Ending, EventKind, Item, Process, Report, TraceReader, site_of_frame};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Files, Run, command};

/// A recording takes a second or two: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

static PROGRAMS: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

/// Compiles one of the programs, unless it is there already; `None` if there is no compiler.
fn program(name: &str, options: &[&str]) -> Option<PathBuf> {
    static COMPILING: Mutex<()> = Mutex::new(());
    let _compiling = COMPILING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = PROGRAMS.path().join(format!("{name}{}", options.concat().replace('/', "_")));
    if target.exists() {
        return Some(target);
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name).with_extension("c");
    let mut compiler = Command::new("cc");
    compiler.args(["-g", "-O1", "-w", "-fno-builtin", "-pthread", "-rdynamic"]).args(options);
    match compiler.arg("-o").arg(&target).arg(source).arg("-ldl").output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(target)
        }
        Err(error) => {
            println!("SKIPPED: the recorder was NOT tested with {name}.c: no C compiler: {error}");
            None
        }
    }
}

/// Waits for a command, but not for ever.
fn run_patiently(command: &mut Command) -> Run {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |source: &mut dyn Read| {
        let mut text = String::new();
        source.read_to_string(&mut text).unwrap();
        text
    };
    let stdout = std::thread::spawn(move || read(&mut stdout));
    let stderr = std::thread::spawn(move || read(&mut stderr));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Run { status: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// What is in a recording.
struct Trace {
    process: Process,
    report: Report,
    ending: Ending,
    /// Objects by size and alignment, without those that a reallocation began.
    allocated: BTreeMap<(u64, u32), u64>,
    /// Reallocations by size.
    reallocated: BTreeMap<u64, u64>,
    freed: u64,
    disordered: u64,
}

impl Trace {
    fn read(path: &Path) -> Self {
        let mut items = TraceReader::new(File::open(path).unwrap()).unwrap().in_order(1 << 20);
        let mut analysis = Analysis::new(AnalysisLimits::default(), site_of_frame);
        let (mut allocated, mut reallocated) = (BTreeMap::new(), BTreeMap::new());
        let mut freed = 0;
        for item in items.by_ref() {
            let item = item.unwrap();
            analysis.add(&item);
            let Item::Event(event) = item else { continue };
            match event.kind {
                EventKind::Allocate { size, alignment, .. } => *allocated.entry((size, alignment)).or_insert(0) += 1,
                EventKind::Reallocate { size, .. } => *reallocated.entry(size).or_insert(0) += 1,
                EventKind::Free { .. } => freed += 1,
            }
        }
        let ending = items.get_ref().ending().unwrap();
        let (process, disordered) = (analysis.tables().process().clone(), items.disordered());
        Self { process, report: analysis.finish(), ending, allocated, reallocated, freed, disordered }
    }

    fn objects(&self, size: u64) -> u64 {
        self.allocated.iter().filter(|((other, _), _)| *other == size).map(|(_, count)| count).sum()
    }

    fn is_complete(&self) -> bool {
        matches!(self.ending, Ending::Complete { .. })
    }

    /// That each free is of something that was alive, and each allocation of something that was not.
    fn assert_consistent(&self) {
        assert_eq!((self.report.unknown_frees, self.report.unseen_frees, self.disordered), (0, 0, 0));
    }
}

/// Records a program; its recordings, that of the program first.
fn record<A: AsRef<OsStr>>(options: &[&str], program: &Path, arguments: &[A]) -> (Run, Vec<Trace>) {
    let files = Files::new();
    let output = files.0.path().join("recording");
    let mut command = command();
    command.arg("record").args(options).arg("-o").arg(&output).arg("--").arg(program).args(arguments);
    let run = run_patiently(&mut command);
    let mut found: Vec<PathBuf> = files.0.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    (run, found.iter().map(|path| Trace::read(path)).collect())
}

fn record_alone(name: &str, arguments: &[&str]) -> Option<(Run, Trace)> {
    let (run, mut traces) = record(&[], &program(name, &[])?, arguments);
    assert_eq!(traces.len(), 1, "{}", run.stderr);
    Some((run, traces.remove(0)))
}

#[test]
fn every_function_is_recorded() {
    let Some((run, trace)) = record_alone("counts", &[]) else { return };
    assert_eq!((run.status, trace.is_complete()), (Some(0), true), "{}", run.stderr);
    let expected = [
        ((10, 4096), 100),
        ((20, 4096), 100),
        ((24, 8), 200),
        ((40, 8), 100),
        ((40, 32), 100),
        ((48, 16), 200),
        ((100, 64), 100),
        ((256, 128), 100),
    ];
    assert_eq!(trace.allocated, BTreeMap::from(expected));
    assert_eq!((trace.reallocated.clone(), trace.freed), (BTreeMap::from([(100_000, 100)]), 1000));
    assert_eq!(trace.process.arguments[0].rsplit('/').next(), Some("counts"));
    trace.assert_consistent();
}

#[test]
fn threads_are_recorded() {
    let Some((run, trace)) = record_alone("threads", &[]) else { return };
    assert_eq!((run.status, trace.is_complete()), (Some(0), true), "{}", run.stderr);
    assert_eq!((trace.objects(32), trace.objects(48), trace.reallocated[&64]), (320_000, 200, 200));
    let objects = trace.report.sites.iter().find(|site| site.total.size_max == 32).unwrap();
    assert_eq!((objects.total.threads, objects.total.alive_at_end), (16, 0));
    assert_eq!(objects.total.freed_elsewhere, 160_000);
    trace.assert_consistent();
}

#[test]
fn child_processes_are_left_alone() {
    let Some((run, trace)) = record_alone("forks", &[]) else { return };
    assert_eq!((run.status, trace.is_complete(), trace.objects(1111)), (Some(0), true, 0), "{}", run.stderr);
    trace.assert_consistent();
    // Those that come about unseen are too; they wait for no threads that they do not have. What they fork is followed.
    let (run, traces) = record(&["--follow"], &program("forks", &[]).unwrap(), &["clone"]);
    assert_eq!((run.status, traces.len()), (Some(0), 2), "{}", run.stderr);
    assert!(traces.iter().all(|trace| trace.objects(1111) == 0) && traces[1].objects(2222) == 1);
}

#[test]
fn child_processes_are_followed() {
    let Some(program) = program("forks", &[]) else { return };
    let (run, traces) = record::<&str>(&["--follow"], &program, &[]);
    assert_eq!((run.status, traces.len()), (Some(0), 52), "{}", run.stderr);
    let objects = |trace: &Trace| (trace.objects(1111), trace.objects(2222));
    assert_eq!(traces.iter().filter(|trace| objects(trace) == (111, 0)).count(), 50);
    assert_eq!(traces.iter().filter(|trace| objects(trace) == (0, 1)).count(), 1);
    for trace in &traces {
        assert!(trace.is_complete());
        assert_eq!((trace.report.unseen_frees, trace.disordered), (0, 0));
    }
    let mut processes: Vec<u32> = traces.iter().map(|trace| trace.process.id).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 52);
}

#[test]
fn handlers_of_forks_may_allocate_and_wait() {
    let Some(program) = program("handlers", &[]) else { return };
    let (run, traces) = record::<&str>(&["--follow"], &program, &[]);
    assert_eq!((run.status, traces.len()), (Some(0), 51), "{}", run.stderr);
    assert_eq!((traces[0].objects(31), traces[0].objects(33)), (50, 50));
    assert!(traces[1..].iter().all(|trace| trace.is_complete() && trace.objects(1111) == 1));
    let (run, traces) = record::<&str>(&[], &program, &[]);
    assert_eq!((run.status, traces.len()), (Some(0), 1), "{}", run.stderr);
}

#[test]
fn status_is_that_of_the_program_however_it_ends() {
    for (how, status, is_complete) in [
        ("", 0, true),
        ("_exit", 3, true),
        ("_Exit", 4, true),
        ("quick_exit", 5, true),
        ("abort", 128 + 6, false),
        ("close", 0, true),
        ("preload", 0, true),
    ] {
        let Some((run, trace)) = record_alone("ends", &[how]) else { return };
        assert_eq!((run.status, trace.is_complete()), (Some(status), is_complete), "{how}: {}", run.stderr);
        assert_eq!(trace.objects(77), if how == "close" { 10_000 } else { 5000 }, "{how}");
        trace.assert_consistent();
    }
}

#[test]
fn crash_loses_its_last_moments_only() {
    for (how, status, objects) in
        [("wait", 128 + 11, 5000..=5000), ("crash", 128 + 11, 0..=5000), ("kill", 128 + 9, 0..=5000)]
    {
        let Some((run, trace)) = record_alone("ends", &[how]) else { return };
        assert_eq!((run.status, trace.is_complete()), (Some(status), false), "{how}");
        assert!(objects.contains(&trace.objects(77)), "{how}: {}", trace.objects(77));
        assert!(run.stderr.contains("without an end"), "{}", run.stderr);
    }
}

#[test]
fn child_that_aborts_at_once_is_recorded() {
    let Some(program) = program("ends", &[]) else { return };
    let (run, traces) = record(&["--follow"], &program, &["child"]);
    assert_eq!((run.status, traces.len()), (Some(0), 2), "{}", run.stderr);
    assert_eq!((traces[1].objects(78), traces[1].is_complete()), (1, false));
}

#[test]
fn program_outlives_a_limit_of_file_sizes() {
    let Some((run, trace)) = record_alone("ends", &["limit"]) else { return };
    assert_eq!((run.status, trace.is_complete()), (Some(0), false), "{}", run.stderr);
    assert!(run.stderr.contains("the recording is truncated"), "{}", run.stderr);
}

#[test]
fn what_a_program_becomes_is_followed() {
    let Some(program) = program("ends", &[]) else { return };
    for options in [&["--follow"][..], &[]] {
        let (run, traces) = record(options, &program, &["exec"]);
        assert_eq!((run.status, traces.len()), (Some(3), 2), "{}", run.stderr);
        let found = traces.iter().map(|trace| (trace.objects(77), trace.is_complete(), trace.process.arguments.len()));
        assert_eq!(found.collect::<Vec<_>>(), [(5000, false, 2), (5000, true, 2)]);
        assert_eq!(traces[0].process.id, traces[1].process.id);
    }
    // What starts another program is not what is meant.
    let mut command = command();
    let run = run_patiently(command.args(["advise", "--json", "--", "env", "A=1"]).arg(&program).arg("preload"));
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["advice"][0]["advice"]["site"], "main", "{}", run.stderr);
    assert!(!run.stderr.contains("status 7"), "{}", run.stderr);
}

#[test]
fn no_place_is_forbidden() {
    let Some(library) = program("library", &["-shared", "-fPIC"]) else { return };
    let (run, traces) = record(&[], &program("places", &[]).unwrap(), &[&library]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let trace = &traces[0];
    for size in 501..=506 {
        assert_eq!(trace.objects(size), 10, "{size}");
    }
    assert!(trace.objects(600) > 0);
    assert!(trace.is_complete());
    trace.assert_consistent();
    // Of a library that was loaded late and is gone.
    let site = trace.report.sites.iter().find(|site| site.total.size_max == 505).unwrap();
    assert!(site.site.starts_with(&format!("{}+0x", library.display())), "{}", site.site);
}

#[test]
fn programs_with_an_allocator_of_their_own_are_recorded_where_libraries_call_it() {
    let Some((run, trace)) = record_alone("own", &[]) else { return };
    assert_eq!((run.status, trace.objects(5)), (Some(0), 1000), "{}", run.stderr);
}

/// Of what a library says is read-only once it is relocated, the loader leaves the last page alone if it is not whole.
#[test]
fn tables_are_protected_as_the_loader_does() {
    let Some(library) = program("protected", &["-shared", "-fPIC", "-Wl,-z,relro,-z,now"]) else { return };
    let mut bytes = std::fs::read(&library).unwrap();
    let u64_at = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let first = u64_at(&bytes, 32) as usize;
    let mut headers = (first..).step_by(56).take(usize::from(bytes[56]));
    let read_only = headers.find(|at| bytes[*at..].starts_with(&0x6474_E552_u32.to_le_bytes())).unwrap();
    // Half a page more: what comes behind.
    let length = u64_at(&bytes, read_only + 40) + 0x800;
    bytes[read_only + 40..read_only + 48].copy_from_slice(&length.to_le_bytes());
    std::fs::write(&library, bytes).unwrap();

    let own = program("own", &["-Wl,--no-as-needed", library.to_str().unwrap()]).unwrap();
    let (run, traces) = record::<&str>(&[], &own, &[]);
    // Before libraries begin, and after.
    assert_eq!((run.status, traces[0].objects(7), traces[0].objects(6)), (Some(0), 1, 1), "{}", run.stderr);
}

/// It unwinds by a function that the recorder has too, under the same name.
#[test]
fn rust_programs_can_unwind() {
    let files = Files::new();
    let source = files.0.path().join("wrong.rs");
    std::fs::write(&source, "fn main() { let number: u32 = \"text\"; }").unwrap();
    let output = files.0.path().join("recording");
    let mut command = command();
    command.arg("record").arg("-o").arg(&output).args(["--", "rustc", "--emit=metadata"]).arg(&source);
    let run = run_patiently(command.current_dir(files.0.path()));
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("mismatched types"), "{}", run.stderr);
}

#[test]
fn sample_is_of_whole_lives() {
    let Some(many) = program("many", &[]) else { return };
    let (run, traces) = record(&["--sample", "1/100"], &many, &["1000000"]);
    let objects = traces[0].objects(40);
    // Five times the standard deviation: one in a million runs is outside.
    assert!((9500..=10_500).contains(&objects), "{objects}: {}", run.stderr);
    assert_eq!((traces[0].freed, traces[0].process.sampling), (objects, 100));
    traces[0].assert_consistent();

    let (run, traces) = record::<&str>(&["--sample", "1/10"], &program("threads", &[]).unwrap(), &[]);
    let objects = traces[0].objects(32);
    assert!((31_100..=32_900).contains(&objects), "{objects}: {}", run.stderr);
    traces[0].assert_consistent();
    let site = traces[0].report.sites.iter().find(|site| site.total.size_max == 32).unwrap();
    assert_eq!(site.total.alive_at_end, 0);
}

#[test]
fn depth_and_small_stacks_are_no_trouble() {
    let Some(program) = program("deep", &[]) else { return };
    for depth in ["1", "128"] {
        let (run, traces) = record(&["--depth", depth], &program, &["3000"]);
        assert_eq!((run.status, traces[0].objects(16)), (Some(0), 3003), "{}", run.stderr);
        traces[0].assert_consistent();
    }
}

#[test]
fn programs_that_cannot_be_recorded_are_told_apart() {
    let files = Files::new();
    let text = files.write("text", b"no program");
    let record = |program: &Path| {
        let output = files.0.path().join("recording");
        run_patiently(command().arg("record").arg("-o").arg(output).arg("--").arg(program))
    };
    for (program, status, what) in
        [(Path::new("/nowhere/at-all"), 127, "cannot run /nowhere/at-all"), (&text, 126, "cannot run")]
    {
        let run = record(program);
        assert_eq!(run.status, Some(status), "{}", run.stderr);
        assert!(run.stderr.contains(what) && run.stderr.contains("help: "), "{}", run.stderr);
    }
    let Some(program) = program("many", &["-static"]) else { return };
    let run = record(&program);
    assert_eq!(run.status, Some(125), "{}", run.stderr);
    assert!(run.stderr.contains("is statically linked"), "{}", run.stderr);
}

#[test]
fn nothing_but_recordings_is_overwritten() {
    let Some(program) = program("many", &[]) else { return };
    let files = Files::new();
    let precious = files.write("precious", b"something else");
    let record = |output: &Path, program: &Path| {
        run_patiently(command().arg("record").arg("-o").arg(output).arg("--").arg(program))
    };
    let (link, pipe) = (files.path("link"), files.path("pipe"));
    std::os::unix::fs::symlink("recording", &link).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&precious, &link, &pipe] {
        let run = record(path, &program);
        assert_eq!(run.status, Some(125));
        assert!(run.stderr.contains("is there already"), "{}", run.stderr);
    }
    assert_eq!(std::fs::read(&precious).unwrap(), b"something else");
    let run = record(&files.path("no/folder"), &program);
    assert!(run.status == Some(125) && run.stderr.contains("cannot write"), "{}", run.stderr);

    // A recording is overwritten, but only by another one; what others have left beside it is not of this run.
    let recording = files.path("recording");
    let old = files.write("recording.123", b"older");
    assert_eq!(record(&recording, &program).status, Some(0));
    for missing in ["/nowhere/at-all", "/dev/null"] {
        let run = record(&recording, Path::new(missing));
        assert!([Some(126), Some(127)].contains(&run.status), "{}", run.stderr);
        assert_eq!(Trace::read(&recording).objects(40), 1000);
    }
    let run = record(&recording, &program);
    assert!(run.status == Some(0) && !run.stderr.contains("recording.123"), "{}", run.stderr);
    assert_eq!(std::fs::read(old).unwrap(), b"older");
    assert_eq!(files.0.path().read_dir().unwrap().count(), 5);
}

#[test]
fn what_programs_without_a_loader_start_is_left_alone() {
    let (Some(starts), Some(many)) = (program("starts", &["-static"]), program("many", &[])) else { return };
    let files = Files::new();
    let output = files.path("recording");
    let run = run_patiently(command().arg("record").arg("-o").arg(&output).arg("--").arg(&starts).arg(&many));
    assert!(run.status == Some(125) && run.stderr.contains("is statically linked"), "{}", run.stderr);
    assert_eq!(files.0.path().read_dir().unwrap().count(), 0);
    let (run, traces) = record(&["--follow"], &starts, &[&many]);
    assert!(run.status == Some(0) && run.stderr.contains("is statically linked"), "{}", run.stderr);
    assert_eq!(traces[0].objects(40), 1000);
}

#[test]
fn recorder_is_where_only_its_user_can_write() {
    use std::os::unix::fs::PermissionsExt;
    let Some(program) = program("many", &[]) else { return };
    let files = Files::new();
    let cache = files.path("cache");
    let record = || {
        let mut command = command();
        command.env("XDG_CACHE_HOME", &cache).arg("record").arg("-o").arg(files.path("recording")).arg("--");
        run_patiently(command.arg(&program))
    };
    assert_eq!(record().status, Some(0));
    let folder = cache.join("fastalloc");
    let library = folder.read_dir().unwrap().next().unwrap().unwrap().path();
    let right = std::fs::read(&library).unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // Whatever is under its name is not believed.
    std::fs::write(&library, b"wrong").unwrap();
    assert_eq!((record().status, std::fs::read(&library).unwrap()), (Some(0), right));
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o770)).unwrap();
    let run = record();
    assert!(run.status == Some(125) && run.stderr.contains("others can write to it"), "{}", run.stderr);
}

#[test]
fn signals_are_passed_on_and_children_may_survive() {
    let Some(many) = program("many", &[]) else { return };
    let files = Files::new();
    assert!(Command::new("mkfifo").arg(files.path("go")).status().unwrap().success());
    // The child waits to be told, and starts another program.
    let script = "(exec > /dev/null 2>&1; read line < go; $0 & wait $!; echo $! > done) &
        trap 'kill $!; exit 77' TERM; trap 'echo hung up' HUP; sleep 100 > /dev/null 2>&1 &
        echo ready; while :; do wait $!; done";
    let mut command = command();
    command.current_dir(files.0.path()).args(["record", "--follow", "-o", "recording", "--", "sh", "-c", script]);
    let mut child = command.arg(&many).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for (expected, signal) in [("ready\n", "-HUP"), ("hung up\n", "-TERM")] {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, expected);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(77), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(Trace::read(&files.path("recording")).is_complete());

    std::fs::write(files.path("go"), b"now\n").unwrap();
    let start = Instant::now();
    let process = loop {
        let text = std::fs::read_to_string(files.path("done")).unwrap_or_default();
        if let Some(process) = text.strip_suffix('\n') {
            break String::from(process);
        }
        assert!(start.elapsed() < PATIENCE, "the child has not survived");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(Trace::read(&files.path(&format!("recording.{process}"))).objects(40), 1000);
}

#[test]
fn advice_for_a_command_is_all_of_the_output() {
    let Some(program) = program("many", &[]) else { return };
    let files = Files::new();
    let advise = |options: &[&str]| {
        let mut command = command();
        command.current_dir(files.0.path()).arg("advise").args(options).arg("--");
        run_patiently(command.arg("/bin/sh").arg("-c").arg("echo talk").arg(&program))
    };
    let run = advise(&["--json"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.status, &json["file"]), (Some(0), &"/bin/sh".into()));
    assert!(run.stderr.contains("talk"), "{}", run.stderr);
    assert_eq!(files.0.path().read_dir().unwrap().count(), 0);

    let mut command = command();
    command.args(["advise", "-o"]).arg(files.0.path().join("kept")).arg("--").arg(&program).arg("5000");
    let run = run_patiently(&mut command);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("FixedPool of 2 slots") && run.stdout.contains("many.c:"), "{}", run.stdout);
    assert_eq!(Trace::read(&files.0.path().join("kept")).objects(40), 5000);
}

#[test]
#[ignore = "takes half a minute, optimized"]
fn ten_million_objects_are_recorded() {
    let Some((run, trace)) = record_alone("many", &["10000000"]) else { return };
    assert_eq!((run.status, trace.objects(40), trace.freed), (Some(0), 10_000_000, 10_000_000), "{}", run.stderr);
    trace.assert_consistent();
}
