# SPDX-License-Identifier: Apache-2.0
"""usage: compare_run_test.py FOLDER

scripts/compare as a user runs it, but for the builds: with the programs in FOLDER.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path()
# Asio may not be installed, and Tokio's programs are never in FOLDER.
PEERS = {"yield": ["asio", "mutex-pool"], "echo_50": ["asio", "uring"]}


class CompareRunTest(unittest.TestCase):
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
