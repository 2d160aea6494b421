#!/usr/bin/env bash
# Looks for memory errors, leaks and data races with AddressSanitizer, ThreadSanitizer and valgrind's memcheck: in the
# tests of the page layer, which has all unsafe code, and in tests/stress.rs, which uses it through everything above.
# What the machine lacks is skipped, with a line that says so.
#
#   scripts/check-memory.sh            all three, about two minutes once built
#   scripts/check-memory.sh asan       one of asan, tsan, memcheck
#   FOLIO_STRESS_MILLIS=7200000 scripts/check-memory.sh tsan      the soak
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '== %s\n' "$*"; }
skip() { printf -- '-- skipped: %s\n' "$*"; }

HOST=$(rustc -vV | sed -n 's/^host: //p')
WHICH=${1:-all}
wanted() { [[ $WHICH == all || $WHICH == "$1" ]]; }
has_nightly() { cargo +nightly --version >/dev/null 2>&1; }

# Property tests are for the normal run; here a few cases of each are enough to walk every path.
export PROPTEST_CASES=${PROPTEST_CASES:-16}
# How long stress runs, unless the caller says.
stress_for() { export FOLIO_STRESS_MILLIS=${MILLIS:-$1}; }
MILLIS=${FOLIO_STRESS_MILLIS:-}

asan() {
    step "AddressSanitizer and leak check: page tests and stress, each block an allocation of its own"
    has_nightly || { skip "no nightly toolchain"; return; }
    stress_for 10000
    # Blocks cut from shared spans would hide every use after free. The name is no filter to stress, which has one test.
    RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=address --cfg folio_block_per_page" \
        cargo +nightly test --quiet --target "$HOST" --target-dir target/asan --lib --test stress -- page::
}

tsan() {
    step "ThreadSanitizer: stress"
    has_nightly || { skip "no nightly toolchain"; return; }
    stress_for 20000
    # Stress has a `main` of its own (harness = false), as libtest itself would be reported. Debug info, so that a report
    # names its line. Blocks as they are shipped: reuse of memory is what races.
    CARGO_PROFILE_RELEASE_DEBUG=1 TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}" \
        RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
        cargo +nightly test --quiet --release --target "$HOST" --target-dir target/tsan --test stress
}

memcheck() {
    step "valgrind memcheck: stress, each block an allocation of its own"
    command -v valgrind >/dev/null || { skip "no valgrind"; return; }
    local program
    # Not optimized: LLVM may test a value before the tag that says whether it is there, which memcheck reports.
    program=$(CARGO_PROFILE_TEST_OPT_LEVEL=0 RUSTFLAGS="${RUSTFLAGS:-} --cfg folio_block_per_page" \
        cargo test --quiet --no-run --test stress --target-dir target/memcheck --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    # One thread runs at a time under valgrind, in turns if told so: races are not looked for here.
    stress_for 10000
    timeout $((170 + FOLIO_STRESS_MILLIS / 1000)) \
        valgrind --quiet --fair-sched=yes --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=9 "$program"
}

! wanted asan || asan
! wanted tsan || tsan
! wanted memcheck || memcheck
step "done"
