//! Compiles the recorder, a library that `fastalloc record` has inside of it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=recorder");
    for linked in ["recorder/encode.rs", "recorder/event.rs"] {
        println!("cargo:rerun-if-changed={linked}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let library = out.join("recorder.so");
    println!("cargo:rustc-env=FASTALLOC_RECORDER={}", library.display());
    // Where there is no recorder, the file is empty, and the program says so.
    if !is_supported() || !compile(&library) {
        std::fs::write(&library, []).expect("the folder of a build script can be written to");
    }
}

fn is_supported() -> bool {
    let is = |name: &str, values: &[&str]| env::var(name).is_ok_and(|value| values.contains(&value.as_str()));
    is("CARGO_CFG_TARGET_OS", &["linux"])
        && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
        && is("CARGO_CFG_TARGET_ENV", &["gnu", "musl"])
        && is("CARGO_CFG_TARGET_POINTER_WIDTH", &["64"])
}

/// Calls the compiler directly: the recorder is without `std`, aborts where others panic, and is optimized, whatever the
/// profile and the flags of this program are.
fn compile(library: &Path) -> bool {
    let target = env::var("TARGET").expect("cargo sets it");
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")));
    command.args(["--edition=2024", "--crate-name=fastalloc_recorder", "--crate-type=cdylib", "--target", &target]);
    command.args(["-Cpanic=abort", "-Copt-level=3", "-Ccodegen-units=1", "-Cstrip=symbols", "--cap-lints=allow"]);
    command.args(["-Ctarget-feature=-crt-static", "recorder/lib.rs", "-o"]).arg(library);
    // Hooks call each other, not what the program has under their names. Recording begins before anything else does that is
    // loaded. Unwinding is linked statically: a program need not have the library for it.
    command.arg("-Clink-args=-Wl,-Bsymbolic-functions -Wl,-z,initfirst -Wl,-z,defs -lgcc_eh -lgcc -lc");
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = OsString::from("-Clinker=");
        argument.push(linker);
        command.arg(argument);
    }
    match command.output() {
        Ok(output) if output.status.success() => true,
        failed => {
            let why = match failed {
                Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
                Err(error) => error.to_string(),
            };
            println!("cargo:warning=`fastalloc record` will not work: its library could not be compiled for {target}");
            for line in why.lines().filter(|line| !line.trim().is_empty()).take(20) {
                println!("cargo:warning={line}");
            }
            false
        }
    }
}
