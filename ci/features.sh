#!/usr/bin/env bash
# Checks that fastalloc compiles without features, with each one alone, and with all of them.
#
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

# In the metadata of a package, its features are followed by the path of its manifest.
features=$(cargo metadata --no-deps --format-version 1 \
    | sed --regexp-extended 's/.*"features":\{([^}]*)\},"manifest_path":"[^"]*crates\/fastalloc\/Cargo\.toml".*/\1/' \
    | grep --only-matching --extended-regexp '"[^"]+":' \
    | tr --delete '":')

check() {
    echo "features: ${*:-none}"
    cargo check --quiet --package fastalloc --no-default-features "$@"
}

check
for feature in $features; do
    check --features "$feature"
done
check --all-features
