#!/usr/bin/env python3
"""Tests perf/volume with a real daemon and little data: what it measures is there, and nothing is left behind."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

VOLUME = pathlib.Path(__file__).resolve().parent.parent / "volume"
PROGRAMS = {"--karma": "", "--build": ""}
while sys.argv[1:2] and sys.argv[1] in PROGRAMS:
    name = sys.argv.pop(1)
    PROGRAMS[name] = sys.argv.pop(1)
TABLE = ("load_s", "memory_bytes_a_point", "snapshot_s", "snapshot_bytes", "snapshot_1_percent_s", "restore_s",
         "summary_s", "top_s", "batch_sum_keys_per_second")
DETAILS = ("restore_with_events_s", "verify_s", "fetch_s", "fetch_bytes", "disk_bytes_after_rounds")
LITTLE = ("--repeats=2", "--scans=3", "--seconds=0.5", "--events=4000", "--rounds=3")


class VolumeTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.file = self.directory / "figures.json"

    def run_volume(self, *more: str) -> subprocess.CompletedProcess[str]:
        programs = [f"{name}={path}" for name, path in PROGRAMS.items()]
        return subprocess.run([sys.executable, str(VOLUME), *programs, f"--directory={self.directory}", *more],
                              capture_output=True, text=True, timeout=600)

    def check_positive(self, figures: dict, names: tuple[str, ...]) -> None:
        for name in names:
            self.assertGreater(figures[name], 0, name)

    def test_one_table_over_profiles(self) -> None:
        done = self.run_volume("--profile=200x10", "--profile=300x3", *LITTLE, f"--json={self.file}")
        self.assertEqual(done.returncode, 0, done.stderr)
        profiles = json.loads(self.file.read_text())["profiles"]
        self.assertEqual([figures["points"] for figures in profiles], [2000, 900])
        for figures in profiles:
            self.check_positive(figures, TABLE)
            self.assertEqual(len(figures["snapshot_all_s"]), 2)
            self.assertEqual(len(figures["summary_all_s"]), 3)
            self.assertGreater(figures["batch_sum_latency_us"]["p95"], 0)
            self.assertNotIn("writes", figures)
        self.assertIn("|  | 200 keys x 10 days | 300 keys x 3 days |", done.stdout)
        self.assertIn("| points | 2,000 | 900 |", done.stdout)
        self.assertEqual([file.name for file in self.directory.iterdir()], ["figures.json"])

    def test_details(self) -> None:
        done = self.run_volume("--profile=200x10", "--details", *LITTLE, f"--json={self.file}")
        self.assertEqual(done.returncode, 0, done.stderr)
        figures, = json.loads(self.file.read_text())["profiles"]
        self.check_positive(figures, TABLE + DETAILS)
        self.assertGreater(figures["writes"]["without"]["count"], 0)
        self.assertGreater(figures["writes"]["during"]["snapshots"], 0)
        self.assertIn("| while snapshots of everything run |", done.stdout)

    def test_a_daemon_that_does_not_start(self) -> None:
        done = self.run_volume("--profile=200x10", "--karma-option=--threads=none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--threads must be", done.stderr)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_wrong_usage(self) -> None:
        for wrong in ("--profile=0x1", "--profile=many", "--repeats=0", "--karma=/nonexistent", "--build=/nonexistent"):
            done = self.run_volume(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(wrong.split("=")[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
