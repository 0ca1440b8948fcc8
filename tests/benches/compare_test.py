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

from compare import baseline, builds, cli, figures, progress, report, session, uring  # noqa: E402
from compare.builds import NotInstalled, Program, Workspace  # noqa: E402
from compare.figures import Run, Spread  # noqa: E402
from compare.report import Report  # noqa: E402
from compare.tables import (
    ECHO_PEERS,
    PEERS,
    POLICIES,
    ROWS,
    SKUA,
    SKUA_ECHO,
    SKUA_GCC,
)  # noqa: E402
from compare.tables import Competitor, Row  # noqa: E402

FORK = Row("fork", quick_size=3)
FORK_N = Row("fork_n", quick_size=3, peer_row="fork")
PINGS = Row("pings", quick_size=3, figure="p99_us", unit="us", further=("p99_us",))
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


class FiguresTest(unittest.TestCase):
    def test_a_ratio_is_the_median_of_the_rounds_ratios(self):
        # The medians alone would give 20 / 20.
        ratio = figures.ratio_of(runs_of(10, 20, 30), runs_of(20, 10, 40), "ns_per_op")
        self.assertEqual(ratio, Spread(median=0.75, least=0.5, most=2, quartiles=0.75, rounds=3))
        self.assertTrue(ratio.crosses_one)

    def test_rounds_that_one_side_lacks_do_not_count(self):
        ratio = figures.ratio_of(runs_of(10, 20, 30), runs_of(20, 40), "ns_per_op")
        self.assertEqual(ratio, Spread(median=0.5, least=0.5, most=0.5, rounds=2))
        self.assertFalse(ratio.crosses_one)
        self.assertIsNone(figures.ratio_of(runs_of(10), [], "ns_per_op"))

    def test_a_figure_of_zero_gives_no_ratio(self):
        self.assertIsNone(figures.ratio_of(runs_of(10), runs_of(0), "ns_per_op"))
        self.assertIsNone(figures.ratio_of(runs_of(0), runs_of(10), "ns_per_op"))

    def test_small_ratios_keep_two_digits(self):
        text = report._ratio_text(Spread(median=0.0000487, least=0.0000312, most=1.25))
        self.assertEqual(text, "~ 0.000049 [0.000031, 1.25]")

    def test_a_verdict_takes_five_rounds_that_agree_by_more_than_they_differ(self):
        for values, is_noise in (
            ([0.5] * 5, False),
            ([0.5] * 4, True),  # Equals agree in so many by chance once in eight times.
            ([1.5, 1.6, 1.5, 1.6, 1.5], False),
            ([0.5, 0.5, 0.5, 0.5, 1.01], True),  # One does not agree.
            ([0.97] * 5, False),
            ([0.985] * 5, True),  # Too little.
            ([0.7, 0.8, 0.94, 0.99, 0.99], True),  # The quartiles are 0.19 apart.
            ([0.7, 0.8, 0.88, 0.99, 0.99], False),
        ):
            with self.subTest(values=values):
                self.assertEqual(figures.spread_of(values).is_noise, is_noise)

    def test_each_figure_knows_which_is_better(self):
        for figure, better in (
            ("ns_per_op", "less"),
            ("p99_us", "less"),
            ("requests_per_s", "more"),
            ("low_share", "more"),
            ("load_late_p99_us", ""),
        ):
            self.assertEqual(figures.better(figure), better)


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
        workers = {name: runs[0].figures["workers"] for name, runs in results.runs["fork"].items()}
        self.assertEqual(workers, {"skua": 2, "uv": 1})
        self.assertEqual(results.scaled[4]["fork"]["skua"][0].figures["workers"], 4)
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

    def test_what_is_not_possible_here_is_no_failure_but_of_skua(self):
        body = "echo 'not possible here: a file: No space left on device' >&2; exit 3"
        results = self.run_all([self.skua(), self.entrant("bad", body)], rows=(FORK,))
        why = "not possible here: a file: No space left on device"
        self.assertEqual((results.failures, results.impossible), ([], [f"fork: bad: {why}"]))
        made = Report({"rounds": 2, "workers": 2}, [], (), results, {})
        self.assertIn(f"fork: bad: {why}", made.remarks())
        self.assertEqual(made.to_json()["context"]["impossible"], [f"fork: bad: {why}"])
        results = self.run_all([self.skua(body)], rows=(FORK,))
        self.assertEqual((results.failures, results.impossible), ([f"fork: skua: {why}"], []))

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

    def test_the_rounds_before_a_failure_are_kept_and_marked(self):
        # The third run fails.
        body = f'[ $(grep -c "^bad fork" "{self.log}") -lt 3 ] || {{ {WRONG}; }}; {prints(30)}'
        entrants = [self.skua(), self.entrant("bad", body)]
        results = self.run_all(entrants, rounds=6)
        self.assertEqual([run.round for run in results.runs["fork"]["bad"]], [0, 1])
        self.assertEqual(len(results.runs["fork"]["skua"]), 6)
        self.assertEqual(
            results.failures, ["fork: bad: wrong answer: x: fork: wrong answer (in round 3)"]
        )
        made = Report({"rounds": 6, "workers": 2}, entrants, (FORK,), results, {})
        self.assertRegex(made.to_text(), r"fork +bad \(FAILED later\) +30.0 ns/op .*~ 0.67")
        json_ = made.to_json()
        (failed,) = [b for b in json_["benchmarks"] if b.get("error_occurred")]
        self.assertEqual((failed["name"], failed["repetition_index"]), ("fork/bad", 2))
        self.assertIn("wrong answer", failed["error_message"])
        self.assertEqual([ratio["failed"] for ratio in json_["ratios"]], [True])

    def test_an_interruption_keeps_the_rounds_that_are_complete(self):
        entrants = [self.skua(), self.entrant("tbb")]
        run_once, calls = session.run_once, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 6:  # The second one of the third round.
                raise KeyboardInterrupt
            return run_once(*arguments)

        with mock.patch.object(session, "run_once", interrupted):
            results = self.run_all(entrants, rows=(SCALING, PINGS), rounds=5, more_workers=(1,))
        self.assertTrue(results.is_partial)
        self.assertEqual(len(calls), 6)
        rounds = {name: [r.round for r in runs] for name, runs in results.runs["fork"].items()}
        self.assertEqual(rounds, {"skua": [0, 1], "tbb": [0, 1]})
        self.assertEqual((results.runs["pings"], results.scaled[1]["fork"]), ({}, {}))
        made = Report({"rounds": 5, "workers": 2}, entrants, (SCALING, PINGS), results, {})
        self.assertIn("PARTIAL: it was interrupted", made.to_text())
        self.assertIn("# Skua compared (partial)", made.to_markdown())
        self.assertIn("<h1>Skua compared (partial)</h1>", made.to_html())
        self.assertTrue(made.to_json()["context"]["partial"])

    def test_a_run_that_hangs_ends_by_what_the_last_one_took(self):
        self.assertEqual(session.timeout_after(None), session.FIRST_TIMEOUT_S)
        self.assertEqual(session.timeout_after(0.1), session.LEAST_TIMEOUT_S)
        self.assertEqual(session.timeout_after(10), 200)
        entrants = [self.skua(), self.entrant("bad", "exec sleep 100")]
        with mock.patch.object(session, "FIRST_TIMEOUT_S", 0.2):
            results = self.run_all(entrants[1:], rounds=1)
        self.assertEqual(results.failures, ["fork: bad: did not end within 0.2 s"])
        given = []
        with mock.patch.object(
            session, "run_once", lambda *a: given.append(a[4]) or {"ns_per_op": 1}
        ):
            self.run_all(entrants[:1], rounds=2)
        self.assertEqual(given, [session.FIRST_TIMEOUT_S, session.LEAST_TIMEOUT_S])

    # --- What Skua's programs get -----------------------------------------------------------------

    def test_a_policy_is_handed_on(self):
        policies = [self.entrant(policy.name, competitor=policy) for policy in POLICIES]
        results = self.run_all(
            [self.skua(), *policies], rows=(SCALING,), rounds=1, more_workers=(4,)
        )
        names = ["no_slot", "global_queue", "thread_per_core", "current_thread"]
        ran = [f"skua-{name.replace('_', '-')} fork --workers" for name in names]
        self.assertEqual(
            self.logged(),
            ["skua fork --workers 2"]
            + [f"{run} 2 --policy {name}" for run, name in zip(ran, names)]
            + ["skua fork --workers 4"]
            + [f"{run} 4 --policy {name}" for run, name in zip(ran[:3], names)],
        )
        self.assertEqual(results.runs["fork"]["skua-current-thread"][0].figures["workers"], 1)
        # They have Skua's rows under Skua's names.
        self.assertEqual(policies[0].program_row(FORK_N), "fork_n")

    def test_skua_gets_its_backend_whatever_the_user_has_set(self):
        body = f'echo "$SKUA_IO $SKUA_SOCKETS" >>"{self.log}"; {prints(20)}'
        with mock.patch.dict("os.environ", {"SKUA_IO": "epoll", "SKUA_SOCKETS": "completion"}):
            with mock.patch.object(uring, "refused", lambda: None):
                self.run_all([self.skua(body)], rounds=1)
            with mock.patch.object(uring, "refused", lambda: "EPERM"):
                self.run_all([self.skua(body)], rounds=1)
        self.assertEqual(self.logged()[1::2], ["uring readiness", "epoll readiness"])

    def test_echo_servers_of_skua_differ_in_their_environment(self):
        made = {}
        path = self.folder / "server"
        with mock.patch.object(uring, "refused", lambda: None):
            with mock.patch.object(builds, "echo_load", lambda _: Program(path, "1")):
                for peer in (SKUA_ECHO, *ECHO_PEERS):
                    peer = dataclasses.replace(peer, build=lambda _: Program(path, "1"))
                    entrant = session.enter(peer, Workspace(self.folder, self.folder))
                    made[peer.name] = entrant.environment
        self.assertEqual(made["skua"], {"SKUA_IO": "uring", "SKUA_SOCKETS": "readiness"})
        self.assertEqual(made["skua-epoll"], {"SKUA_IO": "epoll", "SKUA_SOCKETS": "readiness"})
        self.assertEqual(
            made["skua-completion"], {"SKUA_IO": "uring", "SKUA_SOCKETS": "completion"}
        )
        self.assertEqual(made["tokio"], {})

    def test_without_io_uring_what_needs_it_is_not_available(self):
        peers = {peer.name: peer for peer in (*PEERS, *ECHO_PEERS)}
        with mock.patch.object(uring, "refused", lambda: "EPERM"):
            for competitor in (SKUA_ECHO, peers["uring"], peers["skua-completion"]):
                with self.assertRaisesRegex(session.NotAvailable, r"io_uring refused \(EPERM\)"):
                    session.enter(competitor, Workspace(self.folder, self.folder))
            skua = self.skua()
        self.assertIn("fib", skua.rows)
        self.assertNotIn("file_read", skua.rows)
        self.assertIn("file_read", self.entrant("uv").rows)

    def test_the_kernel_is_asked_for_a_ring(self):
        self.assertRegex(uring.refused() or "EPERM", "^E[A-Z0-9]+$")

    # --- The whole report -----------------------------------------------------------------------

    def report(self, rounds=5):
        gcc = self.entrant("skua-gcc", prints(30), SKUA_GCC)
        entrants = [self.skua(), gcc, self.entrant("slow", prints(40))]
        rows = (SCALING, PINGS)
        results = self.run_all(entrants, rows=rows, rounds=rounds, more_workers=(1,))
        results.foreign_cpu_s, results.available_cpu_s = 1, 10
        context = {"rounds": rounds, "workers": 2}
        return Report(context, entrants, rows, results, {"go": "not installed: go"})

    def test_too_few_rounds_give_no_verdicts(self):
        few = self.report(rounds=4)
        text = few.to_text()
        self.assertRegex(text, r"fork +slow .* less +~ 0.50 \[0.50, 0.50\]")
        self.assertRegex(text, r"fork +~ 1.50 \[1.50, 1.50\] +no verdict")
        self.assertIn("Too few rounds for verdicts: 4; it takes 5.", text)
        self.assertIn("# Skua compared (too few rounds for verdicts)", few.to_markdown())
        self.assertIn("<h1>Skua compared (too few rounds for verdicts)</h1>", few.to_html())
        ratios = few.to_json()["ratios"]
        self.assertEqual({(r["rounds"], r["is_noise"]) for r in ratios}, {(4, True)})

    def test_more_is_better_of_some_figures(self):
        row = dataclasses.replace(FORK, figure="requests_per_s", further=("load_late_p99_us",))
        entrants = [self.skua(), self.entrant("slow")]

        def runs(rate):
            further = {"requests_per_s": rate, "load_late_p99_us": 3}
            return [Run(i, {**runs_of(20)[0].figures, **further}) for i in range(5)]

        results = session.Results({"fork": {"skua": runs(300), "slow": runs(100)}})
        made = Report({"rounds": 5, "workers": 2}, entrants, (row,), results, {})
        self.assertRegex(made.to_text(), r"fork +slow +100 ns/op +100 - 100 +more +3.00 \[3.00")
        self.assertRegex(made.to_text(), r"slow +load_late_p99_us +3.00 +3.00 - 3.00\n")
        self.assertIn("fork / slow (more is better)</text>", made.to_html())
        self.assertIn('fill="#3c8d4f"', made.to_html())  # Green.
        self.assertNotIn('height="12" fill="#c0572b"', made.to_html())

    def test_the_report_has_the_ratios(self):
        text = self.report().to_text()
        self.assertRegex(text, r"fork +skua +20.0 ns/op +20.0 - 20.0 +less +2.0 MiB +0.20")
        self.assertRegex(text, r"fork +slow +40.0 ns/op +40.0 - 40.0 +less +0.50 \[0.50, 0.50\]")
        self.assertRegex(text, r"pings +slow +7.50 us +7.50 - 7.50 +less +~ 1.00 \[1.00, 1.00\]")
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
        self.assertIn("| fork | slow | 40.0 ns/op | 40.0 - 40.0 | less | 0.50 [0.50, 0.50] |", text)
        self.assertIn("- go: not compared", text)

    def test_the_json_is_near_to_google_benchmarks(self):
        report = json.loads(json.dumps(self.report().to_json()))
        runs = [b for b in report["benchmarks"] if b["name"] == "fork/slow"]
        self.assertEqual([run["repetition_index"] for run in runs], [0, 1, 2, 3, 4])
        self.assertEqual([run["threads"] for run in runs], [2] * 5)
        self.assertEqual(runs[0]["real_time"], 40)
        self.assertEqual(runs[0]["cpu_time"], 200_000)
        self.assertEqual(runs[0]["time_unit"], "ns")
        medians = [b for b in report["benchmarks"] if b["name"] == "fork/slow_median"]
        self.assertEqual([m["aggregate_name"] for m in medians], ["median"])
        ratio = next(r for r in report["ratios"] if r["row"] == "fork" and r["to"] == "slow")
        self.assertEqual((ratio["median"], ratio["crosses_one"]), (0.5, False))
        scaled = [b for b in report["benchmarks"] if b["name"] == "fork/slow/workers:1"]
        self.assertEqual([run["threads"] for run in scaled], [1] * 5)
        self.assertIn("fork/slow/workers:1_median", [b["name"] for b in report["benchmarks"]])
        scaling = [p for p in report["scaling"] if p["competitor"] == "slow"]
        self.assertEqual([(p["workers"], p["ops_per_s"]) for p in scaling], [(1, 25e6), (2, 25e6)])

    def test_what_has_one_thread_stands_at_one_worker(self):
        single = self.entrant(
            "uv", competitor=Competitor("uv", "libuv", builds.uv, (), is_single=True)
        )
        entrants = [self.skua(), single]
        results = self.run_all(entrants, rows=(SCALING,), rounds=1, more_workers=(1,))
        made = Report({"rounds": 1, "workers": 2}, entrants, (SCALING,), results, {})
        points = [(point["competitor"], point["workers"]) for point in made.scaling()]
        self.assertEqual(points, [("skua", 1), ("skua", 2), ("uv", 1)])

    def test_the_html_has_pictures_and_needs_no_network(self):
        page = self.report().to_html()
        self.assertIn("<h2>Ratios: Skua to the peer</h2>", page)
        self.assertIn("fork / slow</text>", page)
        self.assertNotIn("workers:1", page)
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


def ratio(least, median, most, row="fork", to="tbb", **more):
    spread = {"min": least, "median": median, "max": most}
    return {"row": row, "to": to, "figure": "ns_per_op", **spread, **more}


SAME = ratio(0.5, 0.5, 0.5)
WORSE = ratio(0.7, 0.8, 0.9)
BETTER = ratio(0.2, 0.3, 0.4)


def report_of(*ratios, **context):
    own = {"sizes": "full", "workers": 2, "rounds": 5, "competitors": {"tbb": "1", "go": "1"}}
    return {"context": {**own, **context}, "ratios": list(ratios)}


def beside(peer, one):
    return {**one, "to": peer}


class BaselineTest(unittest.TestCase):
    def change(self, before, now, **context):
        changes = baseline.changes_since(report_of(before), report_of(now, **context))
        (change,) = changes
        return change

    def verdict(self, before, now, **context):
        """On the only row there is."""
        changes = baseline.changes_since(report_of(*before), report_of(*now, **context))
        (verdict,) = baseline.verdicts_on(changes)
        return verdict

    def test_rounds_that_overlap_are_noise(self):
        change = self.change(ratio(0.4, 0.5, 0.6), ratio(0.55, 0.7, 0.9))
        self.assertFalse(change.beyond_noise)

    def test_what_is_apart_is_better_or_worse(self):
        self.assertTrue(self.change(SAME, WORSE).is_worse)
        better = self.change(SAME, BETTER)
        self.assertTrue(better.beyond_noise)
        self.assertFalse(better.is_worse)

    def test_where_more_is_better_less_is_worse(self):
        self.assertTrue(self.change(SAME, {**BETTER, "better": "more"}).is_worse)
        self.assertFalse(self.change(SAME, {**WORSE, "better": "more"}).is_worse)

    def test_less_than_a_twentieth_is_noise(self):
        change = self.change(ratio(0.500, 0.500, 0.500), ratio(0.520, 0.520, 0.520))
        self.assertFalse(change.beyond_noise)

    def test_only_what_both_have_is_compared(self):
        now = report_of(ratio(1, 1, 1, row="fib"))
        self.assertEqual(baseline.changes_since(report_of(SAME), now), [])

    def test_a_row_is_worse_if_it_is_so_beside_most_of_its_peers(self):
        peers = ("tbb", "go", "asio")
        before = [beside(peer, SAME) for peer in peers]
        for now, text in (
            ((WORSE, WORSE, SAME), "fork: WORSE, beside 2 of 3 peers"),
            ((WORSE, SAME, SAME), "fork: no change beyond noise"),
            ((WORSE, SAME, BETTER), "fork: no change beyond noise"),
            ((BETTER, BETTER, SAME), "fork: better, beside 2 of 3 peers"),
        ):
            verdict = self.verdict(before, [beside(p, one) for p, one in zip(peers, now)])
            self.assertEqual(str(verdict), text)
            self.assertEqual(verdict.is_regression, "WORSE" in text)
        self.assertFalse(self.verdict(before[:2], [WORSE, beside("go", SAME)]).is_regression)
        self.assertTrue(self.verdict(before[:1], [WORSE]).is_regression)

    def test_skuas_own_variants_do_not_decide(self):
        variants = ("skua-gcc", "skua-epoll", "skua-completion", "skua-global-queue")
        before = [beside(name, SAME) for name in variants]
        now = [beside(name, WORSE) for name in variants]
        self.assertEqual(str(self.verdict(before, now)), "fork: no verdict")
        self.assertEqual(self.verdict([*before, SAME], [*now, SAME]).worse, 0)
        self.assertTrue(self.verdict([*before, SAME], [*before, WORSE]).is_regression)

    def test_a_peer_of_another_version_does_not_decide(self):
        context = {"competitors": {"tbb": "2", "go": "1"}}
        change = self.change(SAME, WORSE, **context)
        self.assertEqual(change.ignored, "another version")
        self.assertFalse(self.verdict([SAME], [WORSE], **context).is_regression)
        now = report_of(**context)
        self.assertEqual(baseline.changed_versions(report_of(), now), {"tbb": ("1", "2")})

    def test_a_peer_that_failed_or_ran_too_seldom_does_not_decide(self):
        self.assertEqual(self.change(SAME, {**WORSE, "failed": True}).ignored, "failed")
        self.assertEqual(self.change(SAME, {**WORSE, "rounds": 4}).ignored, "too few rounds")
        self.assertEqual(self.change(SAME, WORSE, rounds=4).ignored, "too few rounds")
        self.assertFalse(baseline.has_rounds(report_of(), report_of(rounds=4)))
        self.assertFalse(baseline.has_rounds(report_of(rounds=4), report_of()))
        self.assertTrue(baseline.has_rounds(report_of(), report_of()))

    def refusal(self, earlier, row=FORK):
        with self.assertRaises(baseline.NotComparable) as refused:
            baseline.check(earlier, "full", 2, [row])
        return str(refused.exception)

    def test_a_file_that_is_no_report_is_refused(self):
        bad = [[], {}, {"ratios": [{}]}, {"ratios": 3}, report_of({}), report_of(ratio(2, 1, 3))]
        bad += [report_of(SAME, rounds=None), report_of(SAME, competitors=None)]
        for earlier in bad:
            with self.subTest(earlier=earlier):
                self.assertIn("no report of scripts/compare", self.refusal(earlier))

    def test_a_report_of_another_kind_is_refused(self):
        baseline.check(report_of(SAME), "full", 2, [FORK])
        self.assertIn("other sizes: quick there", self.refusal(report_of(SAME, sizes="quick")))
        self.assertIn("other workers: 4 there, 2", self.refusal(report_of(SAME, workers=4)))
        other = dataclasses.replace(FORK, figure="cpu_us")
        self.assertIn("fork by ns_per_op there, by cpu_us", self.refusal(report_of(SAME), other))
        self.assertIn("without a ratio", self.refusal(report_of(SAME), PINGS))


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
        self.assertEqual(self.main([self.skua(), go], "--rounds", "5", "--peers", "go,tbb"), 0)
        self.assertEqual(self.logged(), ["skua fib --workers 2", "go fib --workers 2"] * 5)
        self.assertRegex(
            self.printed, r"fib +go +10.0 ns/op +10.0 - 10.0 +less +2.00 \[2.00, 2.00\]"
        )
        self.assertIn("tbb: not compared: not installed: no tool (apt-get install", self.printed)
        report = json.loads((self.folder / "build/compare/report.json").read_text("utf-8"))
        self.assertEqual(report["context"]["rounds"], 5)
        self.assertEqual(report["context"]["competitors"]["go"], "Go 1.0")
        self.assertIn("| fib | go |", (self.folder / "build/compare/report.md").read_text("utf-8"))

    def test_what_is_worse_than_the_baseline_fails(self):
        go = next(peer for peer in PEERS if peer.name == "go")
        go = self.entrant("go", prints(10), go)
        earlier = self.folder / "earlier.json"
        arguments = ("--peers", "go", "--baseline", str(earlier))
        for before, status, verdict in (
            (1.0, 1, "WORSE, beside 1 of 1 peers"),
            (4.0, 0, "better, beside 1 of 1 peers"),
            (2.0, 0, "no change beyond noise"),
        ):
            old = ratio(before, before, before, row="fib", to="go")
            text = json.dumps(report_of(old, competitors={"go": "Go 1.0"}))
            earlier.write_text(text, encoding="utf-8")
            self.assertEqual(self.main([self.skua(), go], *arguments), status)
            self.assertRegex(self.printed, rf"fib +go +{before:.2f} +2.00 ")
            self.assertIn(f"\nfib: {verdict}\n", self.printed)
        # Beside the first one, it would be worse.
        old = ratio(1, 1, 1, row="fib", to="go")
        for context, said in (
            ({"competitors": {"go": "Go 0.9"}}, "go was Go 0.9, and is Go 1.0: it does not count"),
            ({"rounds": 4}, "no verdict: it takes five rounds"),
        ):
            earlier.write_text(json.dumps(report_of(old, **context)), encoding="utf-8")
            self.assertEqual(self.main([self.skua(), go], *arguments), 0)
            self.assertIn(said, self.printed + self.said)

    def test_a_baseline_that_cannot_be_used_is_told(self):
        missing = str(self.folder / "none.json")
        with self.assertRaises(SystemExit) as exit_, contextlib.redirect_stderr(io.StringIO()):
            cli.main(self.folder, ["--baseline", missing])
        self.assertEqual(exit_.exception.code, 2)
        other = self.folder / "other.json"
        other.write_text("{}", encoding="utf-8")
        self.assertEqual(self.main([self.skua()], "--peers", "none", "--baseline", str(other)), 2)
        self.assertIn("the baseline is no report", self.said)
        other.write_text(json.dumps(report_of(ratio(1, 1, 1, row="fib"))), encoding="utf-8")
        self.assertEqual(self.main([self.skua()], "--quick", "--baseline", str(other)), 2)
        self.assertIn("the baseline is from other sizes: full there, quick here", self.said)
        self.assertFalse(self.log.exists())  # Before anything ran.

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

    def test_an_interruption_writes_a_report(self):
        run_once, calls = session.run_once, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) > complete:
                raise KeyboardInterrupt
            return run_once(*arguments)

        written = self.folder / "build/compare/report.md"
        for complete in (0, 2):
            calls.clear()
            with mock.patch.object(session, "run_once", interrupted):
                self.assertEqual(self.main([self.skua()], "--peers", "none"), 130)
            self.assertEqual(written.exists(), complete > 0)
        self.assertIn("PARTIAL", written.read_text("utf-8"))
        self.assertIn("| fib | skua | 20.0 ns/op |", written.read_text("utf-8"))

    def test_policies_take_part_when_asked_for(self):
        policies = [self.entrant(policy.name, competitor=policy) for policy in POLICIES]
        for arguments, count in (((), 0), (("--peers", "policies"), 4)):
            self.main([self.skua(), *policies], "--rounds", "1", *arguments)
            self.assertEqual(len([x for x in self.logged() if "--policy" in x]), count)
        self.assertRegex(self.printed, r"fib +skua-no-slot +20.0 ns/op .*~ 1.00")
        self.assertEqual(self.main([self.skua(), policies[1]], "--peers", "skua-global-queue"), 0)

    def test_quick_runs_do_not_scale_echo_servers(self):
        for arguments, scales in (((), True), (("--quick",), False)):
            with mock.patch.object(cli, "run_all") as run_all:
                run_all.return_value = session.Results(is_partial=True)
                self.main([self.skua()], "--only", "echo_50,yield", "--peers", "none", *arguments)
            rows = {row.name: row.scales for row in run_all.call_args.args[1]}
            self.assertEqual(rows, {"echo_50": scales, "yield": True})

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
        for table in (ROWS, (SKUA, SKUA_GCC, *POLICIES, *PEERS), (SKUA_ECHO, *ECHO_PEERS)):
            names = [entry.name for entry in table]
            self.assertEqual(sorted(set(names)), sorted(names))


if __name__ == "__main__":
    unittest.main()
