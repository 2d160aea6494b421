#!/usr/bin/env bash
# Cuts the power of real file systems under load, and lets real syncs fail: tests/kill.rs with its victim's directory on a
# file system in an image of its own, and the oracle outside. After each cut the file system is mounted anew, the
# directory opened, and all that was called durable has to be there, in order, with no half commit.
#
#   scripts/soak-power.sh                     500 rounds each: ext4, xfs, btrfs, syncs; about ten minutes
#   scripts/soak-power.sh 5000 ext4 xfs       so many rounds of these
#   TMPDIR=/mnt/disk scripts/soak-power.sh    the images are there
#   FOLIO_KILL_SEED=3 scripts/soak-power.sh   other cuts than those of seed 11
#
# ext4 and xfs are shut down without a flush of their journal (FS_IOC_GOINGDOWN): nothing more reaches the device, and
# every later write and sync fails. btrfs has no such call: its image is on an xfs that can share blocks, where a copy of
# the image is of one moment, and that copy takes its place. `syncs` needs no root: strace lets the n-th sync of a thread
# fail. What the machine lacks is skipped, with a line that says so.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '== %s\n' "$*"; }
skip() { printf -- '-- skipped: %s\n' "$*"; }
has() { command -v "$1" >/dev/null; }

export FOLIO_KILL_ROUNDS=${1:-500}
[[ $FOLIO_KILL_ROUNDS =~ ^[0-9]+$ ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 2; }
shift || true
WHICH=("$@")
[[ $# -gt 0 ]] || WHICH=(ext4 xfs btrfs syncs)

BASE=$(mktemp -d "${TMPDIR:-/tmp}/folio-power-XXXXXX")
PLACE=$BASE/place
HOST=$BASE/host
DEVICES=()

# Who has just been killed may hold it for a moment.
unmount() {
    for _ in 1 2 3 4 5; do
        mountpoint -q "$1" || return 0
        umount "$1" 2>/dev/null || sleep 1
    done
    umount -l "$1"
}

# The image of the one may be on the other. A device that is still mounted goes when it no longer is.
clean() {
    local device
    unmount "$PLACE"
    for device in "${DEVICES[@]}"; do
        losetup -d "$device" 2>/dev/null || true
    done
    DEVICES=()
    unmount "$HOST"
    rm -f "$BASE"/*.image
}
# A victim may be left when this is stopped from outside: it ends as soon as nobody listens.
trap 'clean; rm -rf --one-file-system "$BASE"' EXIT
# What is being mounted anew at this moment is waited for.
trap 'sleep 1; exit 130' INT TERM HUP

# attach IMAGE: a loop device on it, in $DEVICE.
attach() {
    DEVICE=$(losetup -f --show "$1" 2>/dev/null) || return 1
    DEVICES+=("$DEVICE")
}

# make KIND IMAGE PLACE OPTION..: a new file system of this kind, mounted.
make() {
    local kind=$1 image=$2 place=$3
    shift 3
    [[ $EUID -eq 0 ]] || { skip "$kind: not root"; return 1; }
    has "mkfs.$kind" || { skip "$kind: no mkfs.$kind"; return 1; }
    truncate -s 1G "$image"
    "mkfs.$kind" -q "$@" "$image" >/dev/null 2>&1 || { skip "$kind: mkfs.$kind fails"; return 1; }
    mkdir -p "$place"
    attach "$image" || { skip "$kind: no loop device"; return 1; }
    mount -t "$kind" "$DEVICE" "$place" || { skip "$kind: cannot be mounted"; return 1; }
}

rounds() {
    FOLIO_KILL_BY=$1 FOLIO_POWER_PLACE=$PLACE FOLIO_POWER_CUT=$2 FOLIO_POWER_RESTORE=$3 "$PROGRAM"
}

by_shutdown() {
    step "$1: $FOLIO_KILL_ROUNDS cuts by shutdown"
    has xfs_io || { skip "$1: no xfs_io, which asks for the shutdown"; return; }
    make "$1" "$BASE/$1.image" "$PLACE" || return 0
    # Started before the victim, so that the cut itself takes no time.
    local cut="exec xfs_io -F -x '$PLACE' >/dev/null"
    local restore="umount '$PLACE' && mount -t $1 $DEVICE '$PLACE'"
    sh -c "$cut" <<<shutdown
    if touch "$PLACE/refused" 2>/dev/null; then skip "$1: no shutdown ioctl"; return; fi
    sh -c "$restore"
    rounds shutdown "$cut" "$restore"
}

by_copy() {
    step "$1: $FOLIO_KILL_ROUNDS cuts by a copy of the image"
    make xfs "$BASE/host.image" "$HOST" -m reflink=1 || return 0
    make "$1" "$HOST/now.image" "$PLACE" || return 0
    # The copy holds off writes to the image, and so is what the device had at one moment.
    local cut="read -r line; cp --reflink=always '$HOST/now.image' '$HOST/cut.image'"
    local restore="umount '$PLACE' && losetup -d $DEVICE && mv '$HOST/cut.image' '$HOST/now.image' &&
        losetup $DEVICE '$HOST/now.image' && mount -t $1 $DEVICE '$PLACE'"
    rounds copy "$cut" "$restore"
}

by_syncs() {
    step "$FOLIO_KILL_ROUNDS runs with failing syncs"
    has strace || { skip "syncs: no strace"; return; }
    strace -qq -o /dev/null -e inject=fsync:error=EIO true 2>/dev/null || { skip "syncs: strace cannot inject"; return; }
    FOLIO_KILL_BY=syncs "$PROGRAM"
}

PROGRAM=$(cargo test --quiet --no-run --test kill --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

for which in "${WHICH[@]}"; do
    case $which in
        ext4 | xfs) by_shutdown "$which" ;;
        btrfs) by_copy "$which" ;;
        syncs) by_syncs ;;
        *) printf 'no %s: ext4, xfs, btrfs or syncs\n' "$which" >&2; exit 2 ;;
    esac
    clean
done
step "done"
