#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Verifies park.pml: the good models must pass, and each fault must be found.
#
#   run_model.sh [spin]
#
# Exits with 77 (ctest: skipped) if spin or a C compiler is missing. Takes 2 minutes, one core, 1 GB.
set -euo pipefail

spin="${1:-spin}"
cc="${CC:-cc}"
model="$(cd "$(dirname "$0")" && pwd)/park.pml"

for tool in "$spin" "$cc"; do
  if ! command -v "$tool" > /dev/null; then
    echo "SKIPPED: $tool is not installed (Debian: apt-get install spin gcc)"
    exit 77
  fi
done

dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cp "$model" .
failures=0

# verify KIND SECONDS [-DNAME...]: runs the verifier, sets `errors` and `states`.
#   all      every state
#   progress every state, and no cycle without progress under weak fairness
#   part     as many states as SECONDS allow, in a hash table of bits
verify() {
  local kind="$1" seconds="$2"
  shift 2
  local defines=() options=()
  case "$kind" in
    all) defines=(-DSAFETY -DCOLLAPSE) options=(-m100000) ;;
    progress) defines=(-DNP -DNFAIR=3 -DCOLLAPSE) options=(-l -f -m100000) ;;
    part) defines=(-DSAFETY -DBITSTATE) options=(-w32 -m100000) ;;
  esac
  "$spin" -a "$@" park.pml > spin.log 2>&1 || { cat spin.log; exit 1; }
  "$cc" -O2 -w -DMEMLIM=1900 "${defines[@]}" -o pan pan.c
  # Interrupted, the verifier prints what it has found so far.
  timeout -s INT "$seconds" ./pan "${options[@]}" > pan.log 2>&1 || true
  errors="$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.log)"
  states="$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)"
  complete=yes
  if grep -q -e "Search not completed" -e "max search depth too small" pan.log; then complete=no; fi
}

report() {
  printf '%-6s %12s states  %s\n' "$1" "$states" "$2"
  if [[ "$1" == FAILED ]]; then
    failures=$((failures + 1))
    tail -n 40 pan.log
  fi
}

good() {
  local kind="$1"
  verify "$@"
  shift 2
  local verdict=FAILED
  if [[ "$errors" == 0 && ("$complete" == yes || "$kind" == part) ]]; then verdict=ok; fi
  report "$verdict" "good ($kind): $*"
}

bad() {
  verify all 60 "$@"
  local verdict=FAILED
  if [[ -n "$errors" && "$errors" != 0 ]]; then verdict=ok; fi
  report "$verdict" "found: $* -- $(sed -n 's/^pan:1: //p' pan.log)"
}

# A run with HOG includes those in which nobody hogs.
good all 120 -DN=2 -DOUTSIDE=2 -DCHILDREN=1 -DIO=0 -DHOG
good all 120 -DN=2 -DOUTSIDE=1 -DCHILDREN=1 -DIO=1
good progress 120 -DN=2 -DOUTSIDE=1 -DCHILDREN=0 -DIO=0
good all 120 -DN=3 -DASLEEP -DOUTSIDE=1 -DCHILDREN=1 -DIO=0 -DHOG
good part 25 -DN=3 -DASLEEP -DOUTSIDE=2 -DCHILDREN=0 -DIO=0 -DHOG

bad -DN=2 -DIO=0 -DNO_RECHECK
bad -DN=2 -DIO=0 -DNO_BARRIER
bad -DN=2 -DIO=0 -DNO_DRIVER_RECHECK
bad -DN=2 -DIO=0 -DPENDING_LATE
bad -DN=2 -DIO=0 -DHOG -DNO_LAST_SEARCHER
bad -DN=2 -DIO=0 -DHOG -DNO_SEARCH_AGAIN
bad -DN=2 -DIO=0 -DHOG -DLOWER_EARLY
bad -DN=3 -DASLEEP -DCHILDREN=0 -DIO=0 -DNO_RECHECK
bad -DN=3 -DASLEEP -DCHILDREN=0 -DIO=0 -DNO_BARRIER
bad -DN=3 -DASLEEP -DCHILDREN=0 -DIO=0 -DHOG -DNO_LAST_SEARCHER

if ((failures > 0)); then
  echo "$failures of the runs did not do as they must"
  exit 1
fi
