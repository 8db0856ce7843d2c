#!/usr/bin/env bash
# Checks --cfg fastalloc_passthrough: a program that reads a value after its release is caught by AddressSanitizer and
# by valgrind, as it is not without the flag; and the tests of fastalloc pass, watched by the sanitizer.
#
# --quick leaves out what takes long: the tests.
#
# Needs cargo on Linux, and valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/address_sanitizer.sh

# Builds the program with the flags $1, and runs it for each kind of pool by the command that follows. $2 says what
# its output is to contain, and $3 whether it is to fail.
try() {
    local flags=$1 expected=$2 fails=$3 pool output status
    shift 3
    local target="${CARGO_TARGET_DIR:-ci/passthrough/target}"
    CARGO_TARGET_DIR="$target" RUSTFLAGS="$flags" \
        cargo build --quiet --locked --manifest-path ci/passthrough/Cargo.toml --target "$host"
    for pool in FixedPool ThreadSafePool LockFreePool; do
        status=0
        output=$("$@" "$target/$host/debug/fastalloc-passthrough" "$pool" 2>&1) || status=$?
        if (( (status != 0) != fails )) || ! grep --quiet --fixed-strings "$expected" <<< "$output"; then
            printf '%s\n%s: exit status %d, expected "%s"\n' "$output" "$pool" "$status" "$expected" >&2
            return 1
        fi
        echo "$pool: exit status $status, $expected"
    done
}

echo "without passthrough, nobody notices"
try "$RUSTFLAGS" "read 7" 0 env
try "" "read 7" 0 valgrind --quiet --error-exitcode=99
echo "with passthrough"
try "$RUSTFLAGS --cfg fastalloc_passthrough" "AddressSanitizer: heap-use-after-free" 1 env
try "--cfg fastalloc_passthrough" "Invalid read of size 8" 1 valgrind --quiet --error-exitcode=99
[[ ${1:-} != --quick ]] || exit 0

export RUSTC_WORKSPACE_WRAPPER="$PWD/ci/passthrough/rustc.sh" RUSTDOCFLAGS="$RUSTDOCFLAGS --cfg fastalloc_passthrough"
cargo test --package fastalloc --all-features --target "$host" --lib --tests
cargo test --package fastalloc --all-features --target "$host" --doc
