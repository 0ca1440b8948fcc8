#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# examples_test.sh NAME PROGRAM: runs an example as its head comment says, and checks what it prints.
set -euo pipefail
export LC_ALL=C

name=$1
program=$(realpath "$2")
dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"

fail() {
  printf 'FAILED: %s: %s\n--- what it printed:\n' "$name" "$*" >&2
  cat out >&2
  exit 1
}
# Runs it with the arguments; it must succeed.
run() { "$program" "$@" >out 2>err || fail "status $?: $(cat err)"; }
# Its whole output is what stdin says.
prints() { diff - out >&2 || fail "other output"; }
# Some line of it matches.
matches() { grep -Eq -- "$1" out || fail "no line matches $1"; }
# A mistake in the command line is told, with status 2.
refuses() {
  local status=0
  "$program" "$@" >out 2>err || status=$?
  [[ $status == 2 ]] || fail "status $status for $*"
  grep -q '^usage: ' err || fail "no usage for $*"
}
# Starts a server with the arguments; $address is where it listens.
serve() {
  : >out  # Or the last one's address might be read.
  "$program" "$@" >out 2>err &
  pids+=($!)
  for _ in $(seq 500); do
    address=$(sed -n 's/^listening at //p' out)
    [[ -n $address ]] && return
    sleep 0.02
  done
  fail "does not listen: $(cat err)"
}
# Waits until a file has a line that matches.
wait_for() {
  for _ in $(seq 500); do
    grep -Eq -- "$2" "$1" && return
    sleep 0.02
  done
  fail "$1 has no line that matches $2: $(cat "$1")"
}
# Opens file descriptor $1 on a connection to the server.
connect() { eval "exec $1<>/dev/tcp/${address%:*}/${address##*:}"; }

case $name in
  hello)
    run && prints <<<"Hello, world!"
    run Ada Grace && prints <<<$'Hello, Ada!\nHello, Grace!'
    ;;
  phase1_executor)
    run && prints <<'END'
current thread: run 1+2 = 3
current thread: spawn 1+2 = 3
current thread: aborted: yes
multi-thread: run 1+2 = 3
multi-thread: spawn 1+2 = 3
multi-thread: aborted: yes
END
    ;;
  phase2_tcp_accept)
    run 127.0.0.1:0
    matches '^listening at 127\.0\.0\.1:[0-9]+$'
    matches '^accepted, and read: hello over TCP$'
    refuses nonsense
    ;;
  phase3_priorities)
    run 100
    matches '^kHigh: 100 runs, late by p50 [0-9]+ us, p99 [0-9]+ us, at most [0-9]+ us$'
    matches '^kLow: [1-9][0-9]* rounds of 50 us meanwhile$'
    refuses 0
    ;;
  phase4_pools)
    run 3 && prints <<<"3 pools, 1000 rounds: 6000"
    refuses 65
    ;;
  pipeline)
    run 200 && prints <<'END'
sum of the squares of 1 to 200: 2686700
the source waited for the stages
END
    refuses 0
    ;;
  promise_all)
    run file && prints <<<$'file: written\nserver: received 13 bytes'
    [[ $(cat file) == "to the file" ]] || fail "the file has: $(cat file)"
    refuses
    ;;
  joinset_fetch)
    run
    for id in 0 1 2 4 5 6 8 9 10; do matches "^Fetched: \\{\"id\": $id\\}\$"; done
    matches '^Request failed: NOT_FOUND: todo 7$'
    matches '^Task failed: todo 3 is no JSON$'
    [[ $(wc -l <out) == 11 ]] || fail "not 11 lines"
    ;;
  port_scanner)
    "$(dirname "$program")/echo_server" 127.0.0.1:0 >open_port &
    pids+=($!)
    wait_for open_port '^listening at '
    port=$(sed 's/.*://' open_port)
    run 127.0.0.1 "$((port - 5))-$((port + 5 > 65535 ? 65535 : port + 5))"
    matches "^127\\.0\\.0\\.1:$port is open\$"
    refuses 127.0.0.1 9-1
    ;;
  password_check)
    run gull skua && prints <<<$'gull: wrong\nskua: right'
    ;;
  event_loop)
    run
    [[ $(head -n 1 out) == "main is through" ]] || fail "a callback came first"
    [[ $(tail -n 1 out) == "nothing is pending" ]] || fail "it ended before all was done"
    [[ $(grep -c '^crypto: ' out) == 6 ]] || fail "not all crypto jobs have called back"
    matches '^file: '
    matches '^http: a slow answer$'
    matches '^timer: 30 ms$'
    matches '^timer set by a timer: 10 ms$'
    matches '^immediate: 0 ms$'
    ;;
  echo_server)
    serve 127.0.0.1:0
    connect 4
    printf 'one\ntwo\n' >&4
    read -r -t 60 first <&4
    read -r -t 60 second <&4
    [[ "$first $second" == "one two" ]] || fail "echoed $first $second"
    refuses nonsense
    ;;
  chat_server)
    serve 127.0.0.1:0
    connect 4
    echo ada >&4
    read -r -t 60 line <&4
    [[ $line == "ada is here" ]] || fail "ada reads: $line"
    connect 5
    echo grace >&5
    read -r -t 60 line <&4
    [[ $line == "grace is here" ]] || fail "ada reads: $line"
    echo "hello" >&5
    read -r -t 60 line <&4
    [[ $line == "grace: hello" ]] || fail "ada reads: $line"
    exec 5>&-
    read -r -t 60 line <&4
    [[ $line == "grace has left" ]] || fail "ada reads: $line"
    ;;
  tail_follow)
    echo one >log
    "$program" log 8 >out 2>err &
    pids+=($!)
    wait_for out '^one$'
    echo two >>log
    wait "${pids[-1]}" || fail "status $?"
    prints <<<$'one\ntwo'
    "$program" log >out 2>err &
    pids+=($!)
    wait_for out '^two$'
    rm log
    wait "${pids[-1]}" || fail "status $? when the file was deleted"
    refuses
    ;;
  graceful_shutdown)
    # One connection finishes after the signal, the other one never does.
    serve 127.0.0.1:0 1
    connect 4
    connect 5
    echo one >&4 && read -r -t 60 line <&4
    echo two >&5 && read -r -t 60 line <&5
    kill -TERM "${pids[-1]}"
    wait_for out '^signal 15: 2 connections to finish$'
    exec 4>&-
    wait "${pids[-1]}" || fail "status $?"
    matches '^time is up, 1 cut off$'
    # All finish.
    serve 127.0.0.1:0 60
    connect 4
    echo one >&4 && read -r -t 60 line <&4
    kill -INT "${pids[-1]}"
    wait_for out '^signal 2: 1 connections to finish$'
    exec 4>&-
    wait "${pids[-1]}" || fail "status $?"
    matches '^all have finished, 0 cut off$'
    ;;
  *)
    fail "no test for it"
    ;;
esac
