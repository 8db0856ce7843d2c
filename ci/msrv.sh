#!/usr/bin/env bash
# Checks that the oldest supported compiler, rust-version in Cargo.toml, compiles fastalloc with all its features.
#
# Needs cargo and a C linker. Takes the compiler from rustup if it is installed there, else from Debian's
# package rustc-web, which it unpacks into the target folder. Where neither has it, nothing is checked.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/debian.sh

version=$(sed --quiet 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
target="${CARGO_TARGET_DIR:-$PWD/target}"
root="$target/msrv/$version"

skip() {
    echo "SKIPPED: fastalloc was NOT checked with Rust $version: $*"
    exit 0
}

if rustc=$(rustup which --toolchain "$version" rustc 2> /dev/null); then
    libraries=
else
    rustc="$root/usr/bin/rustc"
    if [[ ! -x $rustc ]]; then
        package=$(debian_version "$version")
        [[ -n $package ]] || skip "neither rustup nor Debian has it (rustup toolchain install $version)"
        unpack_debian "$root" "$package"
    fi
    libraries="$root/usr/lib/$(uname --machine)-linux-gnu"
fi

export RUSTC="$rustc" LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$RUSTC" --version
cargo check --package fastalloc --lib --all-features
