#!/usr/bin/env bash
# Checks that fastalloc works without std: builds and runs a program that has none, and looks for std in its symbols.
#
# Needs cargo, a C linker and nm (binutils).
set -euo pipefail
cd "$(dirname "$0")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-ci/no_std/target}"

for profile in dev release; do
    cargo build --locked --manifest-path ci/no_std/Cargo.toml --profile "$profile"
    program="$CARGO_TARGET_DIR/${profile/dev/debug}/fastalloc-no-std"

    status=0
    "$program" || status=$?
    if (( status != 0 )); then
        echo "$profile: exit status $status, explained in ci/no_std/src/main.rs" >&2
        exit 1
    fi

    symbols=$(nm --demangle "$program")
    if ! grep --quiet 'core::' <<< "$symbols"; then
        echo "$profile: nm shows no symbols of Rust, so it proves nothing" >&2
        exit 1
    fi
    if grep --extended-regexp '\b(std|std_detect|panic_unwind)::|rust_panic' <<< "$symbols" >&2; then
        echo "$profile: the program contains the above symbols of std" >&2
        exit 1
    fi
    echo "$profile: all checks passed, and $(wc --lines <<< "$symbols") symbols are none of std's"
done
