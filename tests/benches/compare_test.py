# SPDX-License-Identifier: Apache-2.0
"""scripts/compare, less the builds and the runs: its figures, its command line, what it makes of an earlier report."""

import contextlib
import dataclasses
import io
import json
import unittest
from unittest import mock

from compare_fakes import FORK, PINGS, ROOT, WRONG, FakesTest, prints, runs_of

from compare import baseline, builds, cli, figures, report, session
from compare.builds import NotInstalled, Workspace
from compare.figures import Spread
from compare.tables import ECHO_PEERS, PEERS, POLICIES, ROWS, SKUA, SKUA_ECHO, SKUA_GCC


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
