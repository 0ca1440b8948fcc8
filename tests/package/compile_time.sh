#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# compile_time.sh COMPILER SOURCE_DIR: compiles examples/hello.cc and says how much CPU time that took. A busy machine
# takes longer, so nothing is compared; it should be less than 3 s unoptimized, two thirds of which are Abseil's and the
# standard library's headers.
set -euo pipefail

TIMEFORMAT='%3U + %3S s of CPU time, user + system'
printf 'examples/hello.cc, unoptimized: '
{ time "$1" -std=c++20 -I"$2/include" -c "$2/examples/hello.cc" -o /dev/null; } 2>&1
