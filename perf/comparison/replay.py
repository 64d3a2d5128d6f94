"""How fast a start applies a log of single increments without a snapshot, and how long that log is."""

from __future__ import annotations

import statistics
from dataclasses import replace

from comparison.daemon import Daemon
from comparison.rows import WAL_SYNCED, load
from comparison.runs import Settings, call
from comparison.servers import directory_under

SERIES = "links"  # karma_load's
KEYS = 100_000


def write_increments(settings: Settings, port: int, count: int) -> None:
    """So many single increments, each an event: 50 connections with 16 in flight."""
    patient = replace(settings, seconds=3600)
    _, error = call([str(settings.build / "karma_load"), f"--port={port}", "--json", f"--requests={count}",
                     f"--seconds={patient.seconds}", f"--keys={KEYS}", *load(50, 16)], patient)
    if error:
        raise RuntimeError(f"writing {count} increments: {error}")


def measure_replay(settings: Settings, events: int, starts: int) -> dict[str, object]:
    """Starts after kill -9, in turn with the same of a daemon that has next to nothing."""
    with directory_under(settings.directory, settings.interrupts) as parent:
        daemons = []
        for name in ("full", "empty"):
            (parent / name).mkdir()
            daemons.append(Daemon(settings.karma, parent / name, [*WAL_SYNCED, *settings.karma_options],
                                  settings.interrupts))
        full, empty = daemons
        try:
            empty.start()
            empty.connect().ask("counter.increment", series=SERIES, key=0)
            empty.kill()
            full.start()
            write_increments(settings, full.port, events)
            log_bytes = full.connect().ask("replication.status")["wal_bytes"]
            full.kill()
            disk_bytes = full.disk_bytes()
            times: dict[str, list[float]] = {"full": [], "empty": []}
            for _ in range(starts):
                times["full"].append(start_of(full, events))
                times["empty"].append(start_of(empty, 1))
        finally:
            for daemon in daemons:
                daemon.kill()
    return figures_of(events, log_bytes, disk_bytes, times["full"], times["empty"])


def start_of(daemon: Daemon, total: int) -> float:
    """Seconds to the first answer. All events have to be there."""
    try:
        seconds = daemon.restart(lambda connection: connection.ask("counter.sum", series=SERIES, key=0))
        found = daemon.connect().ask("tree.summary", series=SERIES)["total"]
        if int(found) != total:
            raise RuntimeError(f"after the start there are {found} increments, not {total}")
        return seconds
    finally:
        daemon.kill()


def figures_of(events: int, log_bytes: int, disk_bytes: int, full: list[float],
               empty: list[float]) -> dict[str, object]:
    """The rates are of each start, less the median of those of the empty daemon; none where that leaves nothing."""
    less = statistics.median(empty)
    rates = [events / (seconds - less) for seconds in full if seconds > less]
    return {"events": events, "start_s": full, "empty_start_s": empty, "log_bytes_an_event": log_bytes / events,
            "disk_bytes_an_event": disk_bytes / events,
            "events_per_second": rates if len(rates) == len(full) else []}
