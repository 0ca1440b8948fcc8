#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Verifies the models of this folder: the good ones must pass, and each fault must be found.
#
#   run_model.sh [spin]
#
# Exits with 77 (ctest: skipped) if spin or a C compiler is missing. As many runs at a time as there are processors;
# takes 2 to 3 minutes of one core in all, and up to 1 GB for each run.
set -euo pipefail

spin="${1:-spin}"
cc="${CC:-cc}"
folder="$(cd "$(dirname "$0")" && pwd)"

for tool in "$spin" "$cc"; do
  if ! command -v "$tool" > /dev/null; then
    echo "SKIPPED: $tool is not installed (Debian: apt-get install spin gcc)"
    exit 77
  fi
done

dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
jobs_max="$(nproc)"
runs=0

# No run comes near it, also on a busy machine: it is for a model that has grown out of hand.
seconds_max=600

# verify MODEL KIND [-DNAME...]: runs the verifier, sets `errors`, `states` and `complete`.
#   all       every state
#   few       the same; for models so small that compiling takes longer than verifying
#   progress  every state, and no cycle without progress under weak fairness
#   part      as many states as 25 seconds allow, in a hash table of bits
verify() {
  local model="$1" kind="$2" seconds="$seconds_max" optimize=-O1
  shift 2
  local defines=() options=()
  case "$kind" in
    all) defines=(-DSAFETY -DCOLLAPSE) options=(-m100000) ;;
    few) defines=(-DSAFETY -DCOLLAPSE) options=(-m100000) optimize=-O0 ;;
    progress) defines=(-DNP -DNFAIR=3 -DCOLLAPSE) options=(-l -f -m100000) ;;
    part) defines=(-DSAFETY -DBITSTATE) options=(-w32 -m100000) seconds=25 ;;
  esac
  "$spin" -a "$@" "$model.pml" > spin.log 2>&1 || { cat spin.log; exit 1; }
  "$cc" "$optimize" -w -DMEMLIM=1900 "${defines[@]}" -o pan pan.c
  # Interrupted, the verifier prints what it has found so far.
  timeout -s INT "$seconds" ./pan "${options[@]}" > pan.log 2>&1 || true
  errors="$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.log)"
  states="$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)"
  complete=yes
  if grep -q -e "Search not completed" -e "max search depth too small" pan.log; then complete=no; fi
}

report() {
  if [[ "$1" == FAILED ]]; then
    tail -n 40 pan.log
  else
    rm failed
  fi
  printf '%-6s %12s states  %s\n' "$1" "$states" "$2"
}

# Starts one run, in a folder of its own, as soon as there is room.
start() {
  while (($(jobs -pr | wc -l) >= jobs_max)); do wait -n || true; done
  runs=$((runs + 1))
  mkdir "$dir/$runs"
  cp "$folder"/*.pml "$dir/$runs"
  (
    cd "$dir/$runs"
    touch failed  # Until the run has come to its end.
    trap 'cat report' EXIT
    "$@" > report
  ) &
}
good() { start run_good "$@"; }
bad() { start run_bad "$@"; }

run_good() {
  verify "$@"
  local verdict=FAILED
  if [[ "$errors" == 0 && ("$complete" == yes || "$2" == part) ]]; then verdict=ok; fi
  report "$verdict" "good: $*"
}

run_bad() {
  local model="$1"
  shift
  verify "$model" few "$@"
  local verdict=FAILED
  if [[ -n "$errors" && "$errors" != 0 ]]; then verdict=ok; fi
  report "$verdict" "found: $model $* -- $(sed -n 's/^pan:1: //p' pan.log)"
}

# A run with HOG includes those in which nobody hogs.
good park all -DN=2 -DOUTSIDE=2 -DCHILDREN=1 -DIO=0 -DHOG
good park all -DN=2 -DOUTSIDE=1 -DCHILDREN=1 -DIO=1
good park progress -DN=2 -DOUTSIDE=1 -DCHILDREN=0 -DIO=0
good park all -DN=3 -DASLEEP -DOUTSIDE=1 -DCHILDREN=1 -DIO=0 -DHOG
good park part -DN=3 -DASLEEP -DOUTSIDE=2 -DCHILDREN=0 -DIO=0 -DHOG

bad park -DN=2 -DIO=0 -DNO_RECHECK
bad park -DN=2 -DIO=0 -DNO_BARRIER
bad park -DN=2 -DIO=0 -DNO_DRIVER_RECHECK
bad park -DN=2 -DIO=0 -DPENDING_LATE
bad park -DN=2 -DIO=0 -DHOG -DNO_LAST_SEARCHER
bad park -DN=2 -DIO=0 -DHOG -DNO_SEARCH_AGAIN
bad park -DN=2 -DIO=0 -DHOG -DLOWER_EARLY
bad park -DN=3 -DASLEEP -DCHILDREN=0 -DIO=0 -DNO_RECHECK
bad park -DN=3 -DASLEEP -DCHILDREN=0 -DIO=0 -DNO_BARRIER
bad park -DN=3 -DASLEEP -DCHILDREN=0 -DIO=0 -DHOG -DNO_LAST_SEARCHER

good fork_deque all -DTHIEVES=2 -DPUSHES=4 -DN=1
good fork_deque few -DTHIEVES=2 -DPUSHES=3 -DN=2
good fork_deque few -DTHIEVES=2 -DPUSHES=3 -DN=1 -DREFUSED
good fork_deque few -DTHIEVES=2 -DPUSHES=3 -DN=1 -DLOWER_BEFORE_CAS
bad fork_deque -DNO_MEMBARRIER
bad fork_deque -DGATE_AFTER_BARRIER
bad fork_deque -DGATE_READ_EARLY
bad fork_deque -DNO_CAS_LAST
bad fork_deque -DLOWER_EARLY
bad fork_deque -DARRAY_EARLY

good fork_publish few -DN=2 -DFORKS=4
good fork_publish few -DN=2 -DFORKS=4 -DSTICKY
good fork_publish few -DN=2 -DFORKS=4 -DSTICKY -DBARRIER_LATE
good fork_publish few -DN=3 -DFORKS=2
good fork_publish few -DN=3 -DFORKS=2 -DSTICKY
good fork_publish progress -DN=2 -DFORKS=2 -DSTICKY
bad fork_publish -DSLEEP_NO_MEMBARRIER
bad fork_publish -DSTICKY -DSLEEP_NO_MEMBARRIER
bad fork_publish -DSTICKY -DFLAG_PLAIN

good fork_join few -DWORKERS=2 -DWAITS=2
good fork_join few -DWORKERS=3 -DWAITS=2
bad fork_join -DREPUSH
bad fork_join -DCOUNT_LATE

good slot_gate few -DTHIEVES=2 -DPUTS=3
good slot_gate few -DTHIEVES=2 -DPUTS=3 -DREFUSED
bad slot_gate -DNO_MEMBARRIER
bad slot_gate -DGATE_AFTER_BARRIER
bad slot_gate -DGATE_READ_EARLY
bad slot_gate -DNO_CLAIM
bad slot_gate -DLOWER_EARLY

good ring all -DTHIEVES=2 -DTASKS=4 -DN=2
good ring few -DTHIEVES=1 -DTASKS=5 -DN=4 -DWRAP=12
bad ring -DNO_COUNT
bad ring -DTELL_EARLY
bad ring -DTELL_NOT
bad ring -DNO_LOOK
bad ring -DNO_RESTORE
bad ring -DTAIL_EARLY
bad ring -DTRUST_TAIL
bad ring -DFREE_EARLY

wait || true
failures="$(find "$dir" -name failed | wc -l)"
if ((failures > 0)); then
  echo "$failures of the $runs runs did not do as they must"
  exit 1
fi
