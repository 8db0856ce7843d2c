#!/usr/bin/env bash
# Counts the instructions of the warm loop (allocate, write, read, release; loop included) of an
# 8-byte object: callgrind's total of a long run less that of a short one, by the difference in
# iterations. Needs cargo with a C compiler and make for the heaps, valgrind and awk.
#
#   instructions.sh            prints a table of all candidates
#   instructions.sh --check    and fails if our pools take more than they may
#
# With STATS=1, our pools count statistics, for which they may take 3 more for each of the two operations.
set -euo pipefail
cd "$(dirname "$0")"

# What our pools may take.
limits='FixedPool 22
GrowingPool 25
ThreadSafePool 40
LockFreePool 40'

# Of one length: reading a longer number takes instructions, too.
short=10000
long=20000

usage() { echo "usage: instructions.sh [--check]" >&2; exit 2; }
[[ $# -le 1 && "${1---check}" == --check ]] || usage

# Without snmalloc, which would ask for a C++ compiler.
cargo build --quiet --release --locked --no-default-features ${STATS:+--features stats} --bin warm_loop
program="${CARGO_TARGET_DIR:-target}/release/warm_loop"

# Prints the instructions of a whole run of candidate $1 with $2 iterations.
count() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1) \
        || { echo "$log" >&2; return 1; }
    awk '/ Collected *: / { print $NF; found = 1 } END { exit !found }' <<< "$log"
}

table=$("$program" | while IFS= read -r candidate; do
    few=$(count "$candidate" "$short")
    many=$(count "$candidate" "$long")
    printf '%s\t%s\n' "$candidate" "$(( many - few ))"
done)

awk -F '\t' -v iterations=$(( long - short )) -v limits="$limits" -v check="${1-}" \
    -v more="${STATS:+6}" '
    BEGIN {
        lines = split(limits, line, "\n")
        for (i = 1; i <= lines; i++) { split(line[i], field, " "); limit[field[1]] = field[2] + more }
        printf "%-20s %24s %6s\n", "candidate", "instructions/iteration", "limit"
    }
    {
        seen[$1] = 1
        per = $2 / iterations
        may = $1 in limit ? limit[$1] : "-"
        exceeded = may != "-" && per > may
        if (exceeded) failed = 1
        printf "%-20s %24.1f %6s%s\n", $1, per, may, exceeded ? "  exceeded" : ""
    }
    END {
        for (name in limit) if (!(name in seen)) { print name " was not measured"; failed = 1 }
        exit (check != "" && failed)
    }
' <<< "$table"
