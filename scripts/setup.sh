#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what building and testing Skua needs on Debian 12. Does nothing, quickly, when nothing is
# missing. Without the right to install it prints the one command to run, and exits with status 1.

set -euo pipefail

packages=(
  cmake ninja-build pkg-config
  clang-19 libclang-rt-19-dev g++
  liburing-dev libconcurrentqueue-dev libabsl-dev
  libgtest-dev libgmock-dev libbenchmark-dev libssl-dev libhttp-parser-dev
  curl netcat-openbsd socat wrk
  python3
  spin dpkg-dev file
)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  missing=()
  for tool in cmake ninja pkg-config clang++-19 g++; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if [ "${#missing[@]}" -eq 0 ]; then
    exit 0  # The libraries are CMake's to find; it names what is missing.
  fi
  cat >&2 <<EOF
This is not a Debian system, and these commands are missing: ${missing[*]}
Install them, and the libraries below, in this system's own way:
  tools      CMake 3.24+, Ninja, pkg-config, Clang 19 (as clang++-19) with its sanitizers, g++ 12+
  libraries  liburing 2.3+, Abseil 20220623+, moodycamel concurrentqueue 1.0.3+,
             GoogleTest and GoogleMock 1.12+, Google Benchmark 1.7+, OpenSSL 3, http_parser 2.9
  in tests   curl, nc (OpenBSD's), socat, wrk; Python 3.9+ for those of scripts/compare
On Debian 12 the packages are: ${packages[*]}
EOF
  exit 1
fi

# "Package: state", one a line, for the packages that dpkg knows.
installed=$(dpkg-query --show --showformat='${Package}: ${db:Status-Status}\n' "${packages[@]}" \
  2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  if ! grep -Fqx "$package: installed" <<<"$installed"; then
    missing+=("$package")
  fi
done
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    cat >&2 <<EOF
These packages are missing, and installing them needs root. Run this, then try again:

  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}

EOF
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -q --no-install-recommends "${missing[@]}"; then
  cat >&2 <<EOF
apt-get could not install: ${missing[*]}
All of them are in Debian 12 with its updates (main). On another release, take Clang 19 from
https://apt.llvm.org and the others from the release.
EOF
  exit 1
fi
