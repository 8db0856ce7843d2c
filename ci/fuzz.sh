#!/usr/bin/env bash
# Fuzzes the library: builds the targets in fuzz/ with AddressSanitizer, and runs each for so many seconds, 20 if not
# said otherwise, from its corpus. What is found goes to fuzz/target, or to CARGO_TARGET_DIR.
#
# Needs cargo on Linux, and a compiler for C++, by which libfuzzer-sys builds libFuzzer.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/address_sanitizer.sh

seconds=${1:-20}
targets=$(sed --quiet 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' fuzz/Cargo.toml)
# The same as cargo fuzz says: counters for each branch, and what is compared.
coverage="-Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
export RUSTFLAGS="$RUSTFLAGS --cfg fuzzing $coverage"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-fuzz/target}"
cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$host" --bins

for target in $targets; do
    binary="$CARGO_TARGET_DIR/$host/release/$target"
    found="$CARGO_TARGET_DIR/fuzz/$target"
    log="$found/log"
    mkdir --parents "$found/corpus"
    echo "$target: $(ls "fuzz/corpus/$target" | wc --lines) inputs in the corpus"
    if ! "$binary" "-max_total_time=$seconds" -timeout=20 -rss_limit_mb=4096 -artifact_prefix="$found/" \
        "$found/corpus" "fuzz/corpus/$target" &> "$log"; then
        cat "$log"
        input=$(sed --quiet 's/^.*Test unit written to //p' "$log" | tail --lines 1)
        printf '\n%s failed, see above. Once more:\nASAN_OPTIONS=%s %s %s\n' "$target" "$ASAN_OPTIONS" "$binary" "$input" >&2
        exit 1
    fi
    tail --lines 1 "$log"
done
