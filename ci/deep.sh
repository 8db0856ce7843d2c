#!/usr/bin/env bash
# The checks that take too long for the gate. Takes most of a day on two cores.
#
# Needs what the scripts need that it calls.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --workspace --all-features --profile optimized --lib --tests
# With traces of a gigabyte.
cargo test --release --package fastalloc-trace --test it -- --ignored
# Ten million objects.
cargo test --release --package fastalloc-cli --test it -- --ignored
ci/recorder.sh
ci/coverage.sh
ci/powerset.sh
ci/valgrind.sh
ci/miri.sh
ci/targets.sh
ci/passthrough.sh
ci/thread_sanitizer.sh
ci/python.sh
ci/python_sanitized.sh
bench/instructions.py --check --stats
ci/fuzz.sh 600
LOOM_MAX_PREEMPTIONS=3 ci/loom.sh
ci/loom_mutations.py
ci/deliberate_bugs.py
ci/mutants.py
