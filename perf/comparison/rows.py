"""The rows of the comparison: what work, against whom, and how fast it is meant to be.

One request in flight on each of 50 connections, and counter.increment, unless a row says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

# All single-key rows: every key is there before the measurement, so that nothing grows while it lasts.
SINGLE = ["--keys=100000", "--preload", "--preload-items=1000"]
# Batches of 1,000 items; 3,000,000 points in all, all of them there before.
BATCH = ["--keys=100000", "--days=30", "--items=1000", "--preload", "--preload-items=1000"]

WAL_NONE = ["--wal=false"]
WAL_UNSYNCED = ["--wal=true", "--wal-fsync=false"]
WAL_SYNCED = ["--wal=true", "--wal-fsync=true"]

WAL_MODES = {"none": WAL_NONE, "unsynced": WAL_UNSYNCED, "synced": WAL_SYNCED}

REDIS_VOLATILE = ["--appendonly", "no"]
# A rewrite of the log in the middle of a run would count against Redis.
REDIS_SYNCED = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]


@dataclass(frozen=True)
class Row:
    name: str
    work: str
    load: list[str]  # options of karma_load, for all contenders
    karma_op: str  # or a mix: 80:counter.sum,20:counter.increment
    karma: list[str]  # options of the daemon
    peer: str  # what the target is a multiple of: redis, keyless; or rate, stall: see Row.met()
    target: float | None  # a multiple; rate: so many a second; stall: the 90th percentile in milliseconds; None: none
    karma_load: tuple[str, ...] = ()  # further options of karma_load for Karma alone
    redis_op: str | None = None
    redis: list[str] | None = None
    unit: str = "requests"  # or items, keys: what is counted
    floor: str | None = "line"  # line: karma_floor; sync: karma_sync_floor
    floor_reply_bytes: int = 0
    shows_latency: bool = False  # latencies are printed whether they were asked for or not

    @property
    def counted(self) -> str:
        """The member of the generator's report that this row is about."""
        return "requests_per_second" if self.unit == "requests" else "items_per_second"

    @property
    def target_text(self) -> str:
        if self.target is None:
            return ""
        if self.peer == "redis":
            return f"{self.target:g} × Redis"
        if self.peer == "keyless":
            return f"{self.target:g} × without keys"
        if self.peer == "rate":
            return f"{self.target / 1e6:g} M {self.unit}/s"
        return f"no stall (p90 below {self.target:g} ms)"


def work_option(op: str) -> str:
    """Of karma_load."""
    return f"--mix={op}" if ":" in op else f"--op={op}"


def load(connections: int, in_flight: int, *more: str) -> list[str]:
    return [f"--connections={connections}", f"--in-flight={in_flight}", *more]


ROWS = [
    Row("no-wal-1", "counter.increment, no WAL, 1 in flight", load(50, 1, *SINGLE),
        "counter.increment", WAL_NONE, "redis", 1.0, redis_op="INCRBY", redis=REDIS_VOLATILE),
    Row("no-wal-16", "counter.increment, no WAL, 16 in flight", load(50, 16, *SINGLE),
        "counter.increment", WAL_NONE, "redis", 1.25, redis_op="INCRBY", redis=REDIS_VOLATILE),
    Row("wal-16", "WAL, no fsync, 16 in flight (Redis: no persistence)", load(50, 16, *SINGLE),
        "counter.increment", WAL_UNSYNCED, "redis", 1.0, redis_op="INCRBY", redis=REDIS_VOLATILE),
    Row("sync-1", "WAL and fsync, 1 in flight", load(50, 1, *SINGLE),
        "counter.increment", WAL_SYNCED, "redis", 1.3, redis_op="INCRBY", redis=REDIS_SYNCED),
    Row("sync-16", "WAL and fsync, 16 in flight", load(50, 16, *SINGLE),
        "counter.increment", WAL_SYNCED, "redis", 1.7, redis_op="INCRBY", redis=REDIS_SYNCED),
    Row("sync-keys-1", "WAL and fsync, idempotency keys, 1 in flight", load(50, 1, *SINGLE),
        "counter.increment", WAL_SYNCED, "keyless", 0.8, karma_load=("--idempotency",)),
    Row("sync-keys-16", "WAL and fsync, idempotency keys, 16 in flight", load(50, 16, *SINGLE),
        "counter.increment", WAL_SYNCED, "keyless", 0.8, karma_load=("--idempotency",)),
    Row("sync-4", "WAL and fsync, 4 connections (Redis: HINCRBY)", load(4, 1, *SINGLE),
        "counter.increment", WAL_SYNCED, "redis", 1.2, redis_op="HINCRBY", redis=REDIS_SYNCED, floor="sync"),
    Row("batch-add", "series.batch_add, 1,000 items, fsync, 4 connections", load(4, 1, *BATCH),
        "series.batch_add", WAL_SYNCED, "rate", 10e6, unit="items"),
    Row("batch-sum", "counter.batch_sum, 1,000 keys, 4 connections",
        load(4, 1, *BATCH),
        "counter.batch_sum", WAL_SYNCED, "rate", 15e6, unit="keys", floor_reply_bytes=25000),
    Row("split-writes", "counter.increment in two writes, no WAL, 4 connections", load(4, 1, "--split-writes", *SINGLE),
        "counter.increment", WAL_NONE, "stall", 20, redis_op="INCRBY", redis=REDIS_VOLATILE, floor=None),
    # Beside the design's table: what a user of Karma's own load scripts looks for, and no target.
    Row("wal-1", "WAL, no fsync, 1 in flight (Redis: no persistence)", load(50, 1, *SINGLE),
        "counter.increment", WAL_UNSYNCED, "redis", None, redis_op="INCRBY", redis=REDIS_VOLATILE),
    Row("no-wal-keys-1", "no WAL, idempotency keys, 1 in flight", load(50, 1, *SINGLE),
        "counter.increment", WAL_NONE, "keyless", None, karma_load=("--idempotency",)),
    Row("no-wal-keys-16", "no WAL, idempotency keys, 16 in flight", load(50, 16, *SINGLE),
        "counter.increment", WAL_NONE, "keyless", None, karma_load=("--idempotency",)),
    Row("read-1", "counter.sum, 1 in flight (Redis: GET)", load(50, 1, *SINGLE),
        "counter.sum", WAL_SYNCED, "redis", None, redis_op="GET", redis=REDIS_VOLATILE),
    Row("read-16", "counter.sum, 16 in flight (Redis: GET)", load(50, 16, *SINGLE),
        "counter.sum", WAL_SYNCED, "redis", None, redis_op="GET", redis=REDIS_VOLATILE),
    Row("mixed", "80 % counter.sum, 20 % counter.increment, zipf keys, fsync (Redis: GET, INCRBY)",
        load(50, 1, "--distribution=zipf", *SINGLE), "80:counter.sum,20:counter.increment", WAL_SYNCED, "redis", None,
        redis_op="80:GET,20:INCRBY", redis=REDIS_SYNCED, shows_latency=True),
]

REDIS_OPERATIONS = {"counter.increment": "INCRBY", "counter.sum": "GET", "system.ping": "PING"}


def own_row(op: str, connections: int, in_flight: int, wal: str, items: int, idempotency: bool) -> Row:
    """What a user asks for, with Redis beside it where it has the same."""
    is_batch = "batch" in op
    text = f"{op}, {connections} connections, {in_flight} in flight, log: {wal}"
    single = [*BATCH[:2], f"--items={items}", *BATCH[3:]] if is_batch else SINGLE
    unit = "items" if is_batch else "requests"
    if idempotency:
        return Row("own", text + ", idempotency keys", load(connections, in_flight, *single), op, WAL_MODES[wal],
                   "keyless", None, karma_load=("--idempotency",), unit=unit, shows_latency=True)
    return Row("own", text, load(connections, in_flight, *single), op, WAL_MODES[wal], "redis", None,
               redis_op=REDIS_OPERATIONS.get(op), redis=REDIS_SYNCED if wal == "synced" else REDIS_VOLATILE, unit=unit,
               shows_latency=True, floor_reply_bytes=25 * items if op == "counter.batch_sum" else 0)
