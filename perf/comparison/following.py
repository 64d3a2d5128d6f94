"""What happens between a master and its followers: being equal, lagging behind, load meanwhile."""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from comparison.client import Connection
from comparison.nodes import Node, Nodes, has_reached, wait_until, wait_until_equal
from comparison.runs import Settings
from comparison.servers import directory_under, end_of

SERIES = "links"  # karma_load's
PROBED = "probe"  # the prober's own
PROBE_SECONDS_MAX = 30

Figures = dict[str, object]


def generator_command(settings: Settings, port: int, *options: str) -> list[str]:
    return [str(settings.build / "karma_load"), f"--port={port}", "--json", *options]


@contextlib.contextmanager
def load_running(settings: Settings, master: Node, *options: str) -> Iterator[None]:
    """karma_load, for as long as this lasts. Its rate is not known: the master's LSNs say it."""
    with directory_under(settings.directory, settings.interrupts) as directory:
        generator: subprocess.Popen[bytes] | None = None
        try:
            with settings.interrupts.held(), open(directory / "output", "wb") as output:
                generator = subprocess.Popen(
                    generator_command(settings, master.port, "--seconds=86400", "--warmup-seconds=0", *options),
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
            time.sleep(settings.warmup_seconds)
            yield
            if generator.poll() is not None:
                raise RuntimeError(f"the load ended before its time: {end_of(directory / 'output')}")
        finally:
            with settings.interrupts.held():
                if generator:
                    generator.kill()
                    generator.wait()


def follow(started: Nodes, master: Node) -> Node:
    """A follower that has all that the idle master has."""
    follower = started.start("follower", master=master)
    wait_until(lambda: follower.ask("replication.status")["replication_state"] == "streaming", "streaming", follower)
    lsn = master.last_lsn()
    wait_until(lambda: has_reached(follower, lsn), f"LSN {lsn}", master, follower)
    return follower


def log_time(line: dict) -> float:
    """As time.time() has it."""
    return datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()


def when(condition: Callable[[], object], what: str, *watched: Node) -> float:
    wait_until(condition, what, *watched)
    return time.time()


class Prober:
    """Increments a counter on the master and asks the follower for it until it shows."""

    def __init__(self, master: Connection, follower: Connection) -> None:
        self._master = master
        self._follower = follower
        self._value = 0
        self._pauses = random.Random(5)
        self._increment = self._line("counter.increment", bucket=20250101)
        self._sum = self._line("counter.sum")

    @staticmethod
    def _line(op: str, **fields: object) -> bytes:
        return json.dumps({"v": 2, "op": op, "series": PROBED, "key": 1, **fields}).encode() + b"\n"

    def _pause(self) -> None:
        """So that it is not in step with the commits of either node."""
        time.sleep(self._pauses.uniform(0, 0.002))

    def _ask_follower(self) -> tuple[int, float]:
        """Its value, and when the reply came."""
        line = self._follower.exchange(self._sum)
        at = time.perf_counter()
        reply = json.loads(line)
        if not reply["success"]:
            raise RuntimeError(f"counter.sum: {reply['response']}")
        return reply["response"], at

    def probe(self) -> tuple[float, int]:
        """Seconds from the acknowledgement to the first reply that shows it, and how many replies that took."""
        line = self._master.exchange(self._increment)
        acknowledged = time.perf_counter()
        if not json.loads(line)["success"]:
            raise RuntimeError(f"counter.increment: {line.decode(errors='replace')}")
        self._value += 1
        replies = 0
        while True:
            value, at = self._ask_follower()
            replies += 1
            if value >= self._value:
                return at - acknowledged, replies
            if at - acknowledged > PROBE_SECONDS_MAX:
                raise RuntimeError(f"the follower does not show an increment after {PROBE_SECONDS_MAX} s")

    def probes(self, count: int) -> Figures:
        lags, replies = [], []
        for _ in range(count):
            self._pause()
            lag, asked = self.probe()
            lags.append(lag * 1e3)
            replies.append(asked)
        lags.sort()
        return {"count": count, "p50_ms": lags[count // 2], "p99_ms": lags[count * 99 // 100], "max_ms": lags[-1],
                "shown_by_first_reply_percent": 100 * replies.count(1) / count}

    def reply_ms(self, count: int) -> float:
        """What a question to the follower takes, in the middle: about the shortest lag that can be measured."""
        took = []
        for _ in range(count):
            self._pause()
            begin = time.perf_counter()
            took.append(self._ask_follower()[1] - begin)
        return statistics.median(took) * 1e3


def keeps_up(master: Node, follower: Node) -> Callable[[], bool]:
    """Whether the follower has what the master had when this was asked before, some milliseconds ago."""
    before = sys.maxsize

    def is_up() -> bool:
        nonlocal before
        status = follower.ask("replication.status")
        is_there = status["replication_bootstrap_success_count"] > 0 and status["replayed_lsn"] >= before
        before = master.last_lsn()
        return is_there

    return is_up


def bootstrap_figures(master: Node, follower: Node, reached: float) -> Figures:
    """Once nobody writes any more: also whether both count the same."""
    wait_until_equal(master, follower)
    status = follower.ask("replication.status")
    if status["replication_bootstrap_success_count"] != 1:
        raise RuntimeError(f"the follower took {status['replication_bootstrap_success_count']} states, not one")
    summary = equal_summary(master, follower)
    return {"seconds": reached - follower.started,
            "state_s": log_time(follower.wait_for_event("state_taken")) - log_time(follower.event("following")),
            "bytes": status["replication_bytes_received"], "total": summary["total"], "summaries": "equal"}


def equal_summary(master: Node, follower: Node) -> dict:
    """tree.summary, which has to be the same on both."""
    summaries = [node.ask("tree.summary", series=SERIES) for node in (master, follower)]
    if summaries[0] != summaries[1]:
        raise RuntimeError(f"tree.summary: {summaries[0]} on the master, {summaries[1]} on the follower")
    return summaries[0]


def acknowledged_total(operations: dict[str, dict], items: int) -> int:
    """What karma_load's increments and batches, which add 1 each, come to: repeats were answered and add nothing."""
    def once(name: str) -> int:
        return operations[name]["requests"] - operations[name]["repeats"]

    return once("counter.increment") + items * once("series.batch_add")
