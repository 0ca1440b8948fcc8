# SPDX-License-Identifier: Apache-2.0
"""scripts/compare, less the builds: its figures, its order of runs, what it makes of programs that fail."""

import contextlib
import dataclasses
import html.parser
import io
import json
import pathlib
import re
import sys
import tempfile
import textwrap
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

from compare import baseline, builds, cli, figures, progress, report, session  # noqa: E402
from compare.builds import NotInstalled, Program, Workspace  # noqa: E402
from compare.figures import Run, Spread  # noqa: E402
from compare.report import Report  # noqa: E402
from compare.tables import PEERS, ROWS, SKUA, SKUA_GCC, Competitor, Row  # noqa: E402

FORK = Row("fork", quick_size=3)
FORK_N = Row("fork_n", quick_size=3, peer_row="fork")
PINGS = Row("pings", quick_size=3, figure="p99_us", unit="us", further=("p99_us",))
SCALING = Row("fork", quick_size=3, scales=True)

# A program with rows; what it is run with is kept in a log.
PROGRAM = """\
    #!/bin/sh
    if [ "$1" = --list ]; then
      printf '%s 8 3 size\\n' fork fork_n pings
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


class FiguresTest(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_rounds_ratios(self):
        # The medians alone would give 20 / 20.
        ratio = figures.ratio_of(runs_of(10, 20, 30), runs_of(20, 10, 40), "ns_per_op")
        self.assertEqual(ratio, Spread(median=0.75, least=0.5, most=2))
        self.assertTrue(ratio.crosses_one)

    def test_rounds_that_one_side_lacks_do_not_count(self):
        ratio = figures.ratio_of(runs_of(10, 20, 30), runs_of(20, 40), "ns_per_op")
        self.assertEqual(ratio, Spread(median=0.5, least=0.5, most=0.5))
        self.assertFalse(ratio.crosses_one)
        self.assertIsNone(figures.ratio_of(runs_of(10), [], "ns_per_op"))

    def test_a_figure_of_zero_gives_no_ratio(self):
        self.assertIsNone(figures.ratio_of(runs_of(10), runs_of(0), "ns_per_op"))
        self.assertIsNone(figures.ratio_of(runs_of(0), runs_of(10), "ns_per_op"))

    def test_small_ratios_keep_two_digits(self):
        text = report._ratio_text(Spread(median=0.0000487, least=0.0000312, most=1.25))
        self.assertEqual(text, "~ 0.000049 [0.000031, 1.25]")


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


class SessionTest(FakesTest):
    def run_all(self, entrants, rows=(FORK,), rounds=2, size=None, more_workers=()):
        console = progress.Console(self.said)
        return session.run_all(entrants, rows, rounds, lambda row: size, 2, more_workers, console)

    def test_competitors_run_in_turn(self):
        self.run_all([self.skua(), self.entrant("tbb")], rows=(FORK, PINGS))
        self.assertEqual(
            self.logged(),
            ["skua fork --workers 2", "tbb fork --workers 2"] * 2
            + ["skua pings --workers 2", "tbb pings --workers 2"] * 2,
        )

    def test_a_size_is_handed_on(self):
        self.run_all([self.skua()], rounds=1, size=5)
        self.assertEqual(self.logged(), ["skua fork --workers 2 --size 5"])

    def test_a_program_gets_no_size_above_its_own(self):
        self.run_all([self.skua()], rounds=1, size=9)
        self.assertEqual(self.logged(), ["skua fork --workers 2"])

    def test_rows_that_scale_run_with_other_numbers_of_workers_too(self):
        single = self.entrant(
            "uv", competitor=Competitor("uv", "libuv", builds.uv, (), is_single=True)
        )
        entrants = [self.skua(), single]
        results = self.run_all(entrants, rows=(SCALING, PINGS), rounds=1, more_workers=(1, 4))
        self.assertEqual(
            self.logged(),
            ["skua fork --workers 2", "uv fork --workers 2"]
            + ["skua fork --workers 1", "skua fork --workers 4"]
            + ["skua pings --workers 2", "uv pings --workers 2"],
        )
        self.assertEqual(sorted(results.scaled), [1, 4])
        self.assertEqual(len(results.scaled[4]["fork"]["skua"]), 1)

    def test_a_peer_may_call_the_row_by_another_name(self):
        self.run_all([self.skua(), self.entrant("tbb")], rows=(FORK_N,), rounds=1)
        self.assertEqual(self.logged(), ["skua fork_n --workers 2", "tbb fork --workers 2"])

    def test_rows_that_a_program_does_not_have_are_left_out(self):
        entrants = [self.skua(), self.entrant("tbb")]
        results = self.run_all(entrants, rows=(Row("other", quick_size=1), FORK), rounds=1)
        self.assertEqual(results.runs["other"], {})
        self.assertEqual(sorted(results.runs["fork"]), ["skua", "tbb"])

    def test_progress_counts_the_runs_and_tells_the_time_left(self):
        self.run_all([self.skua(), self.entrant("tbb")], rounds=1)
        first, second = self.said.getvalue().splitlines()
        runs = r"fork with 2 workers, round 1 of 1, skua: 20.0 ns/op"
        self.assertRegex(first, r"^\[#{10}\.{10}\] 1/2, about \d+ s left: " + runs)
        self.assertRegex(second, r"^\[#{20}\] 2/2, about 0 s left: ")

    def test_on_a_terminal_progress_stays_in_one_line(self):
        self.said.isatty = lambda: True
        console = progress.Console(self.said)
        console.progress("1 of 2")
        console.progress("2 of 2")
        console.say("FAILED")
        console.close()
        self.assertEqual(self.said.getvalue(), "1 of 2\r\x1b[2K2 of 2\r\x1b[2KFAILED\n")

    def assert_fails(self, body, message):
        bad = self.entrant("bad", body)
        results = self.run_all([self.skua(), bad], rows=(FORK, PINGS))
        self.assertRegex(results.failures[0], "^fork: bad: " + message)
        self.assertNotIn("bad", results.runs["fork"])
        self.assertEqual(len(results.runs["fork"]["skua"]), 2)
        # Out of the row after its first failure; the next row is a new one.
        self.assertEqual(self.logged().count("bad fork --workers 2"), 1)
        self.assertEqual(self.logged().count("bad pings --workers 2"), 1)

    def test_a_wrong_answer_is_told(self):
        self.assert_fails(WRONG, "wrong answer: x: fork")

    def test_a_crash_is_told(self):
        self.assert_fails("exit 9", "exit status 9")

    def test_output_that_is_no_json_is_told(self):
        self.assert_fails("echo none", "printed no JSON: none")

    def test_figures_that_lack_one_are_told(self):
        self.assert_fails("echo {}", "printed no ns_per_op, wall_s, ops")

    def test_a_program_that_does_not_list_its_rows_cannot_take_part(self):
        path = self.folder / "broken"
        path.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
        path.chmod(0o755)
        broken = Competitor("broken", "Broken", lambda _: Program(path, "1"), ())
        with self.assertRaises(session.BuildFailed):
            session.enter(broken, Workspace(self.folder, self.folder))

    def test_a_library_to_preload_must_be_there(self):
        competitor = Competitor(
            "x", "X", lambda _: self.fail("built"), (), preload="no_such_library"
        )
        with self.assertRaisesRegex(NotInstalled, "no_such_library"):
            session.enter(competitor, Workspace(self.folder, self.folder))

    # --- The whole report -----------------------------------------------------------------------

    def report(self):
        gcc = self.entrant("skua-gcc", prints(30), SKUA_GCC)
        entrants = [self.skua(), gcc, self.entrant("slow", prints(40))]
        rows = (SCALING, PINGS)
        results = self.run_all(entrants, rows=rows, more_workers=(1,))
        results.foreign_cpu_s, results.available_cpu_s = 1, 10
        context = {"rounds": 2, "workers": 2}
        return Report(context, entrants, rows, results, {"go": "not installed: go"})

    def test_the_report_has_the_ratios(self):
        text = self.report().to_text()
        self.assertRegex(text, r"fork +skua +20.0 ns/op +20.0 - 20.0 +2.0 MiB +0.20")
        self.assertRegex(text, r"fork +slow +40.0 ns/op +40.0 - 40.0 +0.50 \[0.50, 0.50\]")
        self.assertRegex(text, r"pings +slow +7.50 us +7.50 - 7.50 +~ 1.00 \[1.00, 1.00\]")
        self.assertRegex(text, r"fork +1.50 \[1.50, 1.50\] +NO")
        self.assertRegex(text, r"pings +~ 1.00 \[1.00, 1.00\] +yes")
        self.assertRegex(text, r"pings +slow +p99_us +7.50")
        self.assertRegex(text, r"fork +slow +25.0 M/s +25.0 M/s")
        self.assertIn("go: not compared: not installed: go", text)
        self.assertIn("NOISY: other processes used 10%", text)

    def test_a_smaller_size_is_told(self):
        def sized(size):
            return [Run(0, {**runs_of(10)[0].figures, "size": size})]

        entrants = [self.skua(), self.entrant("threads")]
        results = session.Results({"fork": {"skua": sized(8), "threads": sized(3)}})
        table = Report({}, entrants, (FORK,), results, {}).main_table()
        self.assertEqual([line[1] for line in table], ["competitor", "skua", "threads (size 3)"])

    def test_the_markdown_has_the_same_tables(self):
        text = self.report().to_markdown()
        self.assertIn("| fork | slow | 40.0 ns/op | 40.0 - 40.0 | 0.50 [0.50, 0.50] |", text)
        self.assertIn("- go: not compared", text)

    def test_the_json_is_near_to_google_benchmarks(self):
        report = json.loads(json.dumps(self.report().to_json()))
        runs = [b for b in report["benchmarks"] if b["name"] == "fork/slow"]
        self.assertEqual([run["repetition_index"] for run in runs], [0, 1])
        self.assertEqual(runs[0]["real_time"], 40)
        self.assertEqual(runs[0]["cpu_time"], 200_000)
        self.assertEqual(runs[0]["time_unit"], "ns")
        medians = [b for b in report["benchmarks"] if b["name"] == "fork/slow_median"]
        self.assertEqual([m["aggregate_name"] for m in medians], ["median"])
        ratio = next(r for r in report["ratios"] if r["row"] == "fork" and r["to"] == "slow")
        self.assertEqual((ratio["median"], ratio["crosses_one"]), (0.5, False))
        scaling = [p for p in report["scaling"] if p["competitor"] == "slow"]
        self.assertEqual([(p["workers"], p["ops_per_s"]) for p in scaling], [(1, 25e6), (2, 25e6)])

    def test_the_html_has_pictures_and_needs_no_network(self):
        page = self.report().to_html()
        self.assertIn("<h2>Ratios: Skua to the peer</h2>", page)
        self.assertIn("fork / slow</text>", page)
        self.assertIn("<h3>pings</h3>", page)
        self.assertIn("<title>slow p99 7.5 us</title>", page)
        self.assertIn("<title>slow with 1: 25 million ops/s</title>", page)
        self.assertIn("<h2>Memory</h2>", page)
        self.assertIn("<td>go: not compared: not installed: go</td>", page)
        self.assertNotRegex(page, "src=|href=|@import|url\\(")
        parser = BalancedTags()
        parser.feed(page)
        self.assertEqual(parser.open, [])


class BalancedTags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def ratio(least, median, most, row="fork"):
    spread = {"min": least, "median": median, "max": most}
    return {"row": row, "to": "tbb", "figure": "ns_per_op", **spread}


class BaselineTest(unittest.TestCase):
    def change(self, before, now):
        (change,) = baseline.changes_since({"ratios": [before]}, {"ratios": [now]})
        return change

    def test_rounds_that_overlap_are_noise(self):
        change = self.change(ratio(0.4, 0.5, 0.6), ratio(0.55, 0.7, 0.9))
        self.assertFalse(change.beyond_noise)

    def test_what_is_apart_is_better_or_worse(self):
        self.assertTrue(self.change(ratio(0.4, 0.5, 0.6), ratio(0.7, 0.8, 0.9)).is_regression)
        better = self.change(ratio(0.7, 0.8, 0.9), ratio(0.4, 0.5, 0.6))
        self.assertTrue(better.beyond_noise)
        self.assertFalse(better.is_regression)

    def test_less_than_a_twentieth_is_noise(self):
        change = self.change(ratio(0.500, 0.500, 0.500), ratio(0.520, 0.520, 0.520))
        self.assertFalse(change.beyond_noise)

    def test_only_what_both_have_is_compared(self):
        now = {"ratios": [ratio(1, 1, 1, row="fib")]}
        self.assertEqual(baseline.changes_since({"ratios": [ratio(1, 1, 1)]}, now), [])

    def test_a_file_that_is_no_report_is_refused(self):
        for bad in ([], {}, {"ratios": [{}]}, {"ratios": 3}):
            with self.assertRaises(baseline.NotAReport):
                baseline.changes_since(bad, {"ratios": []})


class CommandLineTest(FakesTest):
    def main(self, entrants, *arguments):
        """The exit status, with these competitors; those that are not among them are not installed."""
        made = {entrant.competitor.name: entrant for entrant in entrants}

        def enter(competitor, _):
            if competitor.name not in made:
                raise NotInstalled("no tool")
            return made[competitor.name]

        said, printed = io.StringIO(), io.StringIO()
        with mock.patch.object(cli, "enter", enter), contextlib.redirect_stdout(printed):
            with contextlib.redirect_stderr(said):
                status = cli.main(self.folder, ["--only", "fib", *arguments])
        self.said, self.printed = said.getvalue(), printed.getvalue()
        return status

    def test_reports_are_written(self):
        go = next(peer for peer in PEERS if peer.name == "go")
        go = self.entrant("go", prints(10), go)
        self.assertEqual(self.main([self.skua(), go], "--rounds", "3", "--peers", "go,tbb"), 0)
        self.assertEqual(self.logged(), ["skua fib --workers 2", "go fib --workers 2"] * 3)
        self.assertRegex(self.printed, r"fib +go +10.0 ns/op +10.0 - 10.0 +2.00 \[2.00, 2.00\]")
        self.assertIn("tbb: not compared: not installed: no tool (apt-get install", self.printed)
        report = json.loads((self.folder / "build/compare/report.json").read_text("utf-8"))
        self.assertEqual(report["context"]["rounds"], 3)
        self.assertEqual(report["context"]["competitors"]["go"], "Go 1.0")
        self.assertIn("| fib | go |", (self.folder / "build/compare/report.md").read_text("utf-8"))

    def test_what_is_worse_than_the_baseline_fails(self):
        go = next(peer for peer in PEERS if peer.name == "go")
        go = self.entrant("go", prints(10), go)
        earlier = self.folder / "earlier.json"
        for before, status, verdict in ((1.0, 1, "WORSE"), (4.0, 0, "better"), (2.0, 0, "+0%")):
            old = {**ratio(before, before, before, row="fib"), "to": "go"}
            earlier.write_text(json.dumps({"ratios": [old]}), encoding="utf-8")
            arguments = ("--rounds", "1", "--peers", "go", "--baseline", str(earlier))
            self.assertEqual(self.main([self.skua(), go], *arguments), status)
            self.assertRegex(self.printed, rf"fib +go +{before:.2f} +2.00 .*{re.escape(verdict)}")

    def test_a_baseline_that_cannot_be_used_is_told(self):
        missing = str(self.folder / "none.json")
        with self.assertRaises(SystemExit) as exit_, contextlib.redirect_stderr(io.StringIO()):
            cli.main(self.folder, ["--baseline", missing])
        self.assertEqual(exit_.exception.code, 2)
        other = self.folder / "other.json"
        other.write_text("{}", encoding="utf-8")
        self.assertEqual(self.main([self.skua()], "--peers", "none", "--baseline", str(other)), 1)
        self.assertIn("the baseline is no report", self.said)

    def test_baselines_take_part_in_full_runs_or_when_asked_for(self):
        threads = next(peer for peer in PEERS if peer.name == "threads")
        threads = self.entrant("threads", prints(10), threads)
        for arguments, count in ((("--quick",), 0), ((), 1), (("--quick", "--peers", "all"), 1)):
            self.log.write_text("", encoding="utf-8")
            self.main([self.skua(), threads], "--rounds", "1", *arguments)
            self.assertEqual(len([x for x in self.logged() if x.startswith("threads")]), count)

    def test_the_output_may_be_elsewhere(self):
        output = self.folder / "elsewhere"
        self.main([self.skua()], "--peers", "none", "--quick", "--output", str(output))
        self.assertEqual(len(list(output.glob("report.*"))), 3)

    def test_programs_that_are_there_are_not_built(self):
        (self.folder / "skua_rows").write_text("", encoding="utf-8")
        workspace = Workspace(ROOT, self.folder / "build", self.folder)
        self.assertEqual(builds.skua_clang(workspace).path, self.folder / "skua_rows")
        for build in (builds.tbb, builds.asio, builds.uv, builds.go, builds.tokio_echo):
            with self.assertRaisesRegex(NotInstalled, "no [a-z_]+ in"):
                build(workspace)
        self.assertFalse((self.folder / "build").exists())

    def test_workers_double_up_to_the_number_of_cpus(self):
        self.assertEqual(cli._more_workers(2, 2), [1])
        self.assertEqual(cli._more_workers(6, 2), [1, 4, 6])
        self.assertEqual(cli._more_workers(8, 3), [1, 2, 4, 8])
        self.assertEqual(cli._more_workers(1, 1), [])

    def test_quick_runs_are_smaller_and_fewer(self):
        self.assertEqual(self.main([self.skua()], "--quick", "--peers", "none"), 0)
        self.assertEqual(self.logged(), ["skua fib --workers 2 --size 30"] * 2)

    def test_a_wrong_answer_is_the_exit_status(self):
        self.assertEqual(self.main([self.skua(WRONG)], "--peers", "none"), 1)
        self.assertIn("FAILED fib: skua: wrong answer", self.printed)

    def test_without_skua_nothing_is_compared(self):
        self.assertEqual(self.main([]), 1)
        self.assertIn("without Skua there is nothing to compare", self.said)

    def refused(self, *arguments):
        said = io.StringIO()
        with self.assertRaises(SystemExit) as end, contextlib.redirect_stderr(said):
            cli.main(ROOT, arguments)
        self.assertEqual(end.exception.code, 2)
        return said.getvalue()

    def test_mistakes_are_named(self):
        self.assertIn("unknown row nothing; known: skynet", self.refused("--only", "fib,nothing"))
        self.assertIn("unknown peer nobody; known: tbb", self.refused("--peers", "nobody"))
        self.assertIn("0 is no number of 1 or more", self.refused("--rounds", "0"))
        self.assertIn("unrecognized arguments: --fast", self.refused("--fast"))
        self.assertIn("/nowhere is no folder", self.refused("--programs", "/nowhere"))


class TablesTest(unittest.TestCase):
    def test_names_are_used_once(self):
        for table in (ROWS, (SKUA, SKUA_GCC, *PEERS)):
            names = [entry.name for entry in table]
            self.assertEqual(sorted(set(names)), sorted(names))


if __name__ == "__main__":
    unittest.main()
