#!/usr/bin/env bash
# Measures which lines of fastalloc the tests run, and fails if fewer than 95 % of them.
#
# Prints the share of each file, then the lines that are not run; ci/uncovered.md says why they are not.
#
# Needs cargo on Linux, and llvm-profdata and llvm-cov of the LLVM that rustc has: those of rustup's component
# llvm-tools, or else Debian's, which are unpacked into the target folder. Where neither is, nothing is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/debian.sh

minimum=95
target="${CARGO_TARGET_DIR:-$PWD/target}/coverage"
host=$(rustc --version --verbose | sed --quiet 's/^host: //p')
llvm=$(rustc --version --verbose | sed --quiet 's/^LLVM version: \([0-9]*\).*/\1/p')
tools="$(rustc --print sysroot)/lib/rustlib/$host/bin"
libraries=
if [[ ! -x "$tools/llvm-cov" ]]; then
    tools="$target/tools/usr/lib/llvm-$llvm/bin"
    libraries="$target/tools/usr/lib/$(uname --machine)-linux-gnu"
    if [[ ! -x "$tools/llvm-cov" ]]; then
        # Root asks for new lists if there are none.
        [[ -n $(apt-cache madison "llvm-$llvm" 2> /dev/null) ]] || (( EUID )) || apt-get update --quiet=2 || true
        if [[ -z $(apt-cache madison "llvm-$llvm" 2> /dev/null) ]]; then
            echo "SKIPPED: coverage was NOT measured: no llvm-cov $llvm (rustup component add llvm-tools)"
            exit 0
        fi
        unpack_packages "$target/tools" "llvm-$llvm" "libllvm$llvm"
    fi
fi

rm --recursive --force "$target/profiles"
# Each test process writes a profile of its own.
CARGO_TARGET_DIR="$target" LLVM_PROFILE_FILE="$target/profiles/%p-%m.profraw" RUSTFLAGS="-Cinstrument-coverage" \
    cargo test --quiet --package fastalloc --all-features --lib --tests --no-run --message-format=json \
    | sed --quiet 's/.*"executable":"\([^"]*\)".*/\1/p' > "$target/programs"
mapfile -t programs < "$target/programs"
for program in "${programs[@]}"; do
    (cd crates/fastalloc && LLVM_PROFILE_FILE="$target/profiles/%p-%m.profraw" "$program" --quiet) > "$target/log" 2>&1 \
        || { cat "$target/log" >&2; exit 1; }
done

export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$tools/llvm-profdata" merge --sparse "$target"/profiles/*.profraw --output "$target/profile"
"$tools/llvm-cov" export --format=lcov --instr-profile "$target/profile" "${programs[0]}" \
    $(printf -- '--object %s ' "${programs[@]:1}") --sources crates/fastalloc/src > "$target/lcov"
ci/coverage.py "$target/lcov" "$minimum"
