#!/usr/bin/env bash
# Runs the tests of the pools that threads share under ThreadSanitizer: no data race.
#
# Needs cargo and a C linker on Linux. std must be compiled with the sanitizer too; its sources are those of rustup's
# toolchain if it has the component rust-src, else Debian's, with the compiler of its package rustc-web, which
# are unpacked into the target folder. Where neither has them, nothing is checked.
#
# ThreadSanitizer understands neither fences nor membarrier, and the pools are tested as they are nevertheless: these
# decide who may use a magazine, but what one thread left there comes to another one by `Thread::busy`, which is
# stored with Release and loaded with Acquire, and by the depot's atomics or lock.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/debian.sh

skip() {
    echo "SKIPPED: nothing was checked with ThreadSanitizer: $*"
    exit 0
}

libraries='' symbolizer=''
if [[ ! -e "$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]]; then
    root=$(debian_with_sources)
    [[ -n $root ]] || skip "neither rustup nor Debian has the sources of std (rustup component add rust-src)"
    libraries="$root/usr/lib/$(uname --machine)-linux-gnu"
    export RUSTC="$root/usr/bin/rustc"
    # What gives reports names and line numbers.
    symbolizer=":external_symbolizer_path=$(echo "$root"/usr/lib/llvm-*/bin/llvm-symbolizer)"
fi

export RUSTC_BOOTSTRAP=1 RUST_BACKTRACE=0 LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export RUSTFLAGS="-Zsanitizer=thread -Cdebug-assertions=on"
export CARGO_PROFILE_OPTIMIZED_DEBUG=line-tables-only
# What cannot be allocated is to be an error of the pool, as it is without the sanitizer.
export TSAN_OPTIONS="allocator_may_return_null=1:history_size=7$symbolizer"

# With a target, the flags are not for procedural macros, which run inside the compiler.
host=$("${RUSTC:-rustc}" --version --verbose | sed --quiet 's/^host: //p')
# Optimized, because the sanitizer forgets what happened too many memory accesses ago.
cargo test -Zbuild-std --package fastalloc --all-features --target "$host" --profile optimized --test threads
