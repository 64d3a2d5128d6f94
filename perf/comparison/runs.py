"""One run: a fresh server, the generator, and what else went on on the machine meanwhile."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import statistics
import subprocess
from dataclasses import dataclass, field

from comparison.rows import Row, work_option
from comparison.servers import (Interrupts, Server, ServerError, directory_under, floor_command, karma_command,
                                redis_command, running)

# Beyond the time that a run is meant to take: start, preload and drain.
GENERATOR_SLACK_SECONDS = 180


@dataclass
class Settings:
    build: pathlib.Path  # where karma_load and its like are
    karma: pathlib.Path
    redis: str | None
    directory: pathlib.Path
    contenders: list[str]
    karma_options: list[str]
    runs: int
    retries: int
    seconds: float
    warmup_seconds: float
    max_disturbed_percent: float
    interrupts: Interrupts


@dataclass
class Run:
    rate: float = 0.0
    error: str = ""  # why there is no rate
    disturbed_percent: float = 0.0  # what other programs took of all processors
    server_cores: float = 0.0
    report: dict = field(default_factory=dict)


@dataclass
class Cell:
    """All runs of one contender on one row."""

    runs: list[Run]

    @property
    def error(self) -> str:
        return next((run.error for run in self.runs if run.error), "")

    @property
    def rate(self) -> float:
        return statistics.median(run.rate for run in self.runs)

    @property
    def disturbed_percent(self) -> float:
        return max(run.disturbed_percent for run in self.runs)

    @property
    def rates(self) -> list[float]:
        return [run.rate for run in self.runs]

    def latency_us(self, name: str, operation: str = "") -> float:
        """Of all requests, or of one operation of a mix."""
        def of(report: dict) -> float:
            part = report.get("operations", {}).get(operation, {}) if operation else report
            return part.get("latency_us", {}).get(name, 0.0)

        return statistics.median(of(run.report) for run in self.runs)


class Processors:
    """How much of all processors was used between making this and asking, and by whom."""

    def __init__(self, server: Server | None) -> None:
        self._server = server
        self._begin = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
        tick = os.sysconf("SC_CLK_TCK")
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ((user + nice + system + steal) / tick,
                (user + nice + system + steal + idle + iowait + irq + softirq) / tick,
                children.ru_utime + children.ru_stime,
                self._server.processor_seconds() if self._server else 0.0)

    def used(self) -> tuple[float, float]:
        """Percent that other programs took; cores that the server took."""
        busy, total, generator, server = (end - begin for end, begin in zip(self._now(), self._begin))
        if total <= 0:
            return 0.0, 0.0
        others = max(0.0, busy - generator - server)
        return 100 * others / total, server / total * (os.cpu_count() or 1)


def contenders_of(row: Row, settings: Settings) -> list[str]:
    """In the order in which they run."""
    found = ["karma"]
    if row.peer == "keyless":
        found.append("keyless")
    if row.redis_op is not None and settings.redis:
        found.append("redis")
    if row.floor:
        found.append("floor")
    # Karma without keys is there for Karma's sake.
    wanted = settings.contenders + (["keyless"] if "karma" in settings.contenders else [])
    return [name for name in found if name in wanted]


def server_command(row: Row, contender: str, settings: Settings) -> list[str]:
    if contender in ("karma", "keyless"):
        return karma_command(settings.karma, row.karma, settings.karma_options)
    if contender == "redis":
        return redis_command(settings.redis or "", row.redis or [])
    return floor_command(settings.build / "karma_floor", row.floor_reply_bytes)


def generator_options(row: Row, contender: str) -> list[str]:
    if contender == "karma":
        return [work_option(row.karma_op), *row.load, *row.karma_load]
    if contender == "keyless":
        return [work_option(row.karma_op), *row.load]
    if contender == "redis":
        return ["--protocol=redis", work_option(row.redis_op), *row.load]
    # The floor has nothing to be filled with.
    return ["--protocol=line", work_option(row.karma_op), *(option for option in row.load if "preload" not in option)]


def first_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")


def call(command: list[str], settings: Settings) -> tuple[dict, str]:
    """The JSON report of a program, and why it is not to be used."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=settings.seconds + settings.warmup_seconds + GENERATOR_SLACK_SECONDS)
    except subprocess.TimeoutExpired:
        return {}, "the generator did not end in time"
    except OSError as error:
        return {}, str(error)
    try:
        report = json.loads(done.stdout.decode(errors="replace"))
    except ValueError:
        return {}, first_line(done.stderr.decode(errors="replace")) or f"exit status {done.returncode}"
    if report.get("failure"):
        return report, report["failure"]
    if report.get("all_errors"):
        return report, f"{report['all_errors']} error replies, the first: {report.get('first_error', '')}"
    return report, ""


def measure_server(row: Row, contender: str, settings: Settings) -> Run:
    with running(server_command(row, contender, settings), settings.directory, settings.interrupts) as server:
        processors = Processors(server)
        report, error = call([str(settings.build / "karma_load"), f"--port={server.port}", "--json",
                              f"--seconds={settings.seconds}", f"--warmup-seconds={settings.warmup_seconds}",
                              *generator_options(row, contender)], settings)
        disturbed, cores = processors.used()
        if error and server.process.poll() is not None:
            error += f" (the server ended with status {server.process.returncode}: {server.complaint()})"
        return Run(report.get(row.counted, 0.0), error, disturbed, cores, report)


def measure_sync(settings: Settings) -> Run:
    with directory_under(settings.directory, settings.interrupts) as directory:
        processors = Processors(None)
        report, error = call([str(settings.build / "karma_sync_floor"), f"--directory={directory}", "--json",
                              f"--seconds={settings.seconds}"], settings)
        disturbed, _ = processors.used()
        return Run(report.get("syncs_per_second", 0.0), error, disturbed, 0.0, report)


def measure_once(row: Row, contender: str, settings: Settings) -> Run:
    try:
        if contender == "floor" and row.floor == "sync":
            return measure_sync(settings)
        return measure_server(row, contender, settings)
    except (ServerError, OSError) as error:
        return Run(error=str(error))


def measure(row: Row, contender: str, settings: Settings) -> Run:
    """One run, repeated while others disturb it; the least disturbed counts."""
    best = measure_once(row, contender, settings)
    for _ in range(settings.retries):
        if best.error or best.disturbed_percent <= settings.max_disturbed_percent:
            break
        again = measure_once(row, contender, settings)
        if again.error or again.disturbed_percent < best.disturbed_percent:
            best = again
    return best
