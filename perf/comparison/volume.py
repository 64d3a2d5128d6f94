"""One daemon with much data: what perf/volume and perf/targets measure of it."""

from __future__ import annotations

import datetime
import os
import pathlib
import random
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from comparison.client import FIRST_DAY, Connection, fill
from comparison.daemon import Daemon
from comparison.rows import load
from comparison.runs import Settings, call

SERIES = "volume"
OPTIONS = ["--dump-retention-per-tree=2"]

Figures = dict[str, object]


@dataclass(frozen=True)
class Profile:
    keys: int
    days: int

    @property
    def points(self) -> int:
        return self.keys * self.days

    def __str__(self) -> str:
        return f"{self.keys}x{self.days}"


PROFILES = [Profile(keys, days) for days, counts in ((7, (10_000, 50_000, 100_000)), (356, (10_000, 25_000, 50_000)))
            for keys in counts]


@dataclass
class Effort:
    """How much is done of what is repeated."""

    repeats: int = 5  # snapshots of everything, restarts
    scans: int = 20
    seconds: float = 5  # of loads and probes
    events: int = 1_000_000  # single events behind the snapshot
    rounds: int = 20  # snapshots with 10 % of the keys changed between


class Much:
    """A daemon that holds the points of a profile. The figures are gathered part by part."""

    def __init__(self, settings: Settings, directory: pathlib.Path, profile: Profile, effort: Effort) -> None:
        self.daemon = Daemon(settings.karma, directory, [*OPTIONS, *settings.karma_options], settings.interrupts)
        self.figures: Figures = {"keys": profile.keys, "days": profile.days, "points": profile.points}
        self._settings = settings
        self._directory = directory
        self._profile = profile
        self._effort = effort
        self._connection: Connection | None = None
        self._empty_bytes = 0

    @property
    def connection(self) -> Connection:
        """To the daemon that runs."""
        if self._connection is None:
            self._connection = self.daemon.connect()
        return self._connection

    def fill(self) -> None:
        """Loads the points, and says what memory they take: in the engine, and what the daemon grows by."""
        counted, error = call([str(self._settings.build / "micro/karma_memory"), str(self._profile.keys),
                               str(self._profile.days)], self._settings)
        if error:
            raise RuntimeError(f"karma_memory: {error}")
        self.figures["memory_bytes_a_point"] = counted["bytes_a_point_accounted"]
        self.daemon.start()
        self._empty_bytes = self.daemon.resident_bytes()
        self.figures["load_s"] = fill(self._settings.karma, self.daemon.port, SERIES, self._profile.keys,
                                      self._profile.days)
        self.figures["resident_bytes_a_point"] = self._grown_bytes_a_point()
        self.figures["resident_restarted_bytes_a_point"] = None

    def _grown_bytes_a_point(self) -> float:
        return (self.daemon.resident_bytes() - self._empty_bytes) / self._profile.points

    def snapshots(self) -> None:
        """Of everything, each time with all pages new, and after few keys changed."""
        sizes, times = [], []
        for number in range(self._effort.repeats):
            if number > 0:
                touch(self.connection, range(self._profile.keys))
            seconds, size = self._snapshot()
            times.append(seconds)
            sizes.append(size)
        self.figures["snapshot_s"], self.figures["snapshot_all_s"] = statistics.median(times), times
        # The first one, in which nothing older is dropped meanwhile.
        self.figures["snapshot_bytes"] = sizes[0]
        for name, part in (("1_percent", 100), ("1_in_10000", 10000)):
            touch(self.connection, range(0, self._profile.keys, part))
            seconds, size = self._snapshot()
            self.figures[f"snapshot_{name}_s"], self.figures[f"snapshot_{name}_bytes"] = seconds, size

    def _snapshot(self) -> tuple[float, int]:
        before = self.daemon.disk_bytes()
        seconds = timed(lambda: self.connection.ask("snapshot.create_all"))
        return seconds, max(0, self.daemon.disk_bytes() - before)

    def scans(self) -> None:
        last = FIRST_DAY + datetime.timedelta(days=self._profile.days)
        whole = {"from": int(FIRST_DAY.strftime("%Y%m%d")), "to": int(last.strftime("%Y%m%d"))}
        for name in ("summary", "top"):
            self.connection.ask(f"tree.{name}", series=SERIES, range=whole)
            times = [timed(lambda name=name: self.connection.ask(f"tree.{name}", series=SERIES, range=whole))
                     for _ in range(self._effort.scans)]
            self.figures[f"{name}_s"], self.figures[f"{name}_all_s"] = statistics.median(times), times

    def batch_sums(self) -> None:
        """counter.batch_sum of 1,000 keys over all days, 4 connections."""
        report, error = call([str(self._settings.build / "karma_load"), f"--port={self.daemon.port}", "--json",
                              f"--seconds={self._effort.seconds}", "--op=counter.batch_sum", f"--series={SERIES}",
                              f"--keys={self._profile.keys}", "--items=1000", *load(4, 1)], self._settings)
        if error:
            raise RuntimeError(f"counter.batch_sum: {error}")
        self.figures["batch_sum_keys_per_second"] = report["items_per_second"]
        self.figures["batch_sum_latency_us"] = report["latency_us"]

    def restores(self) -> None:
        """After kill -9, from the snapshot alone."""
        self.connection.ask("snapshot.create_all")
        times = [self.restart() for _ in range(self._effort.repeats)]
        # Without the log's memory that loading has filled.
        self.figures["resident_restarted_bytes_a_point"] = self._grown_bytes_a_point()
        self.figures["restore_s"], self.figures["restore_all_s"] = statistics.median(times), times

    def restart(self) -> float:
        """From the start of the process to the first sum."""
        self._connection = None
        return self.daemon.restart(lambda connection: connection.ask("counter.sum", series=SERIES, key=1))

    def restore_with_events(self) -> None:
        single_events(self.connection, self._profile.keys, self._effort.events)
        self.figures["events"] = self._effort.events
        self.figures["restore_with_events_s"] = self.restart()

    def verify_and_fetch(self) -> None:
        self.figures["verify_s"] = timed(lambda: self.connection.ask("snapshot.verify"))
        file = next(one for one in self.connection.ask("snapshot.info")["latest_by_tree"] if one["tree"] == SERIES)
        resident = self.daemon.resident_bytes()
        begin = time.perf_counter()
        fetched, done = 0, False
        while not done:
            part = self.connection.ask("snapshot.fetch_chunk", file=file["file"], offset=fetched, limit=1048576)
            fetched, done = part["next_offset"], part["done"]
        self.figures["fetch_s"] = time.perf_counter() - begin
        self.figures["fetch_bytes"] = fetched
        self.figures["fetch_memory_bytes"] = self.daemon.resident_bytes() - resident

    def writes(self) -> None:
        """In turn: without a snapshot, and while snapshots of everything run one after the other."""
        probe = Probe(self.daemon.connect(), self._profile.keys)
        other = self.daemon.connect()

        def quiet() -> dict[str, float]:
            end = time.perf_counter() + self._effort.seconds
            return probe.run(lambda: time.perf_counter() > end)

        self.figures["writes"] = {"without": quiet(), "during": self._writes_beside_snapshots(probe, other),
                                  "without_again": quiet()}

    def _writes_beside_snapshots(self, probe: Probe, other: Connection) -> dict[str, float]:
        end = time.perf_counter() + self._effort.seconds
        running, done = threading.Event(), threading.Event()
        taken: list[float] = []
        failures: list[Exception] = []

        def snapshots() -> None:
            try:
                while time.perf_counter() < end or not taken:
                    running.clear()
                    touch(other, range(self._profile.keys))  # all of its pages are new
                    running.set()
                    taken.append(timed(lambda: other.ask("snapshot.create_all")))
            except (OSError, RuntimeError, ValueError) as failure:
                failures.append(failure)
            finally:
                done.set()

        # Not waited for when this ends early: the daemon's end is the thread's.
        thread = threading.Thread(target=snapshots, daemon=True)
        thread.start()
        took = probe.run(done.is_set, running.is_set)
        thread.join()
        if failures:
            raise failures[0]
        return {**took, "snapshots": len(taken), "snapshot_s": statistics.mean(taken)}

    def disk(self) -> None:
        """What is left after many snapshots, and what writing and reading a snapshot's bytes takes."""
        for turn in range(self._effort.rounds):
            touch(self.connection, range(turn % 10, self._profile.keys, 10))
            self.connection.ask("snapshot.create_all")
        time.sleep(3)
        self.figures["disk_bytes_after_rounds"] = self.daemon.disk_bytes()
        writing, reading = floor_of_disk(self._directory, self.figures["snapshot_bytes"])
        self.figures["floor_write_s"], self.figures["floor_read_s"] = writing, reading


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Probe:
    """Single increments, one in flight, and how long each took."""

    def __init__(self, connection: Connection, keys: int) -> None:
        self._connection = connection
        self._keys = keys

    def run(self, is_over: Callable[[], bool], is_counted: Callable[[], bool] = lambda: True) -> dict[str, float]:
        took = [0.0]
        choice = random.Random(11)
        while not is_over():
            line = (f'{{"v":2,"op":"counter.increment","series":"{SERIES}","key":{choice.randrange(self._keys)},'
                    f'"bucket":20250101}}\n').encode()
            counted = is_counted()
            begin = time.perf_counter()
            self._connection.exchange(line)
            if counted:
                took.append(time.perf_counter() - begin)
        took.sort()
        return {"count": len(took), "p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[len(took) * 99 // 100] * 1e3,
                "p999_ms": took[len(took) * 999 // 1000] * 1e3, "max_ms": took[-1] * 1e3}


def touch(connection: Connection, keys: range) -> None:
    """Changes one bucket of each key."""
    items = [[key, 20250101, 1] for key in keys]
    for first in range(0, len(items), 20000):
        connection.ask("series.batch_add", series=SERIES, items=items[first:first + 20000])


def single_events(connection: Connection, keys: int, count: int) -> None:
    piece = min(2000, count)
    lines = b"".join(f'{{"v":2,"op":"counter.increment","series":"{SERIES}","key":{(number * 7919) % keys},'
                     f'"bucket":20250102}}\n'.encode() for number in range(piece))
    for _ in range(count // piece):
        connection.exchange(lines, piece)


def floor_of_disk(directory: pathlib.Path, size: int) -> tuple[float, float]:
    """Writing so many bytes to a file with a sync at the end, and reading them back."""
    block = os.urandom(1 << 20)
    file = directory / "floor"

    def write() -> None:
        with open(file, "wb") as out:
            for _ in range(max(1, size >> 20)):
                out.write(block)
            out.flush()
            os.fsync(out.fileno())

    writing = timed(write)
    reading = timed(lambda: file.read_bytes())
    file.unlink()
    return writing, reading
