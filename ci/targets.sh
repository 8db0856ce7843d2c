#!/usr/bin/env bash
# Checks fastalloc on other processors: on those that the arguments name, or on all.
#
#   thumbv7em, wasm32              the program without std, ci/no_std, in QEMU and in node
#   thumbv6m, riscv32imac, x86_64  fastalloc is built for machines without a system, the first without compare-and-swap
#   i686, s390x                    the tests with 32 bits, and with the most significant byte first, in QEMU
#
# Needs cargo on Linux, and what `need` names below; root installs that. std is compiled for each of them, from the
# sources of rustup's toolchain if it has the component rust-src, else from Debian's, with the compiler of its package
# rustc-web, which are unpacked into the target folder. Where something cannot be had, nothing is checked.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/debian.sh

skip() {
    echo "SKIPPED: fastalloc was NOT checked on $*"
}

# Says whether a file or a command is there; root installs packages that have it.
need() {
    [[ -e $1 ]] || command -v "$1" > /dev/null || {
        (( EUID == 0 )) && command -v apt-get > /dev/null && apt-get update --quiet=2 \
            && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends "${@:2}"
    }
}

# Builds the program without std for the target $1, with flags for the linker.
program() {
    RUSTFLAGS="-D warnings $2" \
        cargo build --locked --manifest-path ci/no_std/Cargo.toml -Zbuild-std=core,alloc --target "$1"
}

bare() {
    RUSTFLAGS="-D warnings" cargo build --locked --package fastalloc --no-default-features -Zbuild-std=core,alloc --target "$1"
}

# The tests for the target $1, but those that the further arguments skip.
tests() {
    cargo test --locked --package fastalloc --all-features -Zbuild-std --target "$1" --lib --test it --test threads -- "${@:2}"
}

check() {
    case $1 in
        thumbv7em)
            need qemu-system-arm qemu-system-arm || { skip "$1: there is no qemu-system-arm"; return; }
            program thumbv7em-none-eabihf "-Clink-arg=-T$PWD/ci/no_std/src/system/arm.ld"
            timeout 60 qemu-system-arm -machine mps2-an386 -nographic -semihosting-config enable=on,target=native \
                -kernel "$CARGO_TARGET_DIR/thumbv7em-none-eabihf/debug/fastalloc-no-std"
            ;;
        wasm32)
            need node nodejs || { skip "$1: there is no node"; return; }
            program wasm32-unknown-unknown "-Clink-arg=--export=run"
            timeout 60 node --eval '
                WebAssembly.instantiate(fs.readFileSync(process.argv[1]))
                    .then(({ instance }) => process.exit(instance.exports.run()));
            ' "$CARGO_TARGET_DIR/wasm32-unknown-unknown/debug/fastalloc-no-std.wasm"
            ;;
        thumbv6m) bare thumbv6m-none-eabi ;;
        riscv32imac) bare riscv32imac-unknown-none-elf ;;
        x86_64) bare x86_64-unknown-none ;;
        i686)
            need /usr/lib32/crt1.o libc6-dev-i386 "lib32gcc-$(gcc -dumpversion)-dev" \
                || { skip "$1: there is no library of C for it"; return; }
            tests i686-unknown-linux-gnu
            ;;
        s390x)
            need qemu-s390x qemu-user && need s390x-linux-gnu-gcc gcc-s390x-linux-gnu libc6-dev-s390x-cross \
                || { skip "$1: there is no qemu-s390x or no s390x-linux-gnu-gcc"; return; }
            CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc \
                CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="qemu-s390x -L /usr/s390x-linux-gnu" \
                tests s390x-unknown-linux-gnu --skip leaking_program_is_warned # It starts itself, without QEMU.
            ;;
        *)
            echo "unknown: $1" >&2
            return 1
            ;;
    esac
}

(( $# > 0 )) || set thumbv7em wasm32 thumbv6m riscv32imac x86_64 i686 s390x

target="${CARGO_TARGET_DIR:-$PWD/target}/targets"
if [[ ! -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]]; then
    root=$(debian_with_sources)
    if [[ -z $root ]]; then
        skip "$*: neither rustup nor Debian has the sources of std (rustup component add rust-src)"
        exit 0
    fi
    export RUSTC="$root/usr/bin/rustc" PATH="$PATH:$root/usr/bin"
    export LD_LIBRARY_PATH="$root/usr/lib/$(uname --machine)-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
export CARGO_TARGET_DIR=$target RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0

for target in "$@"; do
    start=$SECONDS
    check "$target"
    echo "$target: done in $(( SECONDS - start )) s"
done
