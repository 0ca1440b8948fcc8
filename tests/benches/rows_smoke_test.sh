#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: rows_smoke_test.sh PROGRAM [OPTION...]
#
# Runs every row of PROGRAM at its smoke size, with the OPTIONs, and looks at the line that it prints. Ends with status
# 77 if the system refuses what a row needs, and nothing is wrong with the others.

set -euo pipefail
program=$1
shift

number='[0-9]+(\.[0-9]+)?'
readonly not_possible=3
readonly skipped=77
rows=0
refused_rows=0
failed=0

fail() {
  echo "FAILED: $*" >&2
  failed=1
}

# A command line that must be refused.
refused() {
  local status=0
  "$program" "$@" >/dev/null 2>&1 || status=$?
  [ "$status" -eq 2 ] || fail "$* ended with status $status, not 2"
}

while read -r row full smoke meaning; do
  rows=$((rows + 1))
  [ -n "$meaning" ] && [ "$smoke" -le "$full" ] || fail "$row: a bad line of --list"
  status=0
  line=$("$program" "$row" --size "$smoke" "$@") || status=$?
  echo "$line"
  if [ "$status" -eq "$not_possible" ]; then
    refused_rows=$((refused_rows + 1))
    continue
  fi
  if [ "$status" -ne 0 ]; then
    fail "$row ended with status $status"
    continue
  fi
  for key in ns_per_op wall_s ops cpu_s max_rss_kib workers; do
    [[ $line =~ \"$key\":\ $number[,}] ]] || fail "$row printed no $key"
  done
  [[ $line == "{\"row\": \"$row\", "*"\"size\": $smoke, "*"}" ]] || fail "$row printed: $line"
done < <("$program" --list)

[ "$rows" -gt 0 ] || fail "no rows"
refused
refused no_such_row
if [ "$failed" -eq 0 ] && [ "$refused_rows" -gt 0 ]; then exit "$skipped"; fi
exit "$failed"
