#!/usr/bin/env python3
"""Tests perf/threads: its arithmetic on made-up figures, and its runs against a stand-in for the daemon."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
PERF = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PERF))

from comparison.rows import ROWS  # noqa: E402
from comparison.runs import Cell, Run  # noqa: E402

LOADER = importlib.machinery.SourceFileLoader("threads_script", str(PERF / "threads"))
threads = importlib.util.module_from_spec(importlib.util.spec_from_loader(LOADER.name, LOADER))
LOADER.exec_module(threads)

BUILD = pathlib.Path(sys.argv.pop(2)) if sys.argv[1:2] == ["--build"] else pathlib.Path()
sys.argv[1:2] = []
FAKE = PERF / "tests" / "fake_server.py"


def cell(*rates: float) -> Cell:
    return Cell([Run(rate) for rate in rates])


class ArithmeticTests(unittest.TestCase):
    def test_the_ratio_is_that_of_runs_beside_each_other(self) -> None:
        # A slow minute hit the second run of both.
        cells = {1: cell(100, 10, 100), 2: cell(120, 13, 110)}
        self.assertAlmostEqual(threads.ratio(cells, 2, 1), 1.2)

    def test_slower_than_one_thread_or_than_two(self) -> None:
        cells = {1: cell(100), 2: cell(150), 4: cell(120), 8: cell(90)}
        self.assertEqual([found[:2] for found in threads.slower(cells, 5)], [(4, 2), (8, 1), (8, 2)])
        self.assertEqual([found[:2] for found in threads.slower(cells, 25)], [(8, 2)])
        self.assertEqual(threads.slower({1: cell(100), 2: cell(96), 4: cell(95)}, 5), [])

    def test_an_error_is_no_ratio(self) -> None:
        cells = {1: cell(100), 2: Cell([Run(error="gone")])}
        self.assertIsNone(threads.ratio(cells, 2, 1))
        self.assertEqual(threads.slower(cells, 5), [])

    def test_the_verdict_names_what_is_slower(self) -> None:
        row = next(row for row in ROWS if row.name == "sync-16")
        said = threads.verdict([(row, 50, {1: cell(100), 2: cell(100), 4: cell(50)})], 5)
        self.assertIn("sync-16, 50 connections: 4 threads 0.50 × of 1", said)
        self.assertIn("Nothing is slower", threads.verdict([(row, 50, {1: cell(100), 4: cell(100)})], 5))

    def test_more_clients(self) -> None:
        row, connections = threads.with_clients(next(row for row in ROWS if row.name == "batch-add"), 4)
        self.assertEqual(connections, 16)
        self.assertIn("--connections=16", row.load)
        self.assertNotIn("--connections=4", row.load)


class ProgramTests(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.log = pathlib.Path(temporary.name) / "starts.log"
        self.directory = pathlib.Path(temporary.name) / "data"
        self.directory.mkdir()
        self.json = pathlib.Path(temporary.name) / "figures.json"

    def run_threads(self, *more: str, mode: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(PERF / "threads"), "--build", str(BUILD), "--karma", str(FAKE),
                               "--directory", str(self.directory), "--seconds=0.1",
                               "--warmup-seconds=0.05", *more],
                              env={**os.environ, "FAKE_LOG": str(self.log), "FAKE_MODE": mode}, text=True,
                              capture_output=True, timeout=600)

    def figures(self, *options: str) -> list[dict]:
        done = self.run_threads(*options, "--json", str(self.json))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("| row | connections | --threads=1 | --threads=3 |", done.stdout)
        self.assertEqual(list(self.directory.iterdir()), [])
        return json.loads(self.json.read_text())["rows"]

    def test_all_rows(self) -> None:
        rows = self.figures("--threads=1,3", "--clients=1", "--runs=1")
        self.assertEqual([(row["name"], row["connections"]) for row in rows],
                         [("no-wal-16", 50), ("sync-16", 50), ("batch-add", 4), ("batch-sum", 4), ("read-16", 50)])
        for row in rows:
            self.assertEqual(list(row["threads"]), ["1", "3"])
            self.assertGreater(row["threads"]["3"]["ratio_to_fewest"], 0)

    def test_clients_and_runs(self) -> None:
        rows = self.figures("--threads=3,1", "--clients=2,1", "--only=batch-sum", "--runs=2", "--spread")
        self.assertEqual([row["connections"] for row in rows], [4, 8])
        for row in rows:
            self.assertEqual(len(row["threads"]["3"]["runs"]), 2)
        starts = [json.loads(line)["arguments"] for line in self.log.read_text().splitlines()]
        self.assertEqual([start[-1] for start in starts if "--version" not in start],
                         ["--threads=1", "--threads=3"] * 4)

    def test_errors(self) -> None:
        done = self.run_threads("--only=sync-16", "--clients=1", "--threads=1,2", "--runs=1", mode="exit")
        self.assertEqual(done.returncode, 1)
        self.assertIn("the disk is on fire", done.stdout)

    def test_list_and_wrong_usage(self) -> None:
        self.assertEqual([line.split()[0] for line in self.run_threads("--list").stdout.splitlines()],
                         [row.name for row in ROWS if row.name in threads.NAMES])
        for wrong in ("--threads=0", "--threads=1,1", "--clients=many", "--only=sync-1", "--karma=/nonexistent"):
            done = self.run_threads(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(wrong.split("=")[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
