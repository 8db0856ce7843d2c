#!/usr/bin/env bash
# Checks that the recorder counts what valgrind counts, with programs that happen to be there, prints a table, and another
# one of what recording costs.
#
# A reallocation counts as an allocation and a free, as it does for valgrind. Fails if a count differs by more than 0.1 %
# and by more than five: some programs do not do quite the same each time.
#
# Needs cargo on Linux, a C compiler, python3 and valgrind, and takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind > /dev/null || { echo "SKIPPED: recordings were NOT compared: there is no valgrind"; exit 0; }
cargo build --release --locked --package fastalloc-cli
fastalloc="${CARGO_TARGET_DIR:-$PWD/target}/release/fastalloc"
folder=$(mktemp --directory)
trap 'rm --recursive "$folder"' EXIT
export PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PERL_HASH_SEED=0
failures=0

# Compares the counts for a command: `compare NAME COMMAND…`
compare() {
    local name=$1 valgrind recorded
    shift
    [[ -n $(type -P "$1") ]] || { printf '%-10s SKIPPED: not compared, it is not here\n' "$name"; return; }
    # Without what valgrind frees itself at the end; with what programs allocate that bring an allocator of their own.
    valgrind --run-libc-freeres=no --run-cxx-freeres=no --soname-synonyms=somalloc=NONE \
        --log-file="$folder/valgrind" "$@" > /dev/null 2> "$folder/stderr" < /dev/null \
        || { echo "$name: valgrind cannot run it"; tail -n 3 "$folder/valgrind" "$folder/stderr"; failures=1; return; }
    valgrind=$(sed --quiet 's/.*total heap usage: \([0-9,]*\) allocs, \([0-9,]*\) frees.*/\1 \2/p' "$folder/valgrind" | tr --delete ,)
    "$fastalloc" record --quiet -o "$folder/recording" -- "$@" > /dev/null 2> "$folder/stderr" < /dev/null
    recorded=$("$fastalloc" advise --quiet --json "$folder/recording" | python3 -c '
import json, sys
report = json.load(sys.stdin)["report"]
usages = [site["total"] for site in report["sites"]]
frees = sum(usage["freed"] + usage["reallocated"] for usage in usages) + report["unknown_frees"]
print(sum(usage["objects"] for usage in usages), frees)')
    python3 - "$name" $valgrind $recorded <<'EOF' || failures=1
import sys
name, (allocs, frees, objects, freed) = sys.argv[1], map(int, sys.argv[2:])
error = max(abs(objects - allocs) / allocs, abs(freed - frees) / frees)
is_right = all(abs(a - b) <= max(5, b / 1000) for a, b in [(objects, allocs), (freed, frees)])
print(f"{name:10} {allocs:>12} {objects:>12} {frees:>12} {freed:>12} {100 * error:9.3f} %{'' if is_right else '  WRONG'}")
sys.exit(not is_right)
EOF
}

printf '%-10s %12s %12s %12s %12s %11s\n' program "allocations" recorded "frees" recorded difference
compare python3 "$(python3 -c 'import sys; print(sys.executable)')" -c '
import json
text = json.dumps([{"number": n, "text": "x" * (n % 1000)} for n in range(2000)])
print(sum(len(str(item)) for item in json.loads(text)))'
compare git git --no-pager log --stat -n 20
compare perl perl -e 'my %h; for my $n (1 .. 20000) { $h{"key $n"} = [$n, "value " . $n x 3] } print scalar keys %h'
compare sqlite3 sqlite3 :memory: 'create table t (a integer primary key, b text);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t select i, hex(i) from n;
    create index u on t(b); select count(*), max(b) from t where b like "%3%" group by a % 7;'
# The compiler itself, not what rustup has under its name. It brings an allocator of its own. Under valgrind it can explain,
# but not compile.
compare rustc "$(rustc --print sysroot)/bin/rustc" --explain E0382

# What it costs to allocate and to free an object, with so many calls on the stack.
cc -O1 -fno-builtin -w -o "$folder/cost" crates/fastalloc-cli/tests/programs/cost.c
printf '\n%-24s %12s %12s\n' "ns for each object" alone recorded
for row in "1:" "6:" "26:" "26:--depth 8" "26:--sample 1/100"; do
    calls=${row%%:*} options=${row#*:}
    alone=$("$folder/cost" "$calls")
    recorded=$("$fastalloc" record --quiet $options -o "$folder/recording" -- "$folder/cost" "$calls")
    # With main and the three functions of the C library that call it.
    printf '%-24s %12s %12s\n' "$(( calls + 4 )) frames $options" "$alone" "$recorded"
done

exit "$failures"
