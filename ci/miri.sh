#!/usr/bin/env bash
# Runs the tests of fastalloc under Miri, which finds undefined behaviour of every kind.
#
# Needs a nightly toolchain with the component miri. Where there is none, nothing is checked.
set -euo pipefail
cd "$(dirname "$0")/.."

for cargo in "cargo" "cargo +nightly"; do
    if $cargo miri --version &> /dev/null; then
        $cargo miri test --package fastalloc --all-features --lib --tests
        exit
    fi
done

echo "SKIPPED: nothing was checked with Miri: cargo miri does not work here (rustup +nightly component add miri)"
