# SPDX-License-Identifier: Apache-2.0
"""usage: compare_run_test.py FOLDER

scripts/compare as a user runs it, but for the builds: with the programs in FOLDER.
"""

import ctypes
import errno
import json
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path()
# Asio may not be installed, and Tokio's programs are never in FOLDER.
PEERS = {"yield": ["asio", "mutex-pool"], "echo_50": ["asio", "uring"]}


def heed_sigint():
    """A shell's background jobs ignore it, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def refuse_io_uring():
    """For this process and its children: io_uring_setup fails with EPERM, as in a container."""
    libc = ctypes.CDLL(None, use_errno=True)
    load, equal, end = 0x20, 0x15, 0x06  # BPF: the word at an offset, a jump, the verdict.
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM
    code = [(load, 0, 0, 0), (equal, 0, 1, 425), (end, 0, 0, refuse), (end, 0, 0, allow)]
    instructions = b"".join(struct.pack("HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(buffer))
    no_new_privileges, set_seccomp, filter_ = 38, 22, 2
    for arguments in (no_new_privileges, 1, 0), (set_seccomp, filter_, program):
        if libc.prctl(*arguments, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


class CompareRunTest(unittest.TestCase):
    def compare(self, output, *arguments, **more):
        return subprocess.Popen(
            [ROOT / "scripts" / "compare", "--programs", FOLDER, "--output", output, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def test_an_interruption_leaves_a_report_of_what_was_complete(self):
        with tempfile.TemporaryDirectory() as output:
            arguments = ("--quick", "--only", "yield", "--peers", "none", "--rounds", "5000")
            with self.compare(output, *arguments, preexec_fn=heed_sigint) as process:
                for said in process.stderr:
                    if "round 2 of 5000" in said:  # So the first one is complete.
                        break
                process.send_signal(signal.SIGINT)
                _, said = process.communicate()
            self.assertEqual(process.returncode, 130, said)
            report = json.loads(pathlib.Path(output, "report.json").read_text(encoding="utf-8"))
        self.assertTrue(report["context"]["partial"])
        self.assertIn("yield/skua", [benchmark["name"] for benchmark in report["benchmarks"]])

    def test_where_io_uring_is_refused_the_rest_is_compared(self):
        with tempfile.TemporaryDirectory() as output:
            arguments = ("--quick", "--rounds", "1", "--only", "yield,file_read_1,echo_1")
            peers = ("--peers", "mutex-pool,uring,epoll,skua-epoll", "--no-scaling")
            with self.compare(output, *arguments, *peers, preexec_fn=refuse_io_uring) as process:
                _, said = process.communicate()
            self.assertEqual(process.returncode, 1, said)  # Skua's echo was asked for.
            report = json.loads(pathlib.Path(output, "report.json").read_text(encoding="utf-8"))
        ran = {(b["row"], b["competitor"]) for b in report["benchmarks"]}
        self.assertEqual(
            ran,
            {("yield", "skua"), ("yield", "mutex-pool"), ("echo_1", "epoll")}
            | {("echo_1", "skua-epoll")},
        )
        self.assertEqual(report["context"]["failures"], [])
        refused = "not available: io_uring refused (EPERM)"
        self.assertEqual(
            report["context"]["absent"],
            {"uring": refused, "skua (echo)": refused, "uring (echo)": refused},
        )
        self.assertIn("refused (EPERM)", report["context"]["io_uring"])

    def test_two_rows_end_in_a_report(self):
        has_asio = (FOLDER / "asio_rows").exists()
        with tempfile.TemporaryDirectory() as output:
            result = subprocess.run(
                [ROOT / "scripts" / "compare", "--quick", "--only", ",".join(PEERS)]
                + ["--peers", "tokio,asio,mutex-pool,uring"]
                + ["--programs", FOLDER, "--output", output],
                capture_output=True,
                text=True,
            )
            self.assertEqual(result.returncode, 0, result.stderr)
            page = pathlib.Path(output, "report.html").read_text(encoding="utf-8")
            table = pathlib.Path(output, "report.md").read_text(encoding="utf-8")
            report = json.loads(pathlib.Path(output, "report.json").read_text(encoding="utf-8"))

        for row, peers in PEERS.items():
            peers = [peer for peer in peers if has_asio or peer != "asio"]
            for name in ("skua", *peers):
                runs = [b for b in report["benchmarks"] if b["name"] == f"{row}/{name}"]
                self.assertEqual([run["repetition_index"] for run in runs], [0, 1])
                self.assertTrue(all(run["real_time"] > 0 for run in runs))
                self.assertIn(f"| {row} | {name} |", table)
            ratios = [r["to"] for r in report["ratios"] if r["row"] == row]
            self.assertEqual(sorted(ratios), peers)
        self.assertEqual(report["context"]["failures"], [])
        self.assertNotIn("does not run this row", table)
        self.assertIn("not installed: no tokio_", report["context"]["absent"]["tokio"])
        for heading in ("Ratios: Skua to the peer", "Latencies", "Memory"):
            self.assertIn(f"<h2>{heading}</h2>", page)
        self.assertIn(f"[{'#' * 20}] ", result.stderr)  # The bar is full at the end.


if __name__ == "__main__":
    FOLDER = pathlib.Path(sys.argv.pop(1))
    unittest.main()
