//! What `fastalloc replay` runs in processes of their own: a first round, which nothing else has made room for.

use std::io::{self, Read, Write};
use std::process::{Command, ExitCode, Stdio};

use fastalloc_replay::{Candidate, Cold, Plan, cold_run};

use crate::args;
use crate::failure::Failure;

/// Runs a first round in this process: the plan is on standard input, and the result goes to standard output.
pub(crate) fn run(args: &args::Cold) -> Result<ExitCode, Failure> {
    let help = "this command is for `fastalloc replay`";
    let candidate = Candidate::ALL.into_iter().find(|candidate| candidate.name() == args.candidate);
    let candidate = candidate.ok_or_else(|| Failure::new(format!("there is no candidate {}", args.candidate), help))?;
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| Failure::new(error.to_string(), help))?;
    let plan = Plan::from_bytes(&bytes).ok_or_else(|| Failure::new("there is no plan on standard input", help))?;
    drop(bytes);
    let cold = cold_run(&plan, candidate).map_err(|error| Failure::new(error.to_string(), help))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::json!(cold))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a first round in another process; says why that could not be done.
pub(crate) fn in_process(plan: &[u8], candidate: Candidate) -> Result<Cold, String> {
    let run = || -> io::Result<_> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["cold", candidate.name()]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that does not read has failed, and its status says so.
            let _ = stdin.write_all(plan);
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("the process for it has ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
