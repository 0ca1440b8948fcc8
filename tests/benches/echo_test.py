# SPDX-License-Identifier: Apache-2.0
"""usage: echo_test.py FOLDER

The echo servers and the load generator, built in FOLDER, for a moment each: that all of it works, and that a server
that does it wrong is found out.
"""

import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import textwrap
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

from compare import echo  # noqa: E402
from compare.tables import EchoLoad  # noqa: E402

FOLDER = pathlib.Path()
TIMEOUT_S = 60
CLOSED = EchoLoad(connections=3)
OPEN = EchoLoad(connections=3, rate=500)

# An echo server in few lines; what it does with a message is to be filled in.
SERVER = """\
    import os, socket, sys, threading, time
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening on", listener.getsockname()[1], flush=True)
    def serve(stream, number):
        while message := stream.recv(4096):
            {answer}
    def accept():
        for number in range(1000):
            threading.Thread(target=serve, args=(listener.accept()[0], number), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()
    {end}
    """


class EchoTest(unittest.TestCase):
    def run_load(self, server, load, environment=None):
        return self.run_loads([server], load, environment)

    def run_loads(self, servers, load, environment=None):
        commands = [[str(part) for part in server] for server in servers]
        return echo.run_load(
            [echo.Server(command, environment or {}) for command in commands],
            FOLDER / "echo_load",
            load,
            seconds=0.05,
            timeout_s=TIMEOUT_S,
        )

    def figures(self, server, load, environment=None):
        result = self.run_load(server, load, environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        figures = json.loads(result.stdout)
        self.assertGreater(figures["ops"], 0)
        self.assertGreater(figures["requests_per_s"], 0)
        self.assertGreater(figures["cpu_s"], 0)
        self.assertGreater(figures["max_rss_kib"], 0)
        self.assertLess(0, figures["p50_us"])
        self.assertLessEqual(figures["p50_us"], figures["p99_us"])
        self.assertLessEqual(figures["p99_us"], figures["p999_us"])
        self.assertLessEqual(figures["p999_us"], figures["max_us"])
        return figures

    def test_skua_echoes_on_both_backends(self):
        for backend in ("uring", "epoll"):
            for workers in (1, 2):
                with self.subTest(backend=backend, workers=workers):
                    server = [FOLDER / "skua_echo", "--workers", workers]
                    self.figures(server, CLOSED, {"SKUA_IO": backend})
                    self.figures([*server, "--eager", "--hog"], OPEN, {"SKUA_IO": backend})

    def test_skua_echoes_by_both_engines(self):
        for engine in ("readiness", "completion"):
            for workers in (1, 2):
                with self.subTest(engine=engine, workers=workers):
                    server = [FOLDER / "skua_echo", "--workers", workers, "--engine", engine]
                    self.figures(server, CLOSED)
                    self.figures([*server, "--eager", "--hog"], OPEN)

    def test_the_peers_echo(self):
        for name in ("epoll_echo", "uring_echo", "asio_echo", "uv_echo"):
            if not (FOLDER / name).exists():
                continue  # Asio and libuv may not be installed.
            with self.subTest(server=name):
                self.figures([FOLDER / name], CLOSED)
                self.figures([FOLDER / name, "--workers", 1], OPEN)
                if name == "asio_echo":
                    self.figures([FOLDER / name, "--per-thread"], CLOSED)

    def test_several_servers_are_asked_in_turn(self):
        servers = [[FOLDER / "skua_echo", "--workers", workers] for workers in (1, 2)]
        for load in (CLOSED, OPEN, dataclasses.replace(OPEN, idle=2)):
            with self.subTest(load=load):
                result = self.run_loads([*servers, servers[0]], load)
                self.assertEqual(result.returncode, 0, result.stderr)
                figures = [json.loads(line) for line in result.stdout.splitlines()]
                self.assertEqual(len({each["port"] for each in figures}), 3)
                for each in figures:
                    self.assertGreater(each["ops"], 0)
                    self.assertGreater(each["cpu_s"], 0)
                    self.assertGreater(each["p50_us"], 0)

    def test_of_several_servers_the_bad_one_is_named(self):
        bad = self.bad_server("stream.sendall(message[:-1] + b'?')")
        result = self.run_loads([[FOLDER / "skua_echo"], bad], CLOSED)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, "^echo_load: port [0-9]+: wrong answer: other bytes")

    def test_turns_in_which_nothing_counts_are_too_short(self):
        # It answers none but the requests that a turn begins with.
        slow = self.bad_server("time.sleep(0.05); stream.sendall(message)")
        with echo.running([str(part) for part in slow], {}) as (one, _):
            with echo.running([str(part) for part in slow], {}) as (other, _):
                result = subprocess.run(
                    [FOLDER / "echo_load", "--port", str(one), "--port", str(other)]
                    + ["--turn", "0.01", "--seconds", "0.02", "--warm-up", "0"],
                    capture_output=True,
                    text=True,
                )
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("the turns are too short", result.stderr)

    def test_an_idle_connection_takes_less_than_two_kib_and_the_frame_of_its_task(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(2000, most - 100)
        for backend in ("uring", "epoll"):
            load = EchoLoad(connections=2, idle=count)
            figures = self.figures([FOLDER / "skua_echo"], load, {"SKUA_IO": backend})
            self.assertEqual(figures["idle"], count)
            # The task keeps a buffer of 1 KiB in its frame.
            self.assertLess(figures["idle_bytes"], 2048 + 1024 + 512)

    # --- Servers that do it wrong -----------------------------------------------------------------

    def bad_server(self, answer, end="os._exit(0)"):
        file = tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8")
        self.addCleanup(file.close)
        file.write(textwrap.dedent(SERVER).format(answer=answer, end=end))
        file.flush()
        return [sys.executable, file.name]

    def assert_found_out(self, answer, message):
        for load in (CLOSED, OPEN):
            result = self.run_load(self.bad_server(answer), load)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stdout, "")
            self.assertIn(message, result.stderr)

    def test_a_right_answer_in_parts_is_right(self):
        self.figures(
            self.bad_server("stream.sendall(message[:5]); stream.sendall(message[5:])"), CLOSED
        )

    def test_other_bytes_are_found_out(self):
        self.assert_found_out("stream.sendall(message[:-1] + b'?')", "wrong answer: other bytes")
        # Its own, but of another connection.
        self.assert_found_out(
            "stream.sendall(message[:8] + bytes([number + 99]) + message[9:])", "wrong answer"
        )

    def test_more_bytes_are_found_out(self):
        self.assert_found_out("stream.sendall(message + b'x')", "wrong answer: more bytes")

    def test_a_lost_connection_is_found_out(self):
        self.assert_found_out("stream.close(); return", "connection")

    def test_a_server_that_does_not_end_as_it_should_is_told(self):
        right = "stream.sendall(message)"
        last_words = "print('one', 'two', sep='\\n', file=sys.stderr, flush=True); "
        for end, message in (
            ("os._exit(3)", "^the server ended with status 3$"),
            (last_words + "os._exit(3)", "^the server ended with status 3: two$"),
            ("os.abort()", "^the server ended with signal 6$"),
        ):
            with self.subTest(end=end), self.assertRaisesRegex(echo.ServerFailed, message):
                self.run_load(self.bad_server(right, end), CLOSED)
        with mock.patch.object(echo, "END_TIMEOUT_S", 0.1):
            with self.assertRaisesRegex(echo.ServerFailed, "did not end within 0.1 s"):
                self.run_load(self.bad_server(right, "threading.Event().wait()"), CLOSED)

    def test_a_server_that_does_not_start_is_told(self):
        with self.assertRaisesRegex(echo.ServerFailed, "the server ended: .* status 1$"):
            self.run_load(["false"], CLOSED)
        with self.assertRaisesRegex(echo.ServerFailed, "status 2: .*no_such_file"):
            self.run_load([sys.executable, "no_such_file"], CLOSED)
        with self.assertRaisesRegex(echo.ServerFailed, "but: hello"):
            self.run_load(["echo", "hello"], CLOSED)

    # --- The command lines -----------------------------------------------------------------------

    def assert_refused(self, program, arguments, message):
        result = subprocess.run(
            [FOLDER / program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertIn(message, result.stderr)
        self.assertIn("usage: " + program, result.stderr)

    def test_mistakes_are_named(self):
        for arguments, message in (
            ([], "which port?"),
            (["--loud"], "unknown option --loud"),
            (["--port"], "--port needs a value"),
            (["--port", "1x"], "--port needs a number"),
            (["--port", "1.5"], "--port needs a number"),
            (["--port", "0"], "--port is from 1 to 65535"),
            (["--port", "1", "--size", "15"], "--size is from 16 to 65536"),
            (["--port", "1", "--requests", "1", "--seconds", "1"], "either --requests or"),
            (["--server-pid", "1", "--port", "1"], "behind the --port of that server"),
            (["--port", "1", "--port", "2", "--requests", "1"], "--requests is for one server"),
            (["--port", "1", "--turn", "0"], "--turn is from 0.01"),
        ):
            self.assert_refused("echo_load", arguments, message)
        self.assert_refused("skua_echo", ["--workers", "0"], "--workers is from 1")
        self.assert_refused(
            "skua_echo", ["--engine", "poll"], "--engine is readiness or completion"
        )
        self.assert_refused("epoll_echo", ["--hog"], "unknown option")

    def test_help_explains(self):
        for program in ("echo_load", "skua_echo", "uring_echo"):
            result = subprocess.run([FOLDER / program, "--help"], capture_output=True, text=True)
            self.assertEqual(result.returncode, 0)
            self.assertIn("usage: " + program, result.stdout)

    def test_nobody_listens(self):
        result = subprocess.run(
            [FOLDER / "echo_load", "--port", "1"], capture_output=True, text=True
        )
        self.assertEqual(result.returncode, 1)
        self.assertIn("to port 1: Connection refused", result.stderr)

    def test_it_ends_after_so_many_requests(self):
        with echo.running([str(FOLDER / "skua_echo")], {}) as (port, _):
            result = subprocess.run(
                [FOLDER / "echo_load", "--port", str(port), "--requests", "500"]
                + ["--connections", "2", "--warm-up", "0"],
                capture_output=True,
                text=True,
                check=True,
            )
        # One wait may bring an answer on each connection.
        self.assertIn(json.loads(result.stdout)["ops"], (500, 501))


if __name__ == "__main__":
    FOLDER = pathlib.Path(sys.argv.pop(1))
    unittest.main()
