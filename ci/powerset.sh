#!/usr/bin/env bash
# Lints and tests fastalloc without features, with each one alone, and with each pair of them.
#
# Needs cargo, and cargo-hack, which is installed into the target folder if it is missing. Takes about an hour on two
# cores; with the argument `lint` ten minutes, without the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}"
if ! cargo hack --version &> /dev/null; then
    cargo install --quiet --locked --root "$target/tools" cargo-hack
    export PATH="$target/tools/bin:$PATH"
fi
# `crossbeam` is another name for `lock-free`.
pairs=(--package fastalloc --feature-powerset --depth 2 --exclude-features default,crossbeam)

RUSTFLAGS="-D warnings" cargo hack clippy "${pairs[@]}" --all-targets
if [[ ${1:-} != lint ]]; then
    cargo hack test "${pairs[@]}"
fi
