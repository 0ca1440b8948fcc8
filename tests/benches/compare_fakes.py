# SPDX-License-Identifier: Apache-2.0
"""For the tests of scripts/compare: rows, runs, and competitors whose programs are scripts."""

import dataclasses
import io
import json
import pathlib
import sys
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

from compare import builds, session  # noqa: E402  (the path had to be set first)
from compare.builds import Program, Workspace  # noqa: E402
from compare.figures import Run  # noqa: E402
from compare.tables import SKUA, Competitor, EchoLoad, Row  # noqa: E402

FORK = Row("fork", quick_size=3)
FORK_N = Row("fork_n", quick_size=3, peer_row="fork")
PINGS = Row("pings", quick_size=3, figure="p99_us", unit="us", further=("p99_us",))
ECHO = Row("echo_50", load=EchoLoad(2))
SCALING = Row("fork", quick_size=3, scales=True)

# A program with rows; what it is run with is kept in a log.
PROGRAM = """\
    #!/bin/sh
    if [ "$1" = --list ]; then
      printf '%s 8 3 size\\n' fork fork_n pings file_read
      echo 'fib 39 10 which number'
      exit
    fi
    echo "{name} $*" >>"{log}"
    {body}
    """


def prints(ns_per_op):
    line = {"ns_per_op": ns_per_op, "wall_s": 0.1, "ops": 1000, "cpu_s": 0.2, "max_rss_kib": 2048}
    return f"echo '{json.dumps({**line, 'workers': 2, 'p99_us': 7.5})}'"


WRONG = "echo 'x: fork: wrong answer' >&2; exit 1"


def runs_of(*ns_per_op):
    return [
        Run(i, {"ns_per_op": ns, "ops": 10, "cpu_s": 1, "wall_s": 1, "max_rss_kib": 1024})
        for i, ns in enumerate(ns_per_op)
    ]


class FakesTest(unittest.TestCase):
    """Has competitors whose programs are scripts."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.log = self.folder / "log"
        self.said = io.StringIO()

    def entrant(self, name, body=prints(20), competitor=None):
        path = self.folder / name
        text = textwrap.dedent(PROGRAM).format(log=self.log, name=name, body=body)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        if competitor is None:
            competitor = Competitor(name, name.title(), builds.go, packages=("lib" + name,))
        made = dataclasses.replace(competitor, build=lambda _: Program(path, "1.0"))
        entrant = session.enter(made, Workspace(self.folder, self.folder))
        return dataclasses.replace(entrant, competitor=competitor)

    def skua(self, body=prints(20)):
        return self.entrant("skua", body, SKUA)

    def logged(self):
        return self.log.read_text(encoding="utf-8").splitlines()
