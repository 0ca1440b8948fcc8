#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# checksums_test.sh CHECKSUMS: holds the program against find and sha256sum, on a tree made for it.
set -euo pipefail
export LC_ALL=C

checksums=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

fail() {
  echo "FAILED: $*" >&2
  echo "--- stderr of the last run:" >&2
  cat "$dir/err" >&2
  exit 1
}

# expect_status STATUS ARGUMENT...: runs checksums; its output is in $dir/out and $dir/err.
expect_status() {
  local expected=$1 status=0
  shift
  "$checksums" "$@" >"$dir/out" 2>"$dir/err" || status=$?
  [[ $status == "$expected" ]] || fail "checksums $*: status $status, not $expected"
}

# expect_output FILE: its stdout was the same as FILE.
expect_output() { cmp "$1" "$dir/out" || fail "wrong output"; }

# expect_error LINE: LINE stands in its stderr, once.
expect_error() { [[ $(grep -cxF -- "$1" "$dir/err") == 1 ]] || fail "not once in stderr: $1"; }

# The reference: what checksums PATH prints.
reference() { find -H "$1" -type f -print0 | sort -z | xargs -0r sha256sum; }

# --- A tree -------------------------------------------------------------------------------------

chunk=262144
random() { head -c "$1" /dev/urandom; }

mkdir -p tree/a/b/c tree/empty "tree/with space" $'tree/new\nline' 'tree/back\slash'
: >tree/empty_file
random 1 >tree/one_byte
random $((chunk - 1)) >tree/a/chunk_less_one
random $chunk >tree/a/chunk
random $((chunk + 1)) >tree/a/b/chunk_and_one
random $((2 * chunk)) >tree/a/b/two_chunks
random $((3 << 20)) >tree/a/b/c/3_mib
random 100 >"tree/with space/a file"
random 100 >$'tree/new\nline/in\nname'
random 100 >$'tree/carriage\rreturn'
random 100 >'tree/back\slash/a\name'
random 100 >tree/$'not utf-8 \xff'
random 100 >tree/-dash
# So that "a" and what is in it do not stand together by chance.
random 100 >tree/a.file
random 100 >tree/a-file
for i in {1..300}; do echo "$i" >"tree/a/small_$i"; done
ln -s one_byte tree/link_to_file
ln -s .. tree/link_to_parent
ln -s nowhere tree/dangling
mkfifo tree/fifo

reference tree >expected
[[ $(wc -l <expected) == 315 ]] || fail "the test's own tree is wrong"

# --- The same as sha256sum, whatever the options ------------------------------------------------

expect_status 0 tree
expect_output expected
[[ $(wc -l <err) == 1 ]] || fail "more on stderr than the summary"
n='[0-9.]+'
summary="checksums: 315 files, $n MB in $n s, $n MB/s; $n tasks run, $n steals; 0 errors"
grep -qxE "$summary" err || fail "no summary"
sha256sum --check --quiet out || fail "sha256sum --check"

for _ in 1 2 3; do
  expect_status 0 tree
  expect_output expected
done
for options in "--workers 1" "--workers 8 --open 1" "--workers=2 --open=2 --blocking=1" \
  "--blocking 8 --open 300"; do
  # shellcheck disable=SC2086  # Several words.
  expect_status 0 $options tree
  expect_output expected
done

# --- What a PATH can be -------------------------------------------------------------------------

{ reference tree/a/b; sha256sum tree/one_byte; reference tree/a/b; } >expected_paths
expect_status 0 tree/a/b tree/one_byte tree/a/b
expect_output expected_paths


for path in tree/ tree// "$dir/tree/a" tree/link_to_file tree/link_to_parent/tree/a/b tree/empty; do
  reference "$path" >expected_path
  expect_status 0 "$path"
  expect_output expected_path
done
cd tree
reference . >../expected_path
expect_status 0 .
expect_output ../expected_path
sha256sum -- -dash >../expected_path
expect_status 0 --open 1 -- -dash
expect_output ../expected_path
cd ..

# --- What cannot be read: a line each, status 1, and the rest all the same ----------------------

expect_status 1 nowhere tree $'no\nwhere' tree/fifo
expect_output expected
expect_error "checksums: nowhere: No such file or directory"
expect_error 'checksums: no\nwhere: No such file or directory'
expect_error "checksums: tree/fifo: Not a regular file or directory"
[[ $(wc -l <err) == 4 ]] || fail "not three errors and the summary"

# A file that opens and then cannot be read, even by root: nothing is mapped at address 0.
expect_status 1 tree/one_byte /proc/self/mem tree/a/b
{ sha256sum tree/one_byte; reference tree/a/b; } >expected_paths
expect_output expected_paths
expect_error "checksums: /proc/self/mem: Input/output error"

# A directory that cannot be listed, even by root: its path is too long.
name=$(printf 'n%.0s' {1..255})
mkdir deep
random 10 >deep/file
(cd deep && for i in {1..17}; do mkdir "$name" && cd "$name"; done)
reference deep >expected_path
expect_status 1 deep
expect_output expected_path
[[ $(grep -c ': File name too long$' err) == 1 ]] || fail "not one 'File name too long'"

if [[ $(id -u) != 0 ]]; then
  mkdir locked
  random 10 >locked/file
  random 10 >locked/secret
  mkdir locked/room
  chmod 000 locked/secret locked/room
  sha256sum locked/file >expected_path
  expect_status 1 locked
  expect_output expected_path
  expect_error "checksums: locked/secret: Permission denied"
  expect_error "checksums: locked/room: Permission denied"
  chmod 700 locked/room
fi

# --- What cannot be written ---------------------------------------------------------------------

# expect_stdout_error CAUSE: stdout is the caller's.
expect_stdout_error() {
  local status=0
  "$checksums" tree 2>err || status=$?
  [[ $status == 1 ]] || fail "status $status, not 1, with stdout: $1"
  expect_error "checksums: stdout: $1"
}
expect_stdout_error "No space left on device" >/dev/full
expect_stdout_error "Bad file descriptor" >&-
# A pipe whose reader has gone: opened for both, as otherwise each end waits for the other.
mkfifo pipe
exec 3<>pipe 4>pipe 3>&-
expect_stdout_error "Broken pipe" >&4
exec 4>&-

# --- The command line ---------------------------------------------------------------------------

expect_usage_error() {
  local message=$1
  shift
  expect_status 2 "$@"
  [[ ! -s out ]] || fail "output on stdout"
  expect_error "checksums: $message"
  grep -q '^Usage: checksums ' err || fail "no usage"
}
expect_usage_error "no PATH given"
expect_usage_error "no PATH given" --workers 2
expect_usage_error "unknown option '--frobnicate'" --frobnicate tree
expect_usage_error "unknown option '-w'" -w 2 tree
expect_usage_error "--workers needs a number" tree --workers
expect_usage_error "--workers: '0' is not a number from 1 to 1024" --workers 0 tree
expect_usage_error "--blocking: '-1' is not a number from 1 to 1024" --blocking -1 tree
expect_usage_error "--open: '4x' is not a number from 1 to 1024" --open=4x tree
expect_usage_error "--open: '' is not a number from 1 to 1024" --open= tree
expect_usage_error "--open: '99999999999' is not a number from 1 to 1024" --open 99999999999 tree

expect_status 0 --help
grep -q '^Usage: checksums ' out || fail "no usage"
[[ ! -s err ]] || fail "output on stderr"

# --- The progress bar ---------------------------------------------------------------------------

# script(1) gives it a terminal.
if command -v script >/dev/null; then
  status=0
  script --quiet --return --command "$(printf %q "$checksums") nowhere tree >out" typescript \
    >/dev/null || status=$?
  [[ $status == 1 ]] || fail "status $status, not 1, on a terminal"
  expect_output expected
  tr -d '\r' <typescript >err
  grep -qF $'\e[Klisting: ' err || fail "no bar on a terminal"
  # What stands before the error and the summary has been erased.
  grep -qF $'\e[Kchecksums: nowhere: No such file' err || fail "the bar runs into the error"
  grep -qF $'\e[Kchecksums: 315 files, ' err || fail "the bar runs into the summary"
fi

echo "OK"
