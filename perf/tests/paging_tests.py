#!/usr/bin/env python3
"""Tests perf/paging with a real daemon and a short log: its figures are there, and nothing is left behind."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PAGING = pathlib.Path(__file__).resolve().parent.parent / "paging"
PROGRAMS = {"--karma": "", "--build": ""}
while sys.argv[1:2] and sys.argv[1] in PROGRAMS:
    name = sys.argv.pop(1)
    PROGRAMS[name] = sys.argv.pop(1)
OPERATIONS = ["replication.entries", "event.list", "event.list of a series"]


class PagingTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.file = self.directory / "figures.json"

    def run_paging(self, *more: str) -> subprocess.CompletedProcess[str]:
        programs = [f"{name}={path}" for name, path in PROGRAMS.items()]
        return subprocess.run([sys.executable, str(PAGING), *programs, f"--directory={self.directory}", *more],
                              capture_output=True, text=True, timeout=600)

    def test_a_short_log(self) -> None:
        # A page that ends before the log does, and one that is longer than the log.
        done = self.run_paging("--events=3000", "--page-sizes=70,5000", "--starts=1", "--pages=20",
                               f"--json={self.file}")
        self.assertEqual(done.returncode, 0, done.stderr)
        pages = json.loads(self.file.read_text())["pages"]
        self.assertEqual([(page["operation"], page["page_size"]) for page in pages],
                         [(name, size) for name in OPERATIONS for size in (70, 5000)])
        for page in pages:
            for name in ("cold_ms", "dropped_ms", "hot_p50_ms", "sequential_events_per_second"):
                self.assertGreater(page[name], 0, name)
            self.assertLessEqual(page["hot_p50_ms"], page["hot_p95_ms"])
            self.assertEqual(page["hot_pages"], 20)
            self.assertEqual(page["sequential_pages"], 43 if page["page_size"] == 70 else 1)
        self.assertIn("| event.list | 5,000 |", done.stdout)
        self.assertEqual([file.name for file in self.directory.iterdir()], ["figures.json"])

    def test_one_operation(self) -> None:
        done = self.run_paging("--events=500", "--page-sizes=100", "--starts=1", "--pages=5", "--op=event.list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("replication.entries", done.stdout)

    def test_a_daemon_that_does_not_start(self) -> None:
        done = self.run_paging("--events=500", "--karma-option=--threads=none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--threads must be", done.stderr)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_wrong_usage(self) -> None:
        for wrong in ("--page-sizes=0", "--page-sizes=10001", "--page-sizes=5,5", "--events=none", "--op=event.find",
                      "--karma=/nonexistent"):
            done = self.run_paging(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(wrong.split("=")[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
