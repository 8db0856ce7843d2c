#!/usr/bin/env bash
# Runs all tests, those in the documentation included: with debug assertions, optimized without them, and without std.
#
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --workspace --all-features
cargo test --workspace --all-features --profile optimized --lib --tests
cargo test --package fastalloc --no-default-features
# The lock of std instead of parking_lot's.
cargo test --package fastalloc --features lock-free --test threads
