#!/usr/bin/env python3
"""Tests perf/replication with real daemons and little data: its figures are there, and nothing is left behind."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
PERF = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PERF))

from comparison import following  # noqa: E402

REPLICATION = PERF / "replication"
PROGRAMS = {"--karma": "", "--build": ""}
while sys.argv[1:2] and sys.argv[1] in PROGRAMS:
    name = sys.argv.pop(1)
    PROGRAMS[name] = sys.argv.pop(1)
ROWS = ["throughput", "lag", "catch-up", "bootstrap", "mixed", "acks"]


def run(*options: str, **programs: str) -> subprocess.CompletedProcess[str]:
    given = [f"{name}={path}" for name, path in {**PROGRAMS, **programs}.items()]
    return subprocess.run([sys.executable, str(REPLICATION), *given, *options], capture_output=True, text=True,
                          timeout=600)


class ArithmeticTest(unittest.TestCase):
    def test_what_was_acknowledged(self) -> None:
        operations = {"counter.increment": {"requests": 100, "repeats": 7},
                      "series.batch_add": {"requests": 10, "repeats": 2}, "counter.sum": {"requests": 50, "repeats": 0}}
        self.assertEqual(following.acknowledged_total(operations, 20), 93 + 8 * 20)


class ReplicationTest(unittest.TestCase):
    def check_positive(self, figures: dict, *names: str) -> None:
        for name in names:
            self.assertGreater(figures[name], 0, name)

    def check_lag(self, figures: dict) -> None:
        self.assertEqual(figures["count"], 20)
        self.check_positive(figures, "p50_ms")
        self.assertLessEqual(figures["p50_ms"], figures["p99_ms"])
        self.assertLessEqual(figures["p99_ms"], figures["max_ms"])

    def test_quick_run(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory) / "figures.json"
            done = run("--quick", f"--directory={directory}", f"--json={file}")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            rows = json.loads(file.read_text())["rows"]
            self.assertEqual(list(rows), ROWS)
            for name in ROWS:
                self.assertIn(f"\n{name}: ", done.stdout)
            self.assertIn("A quick run", done.stdout)
            self.check_positive(rows["throughput"], "ratio")
            for name in ("without", "with"):
                self.check_positive(rows["throughput"][name], "per_second", "p50_us", "p99_us")
            self.check_lag(rows["lag"]["idle"])
            self.check_lag(rows["lag"]["loaded"])
            self.check_positive(rows["lag"], "events_per_second", "reply_idle_ms", "reply_loaded_ms")
            self.assertEqual(rows["catch-up"]["events"], 5000)
            self.assertEqual(rows["catch-up"]["verified"], "equal")
            self.check_positive(rows["catch-up"], "events_per_second", "seconds_with_start")
            self.assertEqual(rows["bootstrap"]["points"], 1000)
            self.check_positive(rows["bootstrap"], "events_per_second")
            for name in ("idle", "loaded"):
                self.check_positive(rows["bootstrap"][name], "seconds", "bytes", "total")
                self.assertEqual(rows["bootstrap"][name]["summaries"], "equal")
            self.check_positive(rows["mixed"], "per_second", "repeats", "total", "p50_us")
            self.assertEqual(rows["mixed"]["requests"], 5000)
            for name in ("in_flight_1", "in_flight_16"):
                self.check_positive(rows["acks"][name], "ratio")
            self.assertEqual([found.name for found in pathlib.Path(directory).iterdir()], ["figures.json"])

    def test_chosen_rows(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            done = run("--quick", "--only=catch*", "--events=2000", f"--directory={directory}")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("2,000 events", done.stdout)
            self.assertNotIn("bootstrap", done.stdout)

    def test_row_that_fails(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            done = run("--quick", "--only=lag", "--karma-option=--threads=none", f"--directory={directory}")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("--threads must be", done.stdout)
            self.assertEqual(list(pathlib.Path(directory).iterdir()), [])

    def test_list(self) -> None:
        listed = run("--list").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in listed], ROWS)

    def test_wrong_usage(self) -> None:
        for option in ("--keys=0", "--keys=many", "--seconds=-1", "--only=nothing", "--directory=/nonexistent"):
            done = run(option)
            self.assertEqual(done.returncode, 2, option)
            self.assertIn(option.split("=")[0], done.stderr)

    def test_missing_programs(self) -> None:
        for option, missing in (("--karma", "/nonexistent/karma"), ("--build", "/nonexistent")):
            done = run(**{option: missing})
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"{option}: there is no program {missing}", done.stderr)


if __name__ == "__main__":
    unittest.main()
