#!/usr/bin/env bash
# Runs the tests of fastalloc, without debug assertions, under AddressSanitizer and LeakSanitizer: no invalid access,
# nothing lost.
#
# Needs cargo on Linux.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/address_sanitizer.sh

cargo test --package fastalloc --all-features --target "$host" --profile unchecked --lib --tests
cargo test --package fastalloc --all-features --target "$host" --profile unchecked --doc
