"""Tests of perf/compare: compare_tests.py --build <where karma_load is> [unittest's arguments]"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
PERF = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PERF))

from comparison import table  # noqa: E402
from comparison.rows import ROWS, own_row  # noqa: E402
from comparison.runs import Cell, Run  # noqa: E402

FAKE = PERF / "tests" / "fake_server.py"
BUILD = pathlib.Path()
PATIENCE_SECONDS = 600


def row(name: str):
    return next(row for row in ROWS if row.name == name)


def cell(*rates: float, p90: float = 0.0) -> Cell:
    return Cell([Run(rate, report={"latency_us": {"p90": p90}}) for rate in rates])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


class TableTests(unittest.TestCase):
    def test_numbers_have_three_digits(self) -> None:
        for number, text in ((91, "91"), (999.4, "999"), (999.8, "1.00 k"), (9994, "9.99 k"), (9996, "10.0 k"),
                             (12_345, "12.3 k"), (99_960, "100 k"), (999_600, "1.00 M"), (1_404_000, "1.40 M"),
                             (15e6, "15.0 M")):
            self.assertEqual(table.number_text(number), text)

    def test_rates_name_what_is_counted(self) -> None:
        self.assertEqual(table.rate_text(1.4e6, "requests"), "1.40 M/s")
        self.assertEqual(table.rate_text(1.4e6, "items"), "1.40 M items/s")
        self.assertEqual(table.rate_text(91, "requests"), "91 /s")

    def test_the_median_counts(self) -> None:
        self.assertEqual(cell(1, 100, 3).rate, 3)

    def test_a_multiple_of_redis(self) -> None:
        wanted = row("sync-16")  # 1.7 times
        for karma, met in ((1_700, True), (1_690, False)):
            cells = {"karma": cell(karma), "redis": cell(1_000), "floor": cell(10_000)}
            self.assertEqual(table.met(wanted, cells), met)
            self.assertEqual(table.ratio(wanted, cells), (karma / 1000, "redis"))

    def test_without_redis_the_floor_is_shown_and_nothing_concluded(self) -> None:
        cells = {"karma": cell(500), "floor": cell(1_000)}
        self.assertEqual(table.ratio(row("sync-16"), cells), (0.5, "floor"))
        self.assertIsNone(table.met(row("sync-16"), cells))
        self.assertEqual(table.line(row("sync-16"), cells, False)[-3:], ["0.50 × floor", "1.7 × Redis", "?"])

    def test_idempotency_is_compared_with_going_without(self) -> None:
        cells = {"karma": cell(850), "keyless": cell(1_000), "floor": cell(9_000)}
        self.assertEqual(table.ratio(row("sync-keys-1"), cells), (0.85, "keyless"))
        self.assertTrue(table.met(row("sync-keys-1"), cells))
        self.assertIn("without keys: 1.00 k/s", table.line(row("sync-keys-1"), cells, True)[1])

    def test_rates_and_stalls_are_absolute(self) -> None:
        self.assertTrue(table.met(row("batch-add"), {"karma": cell(10e6)}))
        self.assertFalse(table.met(row("batch-add"), {"karma": cell(9.9e6)}))
        self.assertTrue(table.met(row("split-writes"), {"karma": cell(4_000, p90=900)}))
        self.assertFalse(table.met(row("split-writes"), {"karma": cell(91, p90=44_000)}))

    def test_an_error_takes_the_place_of_a_number(self) -> None:
        cells = {"karma": Cell([Run(5), Run(error="unknown | op")]), "floor": cell(10)}
        line = table.line(row("no-wal-1"), cells, False)
        self.assertEqual(line[1], "error: unknown \\| op")
        self.assertEqual(line[3], "")
        self.assertEqual(line[-1], "no")

    def test_disturbed_runs_are_named(self) -> None:
        results = [(row("no-wal-1"), {"karma": Cell([Run(5, disturbed_percent=31.0)]), "floor": cell(10)})]
        self.assertIn("no-wal-1 karma 31 %", table.disturbances(results, 10))
        self.assertEqual(table.disturbances(results, 40), "")

    def test_a_row_without_a_target_has_a_ratio_and_no_verdict(self) -> None:
        cells = {"karma": cell(900), "redis": cell(1_000), "floor": cell(3_000)}
        self.assertIsNone(table.met(row("read-16"), cells))
        self.assertEqual(table.line(row("read-16"), cells, True)[-3:], ["0.90 × Redis", "", ""])

    def test_latencies_beside_those_of_the_peer(self) -> None:
        def with_latencies(p99: float) -> Cell:
            of_reads = {"counter.sum": {"latency_us": {"p99": p99 / 2}}}
            return Cell([Run(1, report={"latency_us": {"p99": p99}, "operations": of_reads})])

        printed = table.latency_table([(row("mixed"), {"karma": with_latencies(300), "redis": with_latencies(200)})])
        self.assertIn("| mixed | karma, counter.sum | 0 | 0 | 150 |", printed)
        self.assertIn("| mixed | Karma / Redis |  |  | 1.50 × |", printed)

    def test_the_spread_of_the_runs(self) -> None:
        printed = table.spread_table([(row("no-wal-1"), {"karma": cell(3, 1, 2)})])
        self.assertIn("| no-wal-1 | karma | 1 /s | 2 /s | 3 /s |", printed)

    def test_a_row_of_ones_own(self) -> None:
        read = own_row("counter.sum", 7, 3, "unsynced", 1000, False)
        self.assertEqual((read.redis_op, read.unit), ("GET", "requests"))
        self.assertEqual(read.karma, ["--wal=true", "--wal-fsync=false"])
        self.assertIn("--connections=7", read.load)
        self.assertIn("--in-flight=3", read.load)
        batch = own_row("counter.batch_sum", 1, 1, "none", 50, False)
        self.assertEqual((batch.redis_op, batch.unit, batch.karma), (None, "items", ["--wal=false"]))
        self.assertIn("--items=50", batch.load)
        self.assertEqual(own_row("counter.increment", 1, 1, "synced", 1000, True).peer, "keyless")

    def test_names_are_unique(self) -> None:
        self.assertEqual(len({row.name for row in ROWS}), len(ROWS))


class ProgramTests(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.log = pathlib.Path(temporary.name) / "starts.log"
        self.directory = pathlib.Path(temporary.name) / "data"
        self.directory.mkdir()
        self.json = pathlib.Path(temporary.name) / "figures.json"
        self.environment = {**os.environ, "FAKE_LOG": str(self.log)}

    def command(self, *more: str) -> list[str]:
        return [sys.executable, str(PERF / "compare"), "--build", str(BUILD), "--karma", str(FAKE), "--directory",
                str(self.directory), "--runs=1", "--seconds=0.3", "--warmup-seconds=0.05", *more]

    def compare(self, *more: str, mode: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.command(*more), env={**self.environment, "FAKE_MODE": mode}, text=True,
                              capture_output=True, timeout=PATIENCE_SECONDS)
        self.check_clean()
        return done

    def starts(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def check_clean(self) -> None:
        self.assertEqual(list(self.directory.iterdir()), [])
        for start in self.starts():
            self.assertFalse(alive(start["pid"]))

    def test_all_rows(self) -> None:
        done = self.compare("--redis", str(FAKE), "--json", str(self.json), "--latency")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = json.loads(self.json.read_text())["rows"]
        self.assertEqual([figures["name"] for figures in rows], [row.name for row in ROWS])
        for figures in rows:
            for name, contender in figures["contenders"].items():
                self.assertGreater(contender["median_per_second"], 0, f"{figures['name']} {name}")
        printed = [line for line in done.stdout.splitlines() if line.startswith("| ")]
        for one in ROWS:
            self.assertTrue(any(line.startswith(f"| {one.work} |") for line in printed), one.work)
        self.assertIn("| Redis |", printed[0])

    def test_each_server_is_started_as_the_row_says(self) -> None:
        self.compare("--redis", str(FAKE), "--only=no-wal-1", "--only=sync-4", "--runs=2", "--contenders=karma,redis",
                     "--karma-option=--threads=2")
        starts = [" ".join(start["arguments"]) for start in self.starts()]
        self.assertEqual(len(starts), 2 * 2 * 2)
        karma = [text for text in starts if "--wal" in text]
        self.assertEqual(sum("--wal=false" in text for text in karma), 2)
        self.assertEqual(sum("--wal=true --wal-fsync=true" in text for text in karma), 2)
        self.assertTrue(all("--threads=2" in text and "--max-request-bytes=4194304" in text for text in karma))
        redis = [text for text in starts if "--appendonly" in text]
        self.assertEqual(sum("--appendonly no" in text for text in redis), 2)
        self.assertEqual(sum("--appendonly yes --appendfsync always" in text for text in redis), 2)

    def test_a_row_of_ones_own(self) -> None:
        done = self.compare("--op=80:counter.sum,20:counter.increment", "--connections=3", "--wal=none",
                            "--contenders=karma,floor", "--spread", "--json", str(self.json))
        self.assertEqual(done.returncode, 0, done.stderr)
        only, = json.loads(self.json.read_text())["rows"]
        report = only["contenders"]["karma"]["runs"][0]["report"]
        self.assertEqual(report["connections"], 3)
        self.assertEqual(list(report["operations"]), ["counter.sum", "counter.increment"])
        self.assertIn("| own | karma, counter.sum |", done.stdout)
        self.assertIn("lowest", done.stdout)
        self.assertIn("--wal=false", " ".join(self.starts()[0]["arguments"]))

    def test_without_redis(self) -> None:
        programs = self.log.parent / "programs"
        programs.mkdir()
        (programs / "python3").symlink_to(sys.executable)
        self.environment["PATH"] = str(programs)
        done = self.compare("--only=no-wal-1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Redis is not installed", done.stdout)
        self.assertNotIn("| Redis |", done.stdout)

    def test_error_replies(self) -> None:
        done = self.compare("--only=no-wal-1", "--contenders=karma", mode="errors")
        self.assertEqual(done.returncode, 1)
        self.assertIn("| error: ", done.stdout)
        self.assertIn("no \\| such op", done.stdout)

    def test_a_server_that_does_not_start(self) -> None:
        done = self.compare("--only=no-wal-1", "--contenders=karma", mode="exit")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the disk is on fire", done.stdout)

    def test_a_server_that_ignores_sigterm_is_ended_all_the_same(self) -> None:
        done = self.compare("--only=no-wal-1", "--contenders=karma", mode="deaf")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_interrupted(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.log.unlink(missing_ok=True)
                # A shell that runs this in the background has SIGINT ignored, which a child would inherit.
                with subprocess.Popen(self.command("--seconds=300", "--only=no-wal-1", "--contenders=karma"),
                                      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                      env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    while not self.starts() and time.monotonic() < deadline:
                        time.sleep(0.02)
                    running.send_signal(number)
                    running.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(running.returncode, 130)
                self.assertEqual(len(self.starts()), 1)
                self.check_clean()

    def test_wrong_usage_names_the_option(self) -> None:
        for wrong in (["--only=no-such-row"], ["--contenders=karma,oracle"], ["--runs=0"], ["--seconds=-1"],
                      ["--karma=/no/such/program"], ["--build=/no/such/directory"], ["--directory=/no/such/directory"],
                      ["--connections=3"], ["--wal=none"], ["--wal=much", "--op=counter.sum"],
                      ["--only=read-1", "--op=counter.sum"]):
            with self.subTest(wrong=wrong):
                done = self.compare(*wrong)
                self.assertEqual(done.returncode, 2)
                self.assertIn(wrong[0].split("=")[0], done.stderr)

    def test_list(self) -> None:
        done = self.compare("--list")
        self.assertEqual(done.returncode, 0)
        self.assertEqual([line.split()[0] for line in done.stdout.splitlines()], [row.name for row in ROWS])


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "--build":
        sys.exit(__doc__)
    BUILD = pathlib.Path(sys.argv[2]).resolve()
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
