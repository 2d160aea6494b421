#!/usr/bin/env bash
# Model-checks the reader protocol (src/page/epoch.rs) with loom and shuttle, then plants bugs, one at a time, that the
# models must find: a model that cannot fail proves nothing.
#
#   scripts/check-models.sh            needs no more than stable Rust and the dev-dependencies
#   LOOM_MAX_PREEMPTIONS=5 FOLIO_MODEL_SECONDS=86400 scripts/check-models.sh      more orders of three threads
set -euo pipefail
cd "$(dirname "$0")/.."

SYMPTOMS='freed while it could be reached|is freed twice|[Cc]ausality violation|Concurrent (read|write|load)'

step() { printf '== %s\n' "$*"; }

# Builds test $2 under checker $1 with a plant ($3, may be empty) and prints the path of the program. The plant goes to
# the test alone, so that what it depends on is built once per checker.
build() {
    local checker=$1 test=$2 plant=$3
    local plants=()
    [[ -z $plant ]] || plants=(--cfg "folio_plant=\"$plant\"" -A unused)
    RUSTFLAGS="${RUSTFLAGS:-} --cfg $checker" cargo rustc --quiet --release -p folio-models --test "$test" --target-dir "target/$checker" \
        --message-format=json-render-diagnostics -- "${plants[@]}" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

run() {
    local program=$1
    timeout "${FOLIO_MODEL_SECONDS:-170}" "$program"
}

passes() {
    local checker=$1 test=$2 program
    step "$checker: the protocol as it is"
    program=$(build "$checker" "$test" "")
    run "$program"
}

# The planted bug must be found by one of the tests; a test that hangs, or a build that breaks, finds nothing.
finds() {
    local checker=$1 test=$2 plant=$3 program log=target/$1/plant-$3.log
    step "$checker: planted $plant must be found"
    program=$(build "$checker" "$test" "$plant")
    [[ -x $program ]] || { echo "FAILED: no test program for $plant"; exit 1; }
    local status=0
    run "$program" >"$log" 2>&1 || status=$?
    # 101: a test failed; 134: a checker's own state broke while the failure unwound. Either way for the right reason.
    if [[ $status -ne 101 && $status -ne 134 ]] || ! grep -E -m 1 "$SYMPTOMS" "$log"; then
        echo "FAILED: $checker ended with status $status on planted $plant, see $log"
        exit 1
    fi
}

passes loom loom_pages
finds loom loom_pages no_fence
finds loom loom_pages early_root
finds loom loom_pages double_free
passes shuttle shuttle_pages
# Shuttle's memory is sequentially consistent: it cannot miss a fence.
finds shuttle shuttle_pages early_root
finds shuttle shuttle_pages double_free
step "all models hold, all planted bugs were found"
