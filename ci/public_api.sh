#!/usr/bin/env bash
# Writes what fastalloc offers to others, with all features on Linux, to crates/fastalloc/public-api.txt. With --check,
# compares instead: who changes it sees what he changes, and so does who reads the diff.
#
# Needs cargo and a compiler whose rustdoc writes the JSON that ci/public_api/ can read. With another one, nothing is
# checked.
set -euo pipefail
cd "$(dirname "$0")/.."

listing=crates/fastalloc/public-api.txt
# Apart, because some dependencies are compiled anew whenever RUSTC_BOOTSTRAP changes.
target="${CARGO_TARGET_DIR:-$PWD/target}/public_api"

RUSTC_BOOTSTRAP=1 cargo rustdoc --quiet --locked --package fastalloc --lib --all-features --target-dir "$target" \
    -- -Zunstable-options --output-format json --cap-lints allow
json="$target/doc/fastalloc.json"

format=$(grep --only-matching '"format_version":[0-9]*' "$json" | cut --delimiter : --fields 2)
expected=$(sed --quiet '/^name = "rustdoc-types"$/{n;s/^version = "0\.\([0-9]*\)\..*/\1/p}' ci/public_api/Cargo.lock)
if [[ $format != "$expected" ]]; then
    echo "SKIPPED: the public API was NOT checked: the compiler's JSON has format $format, and not $expected;" \
        "ci/public_api/Cargo.toml needs another version of public-api"
    exit 0
fi

cargo run --quiet --locked --manifest-path ci/public_api/Cargo.toml --target-dir "$target" -- "$json" > "$target/listing"
if [[ ${1:-} != --check ]]; then
    cp "$target/listing" "$listing"
elif ! diff --unified=0 "$listing" "$target/listing"; then
    echo "The public API is not what $listing says. If the change is wanted, run ci/public_api.sh and commit the file." >&2
    exit 1
else
    echo "$listing is up to date: $(wc --lines < "$listing") items"
fi
