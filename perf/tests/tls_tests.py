#!/usr/bin/env python3
"""Tests perf/tls with a real daemon and short runs: its figures are there, and nothing is left behind."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TLS = pathlib.Path(__file__).resolve().parent.parent / "tls"
PROGRAMS = {"--karma": "", "--build": ""}
while sys.argv[1:2] and sys.argv[1] in PROGRAMS:
    name = sys.argv.pop(1)
    PROGRAMS[name] = sys.argv.pop(1)


class TlsTest(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)

    def run_tls(self, *more: str) -> subprocess.CompletedProcess[str]:
        programs = [f"{name}={path}" for name, path in PROGRAMS.items()]
        return subprocess.run([sys.executable, str(TLS), *programs, f"--directory={self.directory}", "--runs=1",
                               "--seconds=0.1", "--warmup-seconds=0.05", *more],
                              capture_output=True, text=True, timeout=600)

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
    def test_both_ways_of_a_row(self) -> None:
        file = self.directory / "figures.json"
        done = self.run_tls("--only=no-wal-16", f"--json={file}")
        self.assertEqual(done.returncode, 0, done.stderr)
        (row,) = json.loads(file.read_text())["rows"]
        self.assertEqual(row["name"], "no-wal-16")
        self.assertGreater(row["clear"], 0)
        self.assertGreater(row["tls"], 0)
        self.assertAlmostEqual(row["ratio"], row["tls"] / row["clear"])
        self.assertIn("over TLS", done.stdout)
        self.assertEqual([one.name for one in self.directory.iterdir()], ["figures.json"])

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
    def test_a_daemon_that_does_not_start(self) -> None:
        done = self.run_tls("--only=sync-1", "--karma-option=--threads=none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--threads must be", done.stderr)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_wrong_usage(self) -> None:
        for wrong in ("--only=nothing", "--runs=0", "--karma=/nonexistent"):
            done = self.run_tls(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(wrong.split("=")[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
