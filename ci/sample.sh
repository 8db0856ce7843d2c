#!/usr/bin/env bash
# Makes the recording again that is in the program `fastalloc`: of perl, which counts the words of three documents here.
#
# Needs cargo, perl and a C compiler. Functions of perl have names if Debian's libperl is there, whose symbols are exported.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp --directory)
trap 'rm --recursive "$folder"' EXIT
cargo build --quiet --locked --package fastalloc-cli
fastalloc="${CARGO_TARGET_DIR:-$PWD/target}/debug/fastalloc"
"$fastalloc" record --quiet -o "$folder/recording" -- perl -e '
    while (<>) { for my $word (split /\W+/) { $count{lc $word}++; push @{$lines{lc $word}}, $. if length $word > 3 } }
    print "$_ $count{$_}\n" for sort keys %count;
' README.md ARCHITECTURE.md SAFETY.md > "$folder/output"
"$fastalloc" convert --quiet "$folder/recording" --events 60000 --output "$folder/sample.trace"
cp "$folder/sample.trace" crates/fastalloc-cli/sample/sample.trace
ls -l crates/fastalloc-cli/sample/sample.trace
