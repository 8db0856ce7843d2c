#!/usr/bin/env bash
# Runs all tests, those in the documentation included, with debug assertions and all features. Without debug assertions,
# ci/sanitize.sh runs them, and with fewer features ci/powerset.sh.
#
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --workspace --all-features
