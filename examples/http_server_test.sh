#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# http_server_test.sh SERVER: what curl, wrk, nc and clients of a few bytes see of the server.
set -euo pipefail
export LC_ALL=C

server=$(realpath "$1")
dir=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"

fail() {
  echo "FAILED: $*" >&2
  for file in out err server.out server.err; do
    [[ ! -s $file ]] || { echo "--- $file:"; head -c 2000 "$file"; } >&2
  done
  exit 1
}

# start OPTION...: starts the server at a free port; sets $pid, $port and $url.
start() {
  : >server.out  # Or the last one's might be read.
  "$server" --listen 127.0.0.1:0 --workers 2 "$@" >server.out 2>server.err &
  pid=$!
  while ! grep -q listening server.out; do
    kill -0 "$pid" 2>/dev/null || fail "the server does not start"
    read -rt 0.02 <> <(:) || true
  done
  url=$(sed -n 's/.*listening at \(.*\)$/\1/p' server.out)
  port=${url%/}
  port=${port##*:}
}

# stop [SIGNAL]: ends the server, which says nothing and is content.
stop() {
  local status=0
  kill -"${1:-TERM}" "$pid"
  wait "$pid" || status=$?
  pid=
  [[ $status == 0 ]] || fail "the server ends with status $status"
  [[ ! -s server.err ]] || fail "the server complains"
}

# expect_code CODE CURL_ARGUMENT...: curl gets an answer with this status; its body is in $dir/out.
expect_code() {
  local expected=$1 code
  shift
  code=$(curl -sS --max-time 60 -o out -w '%{http_code}' "$@" 2>err) || fail "curl $*"
  [[ $code == "$expected" ]] || fail "curl $*: $code, not $expected"
}

# raw: sends what it reads, and prints what the server answers until that hangs up.
raw() { timeout 60 nc -N 127.0.0.1 "$port"; }

# expect_raw PATTERN COUNT: so many lines of $dir/out match.
expect_raw() {
  [[ $(grep -c -- "$1" out) == "$2" ]] || fail "not $2 lines with $1"
}

# --- The command line ---------------------------------------------------------------------------

"$server" --help >out || fail "--help"
grep -q '^Usage: http_server' out || fail "--help"
for wrong in --nothing '--workers 0' '--listen nowhere' '--idle-ms=x' --workers; do
  status=0
  # shellcheck disable=SC2086
  "$server" $wrong >out 2>err || status=$?
  [[ $status == 2 ]] || fail "$wrong: status $status, not 2"
  grep -q '^http_server: ' err || fail "$wrong: no message"
done

# --- Answers ------------------------------------------------------------------------------------

start --headers-bytes 4096 --body-bytes 1000
status=0
"$server" --listen "127.0.0.1:$port" >out 2>err || status=$?
[[ $status == 1 ]] || fail "a second server at the same port: status $status, not 1"
grep -q "127.0.0.1:$port" err || fail "a second server at the same port: the message names no address"

expect_code 200 "${url}hello"
[[ $(<out) == "Hello, world!" ]] || fail "another greeting"
expect_code 200 "${url}hello?to=you"
expect_code 200 "$url"
expect_code 404 "${url}nothing"
expect_code 200 "${url}bytes/1000000"
[[ $(stat -c %s out) == 1000000 ]] || fail "not all bytes"
expect_code 404 "${url}bytes/1000000000"
expect_code 200 --head "${url}hello"
grep -q '^Content-Length: 14' out || fail "HEAD without a length"
grep -q '^Date: .* GMT' out || fail "no date"
expect_code 405 -d some=data "${url}hello"
expect_code 405 -X DELETE "${url}hello"

# One connection for all of them.
curl -sS -v "${url}hello" "${url}nothing" "${url}hello" >out 2>err || fail "curl"
[[ $(grep -c 'Re-using existing connection' err) == 2 ]] || fail "the connection is not kept"
expect_code 200 --http1.0 "${url}hello"

get='GET /hello HTTP/1.1\r\nHost: x\r\n\r\n'
last='GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
# A pipeline, with a body in it that is thrown away.
printf "$get${get}POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345$get$last$get" |
  raw >out
expect_raw '^HTTP/1.1 200 OK' 4
expect_raw '^HTTP/1.1 405 ' 1
expect_raw '^Connection: close' 1
# Far more answers than are sent together.
for i in {1..500}; do printf "$get"; done | raw >out
expect_raw '^HTTP/1.1 200 OK' 500
# A segment for each byte.
exec 3<>"/dev/tcp/127.0.0.1/$port"
text="GET /hello HTTP/1.1"$'\r\n'"Host: x"$'\r\n'"Connection: close"$'\r\n\r\n'
for ((i = 0; i < ${#text}; ++i)); do printf '%s' "${text:i:1}" >&3; done
cat <&3 >out
exec 3>&-
expect_raw '^HTTP/1.1 200 OK' 1

# --- What is refused ----------------------------------------------------------------------------

expect_code 501 -H 'Transfer-Encoding: chunked' -d data "${url}hello"
expect_code 413 -H 'Expect:' --data-binary @<(head -c 1001 /dev/zero) "${url}hello"
expect_code 413 -H 'Expect:' --data-binary @<(head -c 500000 /dev/zero) "${url}hello"
expect_code 405 --data-binary @<(head -c 1000 /dev/zero) "${url}hello"
expect_code 431 -H "X: $(head -c 5000 /dev/zero | tr '\0' x)" "${url}hello"
expect_code 431 "${url}$(head -c 100000 /dev/zero | tr '\0' x)"
for bad in 'nonsense\r\n\r\n' 'GET /hello HTTP/1.1\r\n\r\n' \
  'GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n' \
  'GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'; do
  printf "$bad$get" | raw >out
  expect_raw '^HTTP/1.1 400 ' 1
  expect_raw '^HTTP/1.1 200 ' 0
done

# --- Many clients -------------------------------------------------------------------------------

wrk -t 2 -c 50 -d 1s --timeout 60s "${url}hello" >out || fail "wrk"
if grep -qE 'Socket errors|Non-2xx' out; then fail "wrk meets errors"; fi
grep -q 'Requests/sec' out || fail "wrk counts nothing"
stop INT

# --- Slow clients -------------------------------------------------------------------------------

start --idle-ms 200 --request-ms 200 --write-ms 200 --connections 4
# Says nothing; and does not end: it is hung up on without a word.
exec 3<>"/dev/tcp/127.0.0.1/$port"
cat <&3 >out
exec 3>&-
[[ ! -s out ]] || fail "an idle client is told something"
# Begins a request, and goes on a byte at a time, without end.
exec 3<>"/dev/tcp/127.0.0.1/$port"
{
  printf 'GET /hello HTTP/1.1\r\nX: ' >&3
  while printf x >&3; do read -rt 0.05 <> <(:) || true; done
} 2>/dev/null &
dripping=$!
cat <&3 >out 2>/dev/null || true
exec 3>&-
expect_raw '^HTTP/1.1 408 ' 1
wait "$dripping" || true
# Reads nothing of 200 answers, 200 MB: more than the kernel keeps.
exec 3<>"/dev/tcp/127.0.0.1/$port"
for i in {1..200}; do printf 'GET /bytes/1000000 HTTP/1.1\r\nHost: x\r\n\r\n'; done >&3
# It takes one of four places, until its time is up. Four clients at a time need it.
wrk -t 1 -c 4 -d 1s "${url}hello" >out || fail "wrk"
received=$(cat <&3 2>/dev/null | wc -c) || true
exec 3>&-
((received < 200000000)) || fail "a client that does not read gets everything"
stop

# --- The end ------------------------------------------------------------------------------------

start
# One waits between two requests, one is in the middle of a request.
exec 3<>"/dev/tcp/127.0.0.1/$port" 4<>"/dev/tcp/127.0.0.1/$port"
printf "$get" >&3
head -n 1 <&3 >out
expect_raw '^HTTP/1.1 200 OK' 1
# With the answer to the first request it has read what came with it.
printf "${get}GET /hello HTTP/1.1\r\nHost: x\r\n" >&4
read -r line <&4
[[ $line == 'HTTP/1.1 200 OK'* ]] || fail "no answer"
kill -TERM "$pid"
cat <&3 >/dev/null  # Ends at once.
while curl -s -o /dev/null "${url}hello"; do :; done
printf '\r\n' >&4
cat <&4 >out
expect_raw '^HTTP/1.1 200 OK' 1  # The first one's line was read above.
expect_raw '^Connection: close' 1
exec 3>&- 4>&-
status=0
wait "$pid" || status=$?
pid=
[[ $status == 0 ]] || fail "the graceful end has status $status"

# A request that does not end is not waited for longer than said.
start --grace-ms 100 --request-ms 60000
exec 4<>"/dev/tcp/127.0.0.1/$port"
printf "${get}GET /hello" >&4
read -r line <&4
stop
exec 4>&-
echo "All is well."
