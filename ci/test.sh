#!/usr/bin/env bash
# Runs all tests, those in the documentation included, with debug assertions: with all features, and without std.
# Without debug assertions, ci/sanitize.sh runs them.
#
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --workspace --all-features
cargo test --package fastalloc --no-default-features
# The lock of std instead of parking_lot's.
cargo test --package fastalloc --features lock-free --test threads
