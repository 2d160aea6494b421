#!/usr/bin/env bash
# Looks for memory errors, leaks and data races with AddressSanitizer, ThreadSanitizer and valgrind's memcheck. What the
# machine lacks is skipped, with a line that says so.
#
#   scripts/check-memory.sh            all three
#   scripts/check-memory.sh asan       one of asan, tsan, memcheck
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '== %s\n' "$*"; }
skip() { printf -- '-- skipped: %s\n' "$*"; }

HOST=$(rustc -vV | sed -n 's/^host: //p')
WHICH=${1:-all}
wanted() { [[ $WHICH == all || $WHICH == "$1" ]]; }
has_nightly() { cargo +nightly --version >/dev/null 2>&1; }
# The test `stress` has a `main` of its own (harness = false): libtest itself is reported by ThreadSanitizer.
has_stress() { [[ -f tests/stress.rs ]]; }

# Property tests are for the normal run; here a few cases of each are enough to walk every path.
export PROPTEST_CASES=${PROPTEST_CASES:-16}

asan() {
    step "AddressSanitizer and leak check: unit tests and stress, each block an allocation of its own"
    has_nightly || { skip "no nightly toolchain"; return; }
    local stress=()
    if has_stress; then stress=(--test stress); else skip "no tests/stress.rs"; fi
    # Blocks cut from shared spans would hide every use after free.
    RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=address --cfg folio_block_per_page" \
        cargo +nightly test --quiet --target "$HOST" --target-dir target/asan --lib "${stress[@]}"
}

tsan() {
    step "ThreadSanitizer: stress"
    has_nightly || { skip "no nightly toolchain"; return; }
    has_stress || { skip "no tests/stress.rs"; return; }
    # Debug info, so that a report names its line. Blocks as they are shipped: reuse of memory is what races.
    CARGO_PROFILE_RELEASE_DEBUG=1 TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}" \
        RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
        cargo +nightly test --quiet --release --target "$HOST" --target-dir target/tsan --test stress
}

memcheck() {
    step "valgrind memcheck: stress, each block an allocation of its own"
    command -v valgrind >/dev/null || { skip "no valgrind"; return; }
    has_stress || { skip "no tests/stress.rs"; return; }
    local program
    program=$(RUSTFLAGS="${RUSTFLAGS:-} --cfg folio_block_per_page" \
        cargo test --quiet --no-run --test stress --target-dir target/memcheck --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    # One thread runs at a time under valgrind: the test is told to do less, and races are not looked for here.
    FOLIO_STRESS_MILLIS=${FOLIO_STRESS_MILLIS:-2000} timeout 170 \
        valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,indirect --error-exitcode=9 "$program"
}

! wanted asan || asan
! wanted tsan || tsan
! wanted memcheck || memcheck
step "done"
