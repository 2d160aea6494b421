#!/usr/bin/env bash
# Lists the lines and the sides of branches that no test runs, in what must not fail: the page layer, the log,
# transactions and recovery. Those that none can run, or only by chance, are in scripts/coverage-exceptions.txt, each with
# its reason. Ends with an error at any other line, and at more than two in a hundred other sides.
#
#   scripts/coverage.sh             runs the tests, but for the crash images, which take hours so; half an hour on two cores
#   scripts/coverage.sh --report    only lists, from the last run
#
# Needs nightly Rust, cargo-llvm-cov, jq, and LLVM's tools (LLVM_COV, LLVM_PROFDATA; else those of llvm-19). Skipped, with
# a line that says so, without them.
set -euo pipefail
cd "$(dirname "$0")/.."

EXCEPTIONS=scripts/coverage-exceptions.txt
SCOPE='^src/(page|transaction|storage|table/image)/|^src/database/(backup|salvage)[.]rs'
# Tests, and bugs that are planted for them.
APART='/tests/|tests[.]rs$|/plant[.]rs$'
SIDES_MAX=2

export CARGO_LLVM_COV_SETUP=no LLVM_COV=${LLVM_COV:-llvm-cov-19} LLVM_PROFDATA=${LLVM_PROFDATA:-llvm-profdata-19}
for tool in jq cargo-llvm-cov "$LLVM_COV" "$LLVM_PROFDATA"; do
    command -v "$tool" >/dev/null || { echo "-- skipped: no $tool"; exit 0; }
done
cargo +nightly --version >/dev/null 2>&1 || { echo "-- skipped: no nightly Rust"; exit 0; }

OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

if [[ ${1:-} != --report ]]; then
    cargo +nightly llvm-cov clean --workspace
    cargo +nightly llvm-cov --branch --no-report --lib --tests -- --skip every_crash_
fi
cargo +nightly llvm-cov report --branch --lcov --output-path "$OUT/lines" 2>/dev/null
cargo +nightly llvm-cov report --branch --json --output-path "$OUT/branches" 2>/dev/null

# A record each: file, line, column (0: the line itself), side, times. A generic function has one for each of its types.
{
    awk -F '[:,]' -v root="$PWD/" '
        /^SF:/ { file = substr($0, 4); sub(root, "", file) }
        /^DA:/ { print file "\t" $2 "\t0\tL\t" $3 }' "$OUT/lines"
    jq -r --arg root "$PWD/" '.data[0].files[] | (.filename | ltrimstr($root)) as $file | .branches[] |
        [$file, .[0], .[1], "T", .[4]], [$file, .[0], .[1], "F", .[5]] | @tsv' "$OUT/branches"
} | awk -F '\t' -v scope="$SCOPE" -v apart="$APART" '$1 ~ scope && $1 !~ apart' >"$OUT/records"

awk -F '\t' -v exceptions="$EXCEPTIONS" -v most="$SIDES_MAX" '
    function indent(text) { match(text, /^ */); return RLENGTH }
    function trimmed(text) { gsub(/^ +| +$/, "", text); return text }
    # The lines of a file, up to its own tests.
    function load(file,    line, number) {
        if (file in length_of) return
        while ((getline line < file) > 0) {
            source[file, ++number] = line
            if (trimmed(line) == "#[cfg(test)]" && (getline line < file) > 0) {
                if (line ~ /^ *mod .*\{$/) break
                source[file, ++number] = line
            }
        }
        length_of[file] = number + 0
    }
    function is_excepted(file, text, side) {
        if (!index(sides[file, text], side)) return 0
        needed[file, text, side] = 1
        return 1
    }
    # An exception of a line is one of those that it begins, too; a bracket alone is no code.
    function judge(file,    number, text, from, missing, side, count, list, place) {
        from = -1
        for (number = 1; number <= length_of[file]; number++) {
            text = trimmed(source[file, number])
            if (from >= 0 && indent(source[file, number]) <= from) from = -1
            missing = ""
            if ((file, number, "L") in times && text !~ /^[])}]+[;,?]*$/) {
                lines++
                if (times[file, number, "L"] == 0) {
                    if (from >= 0) lines_excepted++
                    else if (is_excepted(file, text, "L")) { lines_excepted++; from = indent(source[file, number]) }
                    else { lines_missed++; missing = " L" }
                }
            }
            count = split(places[file, number], list, " ")
            for (place = 1; place <= count; place++) {
                side = substr(list[place], 1, 1)
                branches++
                if (times[file, number, list[place]] > 0) continue
                if (is_excepted(file, text, side)) branches_excepted++
                else { branches_missed++; missing = missing " " list[place] }
            }
            if (missing != "") print file ":" number ":" missing "  " text
        }
    }
    BEGIN {
        while ((getline line < exceptions) > 0) {
            if (line ~ /^#/ || line == "") continue
            if (line ~ /^ /) { sides[file, trimmed(line)] = sides[file, trimmed(line)] which; continue }
            split(line, part, /[ :]/)
            file = part[1]; which = part[2]
        }
    }
    {
        load($1)
        place = $4 == "L" ? "L" : $4 "@" $3
        if (!(($1, $2, place) in times) && place != "L") places[$1, $2] = places[$1, $2] " " place
        times[$1, $2, place] += $5
    }
    END {
        for (file in length_of) judge(file)
        for (key in sides) {
            split(key, part, SUBSEP)
            for (place = 1; place <= length(sides[key]); place++) {
                side = substr(sides[key], place, 1)
                if (!((part[1], part[2], side) in needed)) print "was run: " part[1] ": " side ": " part[2]
            }
        }
        printf "lines: %d, of which no test runs %d, and %d that none can\n", lines, lines_missed, lines_excepted
        printf "sides of branches: %d, of which no test runs %d (%.1f %%), and %d that none can\n", branches,
            branches_missed, branches_missed * 100 / branches, branches_excepted
        exit lines_missed > 0 || branches_missed * 100 > most * branches
    }' "$OUT/records"
