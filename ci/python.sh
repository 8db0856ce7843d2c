#!/usr/bin/env bash
# Builds the Python package, installs it into an environment of its own, as a user would, and checks it: formatting, clippy and the
# tests of what needs no Python, mypy and pyright, the stubs against the module, and all tests with warnings as errors.
#
# Arguments are interpreters; without any, python3. --quick leaves out what takes long: pyright.
#
# Needs cargo, Python 3.11 or later with venv, and the package index.
set -euo pipefail
cd "$(dirname "$0")/../crates/fastalloc-python"

quick=
interpreters=()
for argument in "$@"; do
    case $argument in
        --quick) quick=1 ;;
        *) interpreters+=("$argument") ;;
    esac
done
(( ${#interpreters[@]} )) || interpreters=(python3)

# Apart from what other checks may be compiling.
target="${CARGO_TARGET_DIR:+$CARGO_TARGET_DIR/python}"
target="${target:-$PWD/target}"
export CARGO_TARGET_DIR="$target"
# For cargo alone: nothing but Python loads the extension, so it is not linked with a libpython, which need not be there.
cargo() {
    PYO3_PYTHON="$(command -v "${interpreters[0]}")" PYO3_BUILD_EXTENSION_MODULE=1 command cargo "$@"
}

cargo fmt --check
RUSTFLAGS="-D warnings" cargo clippy --quiet --locked --all-targets
cargo test --quiet --locked

for interpreter in "${interpreters[@]}"; do
    "$interpreter" --version
    environment="$target/venv-$("$interpreter" -c 'import sys; print(sys.implementation.cache_tag)')"
    [[ -x "$environment/bin/python" ]] || "$interpreter" -m venv "$environment"
    export PATH="$environment/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    # Dependency groups need pip 25.1.
    pip install --quiet --upgrade "pip>=25.1"
    pip install --quiet --group dev
    pip install --quiet --force-reinstall --no-deps .
    mypy
    python -m mypy.stubtest fastalloc --allowlist stubtest-allowlist.txt
    [[ -n $quick ]] || pyright --pythonpath "$environment/bin/python"
    python -m pytest -q -p no:cacheprovider
done
