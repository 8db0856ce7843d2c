#!/usr/bin/env bash
# Runs the tests of the Python package twice: with the extension and the interpreter's memory under AddressSanitizer, and with a
# debug build of Python, which counts all references and checks what others take for granted.
#
# Arguments go to pytest. --address and --references run one of the two.
#
# Needs cargo and Python 3.11 or later with venv, and the package index; for the first gcc with libasan, for the second a debug build
# of Python: Debian's package python3-dbg. With root's rights the script installs that, otherwise it says what is missing.
set -euo pipefail
cd "$(dirname "$0")/../crates/fastalloc-python"

parts=(address references)
case ${1:-} in
    --address | --references) parts=("${1#--}"); shift ;;
esac
target="${CARGO_TARGET_DIR:-$PWD/target}/sanitized"

# Makes an environment for an interpreter, and a folder with the package as cargo has built it.
prepare() {
    local name=$1 interpreter=$2 triple=$3 suffix
    environment="$target/venv-$name" package="$target/package-$name"
    [[ -x "$environment/bin/python" ]] || "$interpreter" -m venv "$environment"
    # What has no wheels for debug builds is not needed here.
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        hypothesis pytest pytest-asyncio pytest-timeout
    # Some assertions look at all slots, each time: the tests have pools of 200,000.
    CARGO_TARGET_DIR="$target/$name" PYO3_PYTHON="$environment/bin/python" PYO3_BUILD_EXTENSION_MODULE=1 \
        CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=true \
        cargo build --quiet --locked --target "$triple"
    suffix=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
    rm -rf "$package"
    mkdir -p "$package"
    cp -r python/fastalloc "$package"
    rm -f "$package"/fastalloc/_native*.so
    cp "$target/$name/$triple/debug/lib_native.so" "$package/fastalloc/_native$suffix"
}

address() {
    local runtime
    runtime=$(gcc -print-file-name=libasan.so)
    if [[ $runtime != /* ]]; then
        echo "missing: libasan of gcc, which comes with Debian's package gcc" >&2
        return 1
    fi
    # The compiler's own runtime is for executables; that of gcc has the same interface, and can be loaded into Python.
    local RUSTC_BOOTSTRAP RUSTFLAGS RUSTDOCFLAGS ASAN_OPTIONS host
    source ../../ci/address_sanitizer.sh
    prepare address python3 "$host"
    # Python itself keeps much until it ends. Without its own allocator, each object is a piece of memory of its own.
    local under=(env -u RUSTFLAGS LD_PRELOAD="$runtime" PYTHONMALLOC=malloc PYTHONPATH="$package"
        ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=0:abort_on_error=0")
    echo "=== AddressSanitizer, $("$environment/bin/python" --version)"
    nm --dynamic "$package"/fastalloc/_native*.so | grep __asan_report_load8 > /dev/null
    if "${under[@]}" "$environment/bin/python" -c "
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
freed = libc.malloc(100)
libc.free(ctypes.c_void_p(freed))
ctypes.string_at(freed, 100)" 2> /dev/null; then
        echo "AddressSanitizer does not see an access to freed memory: its results would mean nothing" >&2
        return 1
    fi
    "${under[@]}" "$environment/bin/python" -m pytest -q -p no:cacheprovider -o timeout=600 "$@"
}

references() {
    if ! command -v python3-dbg > /dev/null; then
        if (( EUID != 0 )); then
            echo "missing, and only root can install it: python3-dbg" >&2
            return 1
        fi
        apt-get update --quiet=2
        DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends python3-dbg python3-venv
    fi
    prepare references python3-dbg "$(rustc --version --verbose | sed --quiet 's/^host: //p')"
    echo "=== references counted, $("$environment/bin/python" --version)"
    "$environment/bin/python" -c "import sys; sys.gettotalrefcount()"
    PYTHONPATH="$package" "$environment/bin/python" -m pytest -q -p no:cacheprovider -o timeout=600 "$@"
}

for part in "${parts[@]}"; do
    "$part" "$@"
done
