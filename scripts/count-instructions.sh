#!/usr/bin/env bash
# Counts the instructions of one operation with valgrind's callgrind and compares them with benches/instructions.txt,
# the numbers of the last accepted change. Each workload runs twice, and the two runs differ by 10,000 operations alone.
# Skipped, with a line that says so, without valgrind.
#
#   scripts/count-instructions.sh             compares; ends with an error when a number grew by more than 3 %
#   scripts/count-instructions.sh --write     compares, then keeps all the new numbers
#   scripts/count-instructions.sh get insert_key_only      only these workloads
#   scripts/count-instructions.sh --where insert_key_only  the functions in which its instructions go
set -euo pipefail
cd "$(dirname "$0")/.."

KEPT=benches/instructions.txt
SHORT=1600
LONG=11600
# Hash seeds differ from run to run, and with them the numbers, by half a percent.
GROWTH_MAX=3

command -v valgrind >/dev/null || { echo "-- skipped: no valgrind"; exit 0; }

OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

PROGRAM=$(cargo bench --quiet --bench instructions --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

run() { valgrind --quiet --tool=callgrind --callgrind-out-file="$OUT/$1.$2" "$PROGRAM" "$1" "$2"; }
total() { sed -n 's/^\(summary\|totals\): *\([0-9]*\).*/\2/p' "$OUT/$1.$2" | tail -n 1; }

if [[ ${1:-} == --where ]]; then
    run "$2" "$LONG"
    # Both by self and with callees; loading the table is in there too.
    callgrind_annotate --inclusive=yes "$OUT/$2.$LONG" | sed -n 1,90p
    callgrind_annotate "$OUT/$2.$LONG" | sed -n 1,60p
    exit
fi

WORKLOADS=("$@")
[[ $# -gt 0 && $1 != --write ]] || mapfile -t WORKLOADS < <("$PROGRAM")

GREW=no
printf '%-28s %10s %10s %9s\n' 'instructions per operation' kept now change
for workload in "${WORKLOADS[@]}"; do
    run "$workload" "$SHORT"
    run "$workload" "$LONG"
    now=$((($(total "$workload" "$LONG") - $(total "$workload" "$SHORT")) / (LONG - SHORT)))
    echo "$workload $now" >>"$OUT/now"
    kept=$(awk -v name="$workload" '$1 == name { print $2 }' "$KEPT" 2>/dev/null || true)
    if [[ -z $kept ]]; then
        printf '%-28s %10s %10s %9s\n' "$workload" - "$now" new
        continue
    fi
    change=$(awk -v kept="$kept" -v now="$now" 'BEGIN { printf "%+.1f", (now - kept) * 100 / kept }')
    printf '%-28s %10s %10s %7s %%\n' "$workload" "$kept" "$now" "$change"
    if awk -v change="$change" -v most="$GROWTH_MAX" 'BEGIN { exit !(change > most) }'; then GREW=yes; fi
done

if [[ ${1:-} == --write ]]; then
    echo "# Instructions per operation on a table of 20,000 rows, by scripts/count-instructions.sh --write" >"$KEPT"
    echo "# $(rustc --version), $(uname -m)" >>"$KEPT"
    cat "$OUT/now" >>"$KEPT"
elif [[ $GREW == yes ]]; then
    echo "grew by more than $GROWTH_MAX %: find out why, or keep the new numbers with --write and say why in the commit"
    exit 1
fi
