#!/usr/bin/env bash
# Runs the tests of fastalloc in valgrind: no access outside of blocks, no decision by memory that was never written.
# Arguments choose tests by parts of their names. Takes an hour on two cores for all.
#
# Needs cargo on Linux, and valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc --version --verbose | sed --quiet 's/^host: //p')
runner="CARGO_TARGET_$(tr '[:lower:]-' '[:upper:]_' <<< "$host")_RUNNER"
# Threads that poll must let others run, of which valgrind runs one at a time.
export "$runner=valgrind --quiet --error-exitcode=99 --fair-sched=yes"
export RUST_BACKTRACE=0
cargo test --package fastalloc --all-features --lib --test it --test threads -- "$@"
