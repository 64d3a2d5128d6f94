#!/usr/bin/env python3
"""Tests perf/many_series with a real daemon and few series: its figures are there, and nothing is left behind."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

MANY_SERIES = pathlib.Path(__file__).resolve().parent.parent / "many_series"
PROGRAMS = {"--karma": "", "--build": ""}
while sys.argv[1:2] and sys.argv[1] in PROGRAMS:
    name = sys.argv.pop(1)
    PROGRAMS[name] = sys.argv.pop(1)


class ManySeriesTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.file = self.directory / "figures.json"

    def run_many_series(self, *more: str) -> subprocess.CompletedProcess[str]:
        programs = [f"{name}={path}" for name, path in PROGRAMS.items()]
        return subprocess.run([sys.executable, str(MANY_SERIES), *programs, f"--directory={self.directory}", *more],
                              capture_output=True, text=True, timeout=600)

    def test_few_series(self) -> None:
        done = self.run_many_series("--series=1200,300", f"--json={self.file}")
        self.assertEqual(done.returncode, 0, done.stderr)
        figures = json.loads(self.file.read_text())["series"]
        self.assertEqual([one["series"] for one in figures], [300, 1200])
        for one in figures:
            for name in ("creating them", "karma export", "snapshot.list, all pages", "stop", "start"):
                self.assertGreater(one[name]["seconds"], 0, name)
        self.assertIn("| us a series | 300 series | 1,200 series | ratio |", done.stdout)
        self.assertEqual([file.name for file in self.directory.iterdir()], ["figures.json"])

    def test_a_daemon_that_does_not_start(self) -> None:
        done = self.run_many_series("--series=100", "--karma-option=--threads=none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--threads must be", done.stderr)
        self.assertEqual(list(self.directory.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
