#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# usage: peer_programs_test.sh go|tokio FOLDER ECHO_LOAD
#
# Builds in FOLDER the programs of a peer that CMake does not build, quickly rather than well; runs each row at its
# smoke size, and lets ECHO_LOAD ask the echo server. Ends with status 77 if what they are built with is not there.

set -euo pipefail
readonly not_installed=77
peer=$1
folder=$2
echo_load=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=$here/../../benches/peers/$peer
mkdir -p "$folder"

skip() {
  echo "skipped: $*"
  exit "$not_installed"
}

build_go() {
  local go
  go=$(command -v go || command -v /usr/lib/go/bin/go) || skip "no Go"
  export GOCACHE=$folder/cache GOFLAGS=-buildvcs=false GOPROXY=off
  (cd "$sources" && "$go" build -o "$folder/go_rows" . && "$go" build -o "$folder/go_echo" ./echo)
  programs=$folder
}

build_tokio() {
  # Debian's own, which fit its crates.
  [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] || skip "no cargo, no rustc"
  compgen -G '/usr/share/cargo/registry/tokio-1.*' >/dev/null || skip "no crate of Tokio"
  # In a copy: cargo writes its lock file beside the sources. With their times, or it would build again.
  mkdir -p "$folder/sources"
  cp -rp "$sources/." "$folder/sources"
  (cd "$folder/sources" &&
    CARGO_HOME=$folder/home CARGO_TARGET_DIR=$folder/target CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 \
      RUSTC=/usr/bin/rustc /usr/bin/cargo build --quiet --offline --no-default-features)
  programs=$folder/target/debug
}

# An echo server, started with the options, answers so many requests, and ends when its stdin does.
echoes() {
  local requests=$1 line status=0
  shift
  coproc server { exec "$programs/${peer}_echo" "$@"; }
  local server_id=$server_PID
  read -r line <&"${server[0]}"
  "$echo_load" --port "${line#listening on }" --connections 2 --requests "$requests" --warm-up 0
  exec {server[1]}>&-
  wait "$server_id" || status=$?
  [ "$status" -eq 0 ] || { echo "FAILED: ${peer}_echo $* ended with status $status" >&2; exit 1; }
}

"build_$peer"
"$here/rows_smoke_test.sh" "$programs/${peer}_rows"
echoes 200 --workers 1
echoes 20 --workers 2 --hog
