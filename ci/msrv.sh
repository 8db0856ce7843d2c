#!/usr/bin/env bash
# Checks that the oldest supported compiler, rust-version in Cargo.toml, compiles fastalloc with all its features.
#
# Needs cargo and a C linker. Takes the compiler from rustup if it is installed there, else from Debian's
# package rustc-web, which it unpacks into the target folder. Where neither has it, nothing is checked.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed --quiet 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
target="${CARGO_TARGET_DIR:-$PWD/target}"
root="$target/msrv/$version"

skip() {
    echo "SKIPPED: fastalloc was NOT checked with Rust $version: $*"
    exit 0
}

# Prints the newest Debian package of the compiler with the wanted version.
debian_version() {
    apt-cache madison rustc-web | awk -F ' *[|] *' -v version="$version" '
        !found && ($2 ~ "^" version "[.+]") { found = 1; print $2 }'
}

unpack_debian() {
    local package llvm
    local here="rustup does not have it (rustup toolchain install $version)"
    command -v apt-get > /dev/null || skip "$here, and this is not Debian"
    package=$(debian_version)
    if [[ -z $package && $EUID == 0 ]]; then
        apt-get update --quiet=2
        package=$(debian_version)
    fi
    [[ -n $package ]] || skip "$here, nor has Debian"
    llvm=$(apt-cache show "libstd-rust-web-$version=$package" | sed --quiet 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p')
    rm --recursive --force "$root" "$root.part"
    mkdir --parents "$root.part"
    (
        cd "$root.part"
        apt-get download --quiet=2 --option APT::Sandbox::User=root "$llvm" \
            "rustc-web=$package" "libstd-rust-web-dev=$package" "libstd-rust-web-$version=$package"
        for archive in *.deb; do
            dpkg-deb --extract "$archive" .
            rm "$archive"
        done
    )
    mv "$root.part" "$root"
}

if rustc=$(rustup which --toolchain "$version" rustc 2> /dev/null); then
    libraries=
else
    rustc="$root/usr/bin/rustc"
    [[ -x $rustc ]] || unpack_debian
    libraries="$root/usr/lib/$(uname --machine)-linux-gnu"
fi

export RUSTC="$rustc" LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$RUSTC" --version
cargo check --package fastalloc --lib --all-features
