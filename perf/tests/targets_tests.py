#!/usr/bin/env python3
"""Tests perf/targets: its arithmetic on made-up figures, and a quick run with a real daemon."""

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

from comparison import replay, targets  # noqa: E402
from comparison.rows import ROWS  # noqa: E402
from comparison.runs import Cell, Run  # noqa: E402
from comparison.targets import BOUNDS, Measured  # noqa: E402

PROGRAMS = {"--karma": "", "--build": ""}
while sys.argv[1:2] and sys.argv[1] in PROGRAMS:
    name = sys.argv.pop(1)
    PROGRAMS[name] = sys.argv.pop(1)
PATIENCE_SECONDS = 600


def bound(name: str):
    return next(bound for bound in BOUNDS if bound.name == name)


def cell(*rates: float, p90: float = 0.0) -> Cell:
    return Cell([Run(rate, report={"latency_us": {"p90": p90}}) for rate in rates])


def line_of(name: str, **cells: Cell) -> targets.Line:
    return targets.line_of_row(next(row for row in ROWS if row.name == name), cells)


class ArithmeticTests(unittest.TestCase):
    def test_what_may_not_be_more(self) -> None:
        for name, most in (("memory", 4.0), ("summary", 1.67 / 30), ("snapshot", 1.28 / 5), ("restore", 1.09 / 5),
                           ("replay-bytes", 20.0)):
            self.assertIs(targets.is_met(bound(name), Measured([most])), True, name)
            self.assertIs(targets.is_met(bound(name), Measured([most * 1.01])), False, name)

    def test_what_may_not_be_less(self) -> None:
        self.assertIs(targets.is_met(bound("replay"), Measured([4e6])), True)
        self.assertIs(targets.is_met(bound("replay"), Measured([3.9e6])), False)

    def test_the_median_counts(self) -> None:
        self.assertIs(targets.is_met(bound("memory"), Measured([9.0, 3.0, 3.5])), True)
        self.assertIs(targets.is_met(bound("memory"), Measured([9.0, 3.0, 4.5])), False)

    def test_ratios_are_to_karma_1(self) -> None:
        self.assertAlmostEqual(targets.ratio(bound("memory"), Measured([6.5])), 0.1)
        self.assertAlmostEqual(targets.ratio(bound("summary"), Measured([0.0167])), 0.01)
        self.assertAlmostEqual(targets.ratio(bound("replay"), Measured([1.8e6])), 10)
        self.assertEqual(targets.line_of_bound(bound("restore"), Measured([0.218])).ratio, "0.200 × Karma 1.0.1")

    def test_nobody_may_wait_for_a_snapshot(self) -> None:
        self.assertIs(targets.is_met(bound("snapshot"), Measured([0.1], also=False)), False)
        self.assertIs(targets.is_met(bound("snapshot"), Measured([0.1], also=True)), True)

    def test_another_size_says_nothing(self) -> None:
        line = targets.line_of_bound(bound("memory"), Measured([3.0], is_comparable=False))
        self.assertIsNone(line.met)
        self.assertEqual(line.ratio, "")
        self.assertEqual(line.columns(False)[-1], "?")

    def test_errors(self) -> None:
        line = targets.line_of_bound(bound("memory"), Measured(error="no | more"))
        self.assertEqual(line.karma, "error: no \\| more")
        self.assertIs(line.met, False)

    def test_rows_of_the_comparison(self) -> None:
        line = line_of("sync-16", karma=cell(160, 171, 180), redis=cell(100), floor=cell(1000))
        self.assertEqual((line.ratio, line.met, line.spread), ("1.71 × Redis", True, "160 /s to 180 /s"))
        self.assertEqual((line.beside, line.floor, line.karma_1), ("Redis 100 /s", "1.00 k/s", "43.0 k/s"))
        self.assertIs(line_of("sync-16", karma=cell(169), redis=cell(100)).met, False)
        self.assertIsNone(line_of("sync-16", karma=cell(169)).met)

    def test_with_and_without_keys(self) -> None:
        line = line_of("sync-keys-16", karma=cell(79), keyless=cell(100))
        self.assertEqual((line.ratio, line.met), ("0.79 × without keys", False))
        self.assertIn("without keys 100 /s", line.beside)

    def test_rates_are_shown_beside_karma_1(self) -> None:
        line = line_of("batch-add", karma=cell(10e6), floor=cell(60e6))
        self.assertEqual((line.ratio, line.met), ("10.0 × Karma 1.0.1", True))

    def test_stalls(self) -> None:
        self.assertIs(line_of("split-writes", karma=cell(9000, p90=300)).met, True)
        line = line_of("split-writes", karma=cell(91, p90=44_000))
        self.assertIs(line.met, False)
        self.assertIn("p90 44.00 ms", line.karma)

    def test_the_spread_is_shown_when_asked_for(self) -> None:
        line = targets.line_of_bound(bound("memory"), Measured([3.0, 2.0, 4.0]))
        self.assertEqual(line.columns(False)[1], "3.0 B")
        self.assertEqual(line.columns(True)[1], "3.0 B (2.0 B to 4.0 B)")

    def test_replay_is_what_a_start_takes_more_than_an_empty_one(self) -> None:
        figures = replay.figures_of(1_000_000, 10_000_000, 12_000_000, [0.3, 0.6, 1.1], [0.1, 0.1, 0.4])
        self.assertEqual([round(rate) for rate in figures["events_per_second"]], [5_000_000, 2_000_000, 1_000_000])
        self.assertEqual((figures["log_bytes_an_event"], figures["disk_bytes_an_event"]), (10, 12))
        self.assertEqual(replay.figures_of(10, 100, 100, [0.1, 0.3], [0.2])["events_per_second"], [])

    def test_every_target_has_a_line_in_the_list(self) -> None:
        listed = [line.split()[0] for line in run("--list").stdout.splitlines()]
        self.assertEqual(sorted(listed), sorted([row.name for row in ROWS if row.target is not None] +
                                                [bound.name for bound in BOUNDS] + ["mixed"]))


def command(*options: str, **programs: str) -> list[str]:
    given = [f"{name}={path}" for name, path in {**PROGRAMS, **programs}.items() if path]
    return [sys.executable, str(PERF / "targets"), *given, *options]


def run(*options: str, **programs: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options, **programs), capture_output=True, text=True, timeout=PATIENCE_SECONDS)


class ProgramTests(unittest.TestCase):
    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.file = self.directory / "figures.json"

    def test_quick_run(self) -> None:
        done = run("--quick", "--spread", f"--directory={self.directory}", f"--json={self.file}")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("A quick run", done.stdout)
        lines = {line["name"]: line for line in json.loads(self.file.read_text())["lines"]}
        self.assertEqual(sorted(lines), sorted([row.name for row in ROWS if row.target is not None] +
                                               [bound.name for bound in BOUNDS]))
        for name, line in lines.items():
            # So few events are replayed in no time.
            self.assertTrue(line["median"] or name == "replay", name)
            self.assertIn(f"| {line['work']} |", done.stdout)
        for name in ("memory", "summary", "snapshot", "restore"):
            self.assertIsNone(lines[name]["met"], name)
        self.assertIn("| mixed | karma, counter.increment |", done.stdout)
        self.assertEqual([found.name for found in self.directory.iterdir()], ["figures.json"])

    def test_a_failure_is_a_line(self) -> None:
        done = run("--quick", "--only=restore", "--only=replay", "--only=batch-sum", "--karma-option=--threads=none",
                   f"--directory={self.directory}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("--threads must be"), 3)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_interrupted(self) -> None:
        for only in ("no-wal-1", "restore", "replay"):
            with subprocess.Popen(command("--seconds=300", f"--only={only}", f"--directory={self.directory}"),
                                  preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while not list(self.directory.rglob("data")) and time.monotonic() < deadline:
                    time.sleep(0.02)
                time.sleep(0.2)
                os.kill(running.pid, signal.SIGINT)
                errors = running.communicate(timeout=PATIENCE_SECONDS)[1]
            self.assertEqual(running.returncode, 130, errors)
            self.assertEqual(list(self.directory.iterdir()), [], only)

    def test_wrong_usage(self) -> None:
        for wrong in ("--only=nothing", "--runs=0", "--repeats=none", "--karma=/nonexistent", "--redis=/nonexistent",
                      "--directory=/nonexistent"):
            done = run(wrong)
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(wrong.split("=")[0], done.stderr)


if __name__ == "__main__":
    unittest.main()
