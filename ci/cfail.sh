#!/usr/bin/env bash
# Checks that the compiler refuses the programs in cfail/, each with the error that is stated there, and that it accepts
# the one beside each. Arguments choose cases by parts of their names.
#
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

# Without it, rustdoc is content with any error.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-cfail/target}"
cargo test --locked --doc --manifest-path cfail/Cargo.toml -- "$@"
