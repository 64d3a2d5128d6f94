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
KARMA = pathlib.Path(sys.argv.pop(2)) if sys.argv[1:2] == ["--karma"] else None
if KARMA is not None:
    sys.argv.pop(1)


class VolumeTest(unittest.TestCase):
    def run_volume(self, directory: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(VOLUME), f"--karma={KARMA}", f"--directory={directory}", *more],
                              capture_output=True, text=True, timeout=250)

    def test_little_data(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            figures_file = pathlib.Path(directory) / "figures.json"
            done = self.run_volume(directory, "--keys=200", "--days=10", "--events=4000", "--seconds=0.3",
                                   "--rounds=3", f"--json={figures_file}")
            self.assertEqual(done.returncode, 0, done.stderr)
            figures = json.loads(figures_file.read_text())
            self.assertEqual(figures["points"], 2000)
            for name in ("snapshot_s", "snapshot_1_percent_s", "restore_s", "restore_with_events_s", "summary_s",
                         "verify_s", "fetch_s", "fetch_bytes", "disk_bytes_after_rounds"):
                self.assertGreater(figures[name], 0, name)
            self.assertGreater(figures["writes"]["without"]["count"], 0)
            self.assertGreater(figures["writes"]["during"]["snapshots"], 0)
            self.assertIn("tree.summary of all days", done.stdout)
            self.assertEqual([file.name for file in pathlib.Path(directory).iterdir()], ["figures.json"])

    def test_wrong_usage(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(self.run_volume(directory, "--keys=0").returncode, 2)
            self.assertEqual(self.run_volume(directory, "--keys=many").returncode, 2)


if __name__ == "__main__":
    unittest.main()
