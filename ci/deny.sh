#!/usr/bin/env bash
# Checks that the licences of all dependencies, and the places they come from, are those in deny.toml.
#
# Needs cargo-deny. Where there is none, nothing is checked. Whether a dependency has a known vulnerability is another
# question, for which cargo-deny downloads a list: cargo deny check advisories.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version 2> /dev/null; then
    echo "SKIPPED: dependencies were NOT checked: there is no cargo-deny (cargo install cargo-deny)"
    exit 0
fi
for manifest in Cargo.toml $(git ls-files "*/Cargo.toml"); do
    # Members of the first workspace have been checked with it.
    grep --quiet '^\[workspace\]' "$manifest" || continue
    echo "$manifest"
    cargo deny --locked --all-features --config deny.toml --manifest-path "$manifest" check \
        --hide-inclusion-graph licenses bans sources
done
