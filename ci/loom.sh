#!/usr/bin/env bash
# Tries all interleavings of small programs with the pools that threads share, and what the memory orderings
# allow: crates/fastalloc/src/raw/threads/models.rs. Arguments choose models by parts of their names.
#
# Needs cargo. With LOOM_MAX_PREEMPTIONS=3 more is tried, which takes an hour instead of minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTFLAGS="--cfg fastalloc_loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
cargo test --locked --release --package fastalloc --all-features --lib -- "${@:-raw::threads::models}"
