#!/usr/bin/env python3
"""Tests karma_in_process with little of everything: each case has its figures, and nothing is left behind."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = pathlib.Path(sys.argv.pop(2)) if sys.argv[1:2] == ["--build"] else pathlib.Path()
sys.argv[1:2] = []
WORKS = ["increment", "increment-with-key", "sum", "batch-add", "batch-sum"]
PATIENCE_SECONDS = 600


def command(*options: str) -> list[str]:
    return [str(BUILD / "karma_in_process"), *options]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=PATIENCE_SECONDS)


class InProcessTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.short = ["--seconds=0.02", "--warmup-seconds=0"]
        self.little = [f"--directory={self.directory}", "--keys=500", "--items=20"]

    def check_clean(self) -> None:
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_all_cases(self) -> None:
        done = run(*self.little, *self.short, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        cases = {case["name"]: case for case in json.loads(done.stdout)["cases"]}
        for work in WORKS:
            modes = ["none"] if "sum" in work else ["none", "unsynced", "synced"]
            for name in (f"{work}/{mode}/{count}" for mode in modes for count in (1, 16)):
                case = cases.pop(name)
                self.assertGreater(case["requests_per_second"], 0, name)
                items = 20 if "batch" in work else 1
                self.assertAlmostEqual(case["items_per_second"], items * case["requests_per_second"], delta=1, msg=name)
                self.assertGreater(case["latency_us"]["p50"], 0, name)
                self.assertLessEqual(case["latency_us"]["p50"], case["latency_us"]["p99"], name)
        self.assertEqual(cases, {})
        self.check_clean()

    def test_chosen_cases_as_a_table(self) -> None:
        done = run(*self.little, *self.short, "--wal=unsynced", "--per-commit=3", "--only=batch*")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line.split(" | ")[0] for line in done.stdout.splitlines()[2:]],
                         ["| batch-add/unsynced/3", "| batch-sum/unsynced/3"])
        self.assertEqual(run("--list", "--wal=synced", "--per-commit=2").stdout.splitlines(),
                         [f"{work}/synced/2" for work in WORKS])

    def test_interrupted(self) -> None:
        with subprocess.Popen(command(*self.little, "--seconds=300", "--only=increment/none/1"),
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not list(self.directory.iterdir()) and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            running.send_signal(signal.SIGTERM)
            running.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(running.returncode, 130)
        self.check_clean()

    def test_wrong_usage_names_the_option(self) -> None:
        for wrong in ("--wal=much", "--wal=", "--per-commit=0", "--per-commit=", "--seconds=-1", "--keys=many",
                      "--only=nothing"):
            done = run(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(wrong.split("=")[0], done.stderr)
        self.assertEqual(run("--directory=/nonexistent", "--seconds=0.01").returncode, 1)


if __name__ == "__main__":
    unittest.main()
