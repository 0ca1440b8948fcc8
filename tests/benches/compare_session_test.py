# SPDX-License-Identifier: Apache-2.0
"""scripts/compare: its order of runs, what it makes of programs that fail, and its reports."""

import dataclasses
import html.parser
import json
import textwrap
import unittest
from unittest import mock

from compare_fakes import ECHO, FORK, FORK_N, PINGS, SCALING, WRONG, FakesTest, prints, runs_of

from compare import builds, progress, session, uring
from compare.builds import NotInstalled, Program, Workspace
from compare.figures import Run
from compare.report import Report
from compare.tables import ECHO_PEERS, PEERS, POLICIES, SKUA_ECHO, SKUA_GCC
from compare.tables import Competitor, EchoLoad, Row


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
            session, "run_once", lambda *a: given.append(a[4]) or [{"ns_per_op": 1}]
        ):
            self.run_all(entrants[:1], rounds=2)
        self.assertEqual(given, [session.FIRST_TIMEOUT_S, session.LEAST_TIMEOUT_S])

    # --- Servers --------------------------------------------------------------------------------

    def servers(self, *ports):
        """Scripts that say they listen there, and a load that fails if it is to ask port 13."""
        load = self.folder / "load"
        load.write_text(
            textwrap.dedent(
                f"""\
                #!/bin/sh
                echo "load $*" >>"{self.log}"
                case "$*" in *"--port 13 "*) echo "port 13: silent" >&2; exit 1;; esac
                for argument in "$@"; do
                  [ "$argument" != --port ] || {prints(20)}
                done
                """
            ),
            encoding="utf-8",
        )
        load.chmod(0o755)
        entrants = []
        with mock.patch.object(builds, "echo_load", lambda _: Program(load, "1")):
            for port in ports:
                name = f"at{port}"
                peer = Competitor(name, name, builds.go, (), serves=True)
                body = f'echo "listening on {port}"; cat >"{self.folder}/ended"'
                entrants.append(self.entrant(name, body, peer))
        return entrants

    def test_servers_are_asked_in_turn(self):
        results = self.run_all(self.servers(5, 6), rows=(ECHO,), rounds=2)
        self.assertEqual(results.failures, [])
        loads = [line for line in self.logged() if line.startswith("load")]
        self.assertEqual(len(loads), 2)
        for line in loads:
            self.assertRegex(line, "--port 5 --server-pid [0-9]+ --port 6 --server-pid [0-9]+ ")
        self.assertEqual(self.logged().count("at5 --workers 2"), 2)
        rounds = {name: [r.round for r in runs] for name, runs in results.runs["echo_50"].items()}
        self.assertEqual(rounds, {"at5": [0, 1], "at6": [0, 1]})
        self.assertIn("4/4", self.said.getvalue())

    def test_one_that_fails_in_turn_is_found_and_left_out(self):
        results = self.run_all(self.servers(5, 13, 6), rows=(ECHO,), rounds=2)
        self.assertEqual(results.failures, ["echo_50: at13: server failed: port 13: silent"])
        loads = [line.count("--port") for line in self.logged() if line.startswith("load")]
        self.assertEqual(loads, [3, 1, 1, 1, 2])
        rounds = {name: [r.round for r in runs] for name, runs in results.runs["echo_50"].items()}
        self.assertEqual(rounds, {"at5": [0, 1], "at6": [0, 1]})

    def test_servers_whose_memory_is_compared_are_asked_alone(self):
        idle = dataclasses.replace(ECHO, load=EchoLoad(2, idle=3))
        self.run_all(self.servers(5, 6), rows=(idle,), rounds=1)
        loads = [line.count("--port") for line in self.logged() if line.startswith("load")]
        self.assertEqual(loads, [1, 1])

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


if __name__ == "__main__":
    unittest.main()
