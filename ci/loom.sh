#!/usr/bin/env bash
# Tries all interleavings of small programs with the pools that threads share, and what the memory orderings
# allow: crates/fastalloc/src/raw/threads/models.rs. Arguments choose models by parts of their names.
#
# Needs cargo. With LOOM_MAX_PREEMPTIONS=3 more is tried, which takes much longer.
set -euo pipefail
cd "$(dirname "$0")/.."

# Statistics, for which atomics are counted up that nothing depends on, would only mean more executions.
export RUSTFLAGS="--cfg fastalloc_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
cargo test --locked --release --package fastalloc --features lock-free --lib -- "${@:-raw::threads::models}"
