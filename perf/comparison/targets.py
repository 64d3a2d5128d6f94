"""The design's table: what is promised about speed, and whether a measurement keeps it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from comparison import table
from comparison.rows import Row
from comparison.runs import Cell
from comparison.table import rate_text

# Of Karma 1.0.1, on a machine of the kind that the project is measured on: by the rows of the comparison, ...
KARMA_1_RATES = {"no-wal-1": 50e3, "no-wal-16": 76e3, "sync-1": 38e3, "sync-16": 43e3, "sync-keys-1": 3.5e3,
                 "sync-keys-16": 4.0e3, "sync-4": 9e3, "batch-add": 1.0e6, "batch-sum": 3.7e6, "split-writes": 91.0}
# ... with 50,000 keys x 356 days, and starting with a log and no snapshot.
KARMA_1 = {"summary_s": 1.67, "snapshot_s": 1.28, "restore_s": 1.09, "bytes_a_point": 65.0,
           "replay_events_per_second": 0.18e6, "replay_bytes_an_event": 117.0}


def seconds_text(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.9995 else f"{value * 1e3:.0f} ms" if value >= 0.0995 \
        else f"{value * 1e3:.1f} ms"


def bytes_text(value: float) -> str:
    return f"{value:.1f} B"


def events_text(value: float) -> str:
    return rate_text(value, "events")


@dataclass(frozen=True)
class Bound:
    """A promise in absolute figures, or beside those of Karma 1.0.1."""

    name: str
    work: str
    karma_1: float
    limit: float
    is_most: bool  # else the least
    target_text: str
    show: Callable[[float], str]
    floor_text: str = ""


BOUNDS = [
    Bound("memory", "50,000 keys x 356 days: memory a point, as the engine accounts for it", KARMA_1["bytes_a_point"],
          4.0, True, "4 B", bytes_text, "2 B"),
    Bound("memory-resident", "the same: what the daemon's resident memory grows by", KARMA_1["bytes_a_point"], 4.0,
          True, "4 B", bytes_text, "2 B"),
    Bound("summary", "the same: tree.summary", KARMA_1["summary_s"], KARMA_1["summary_s"] / 30, True,
          "1/30 × Karma 1.0.1", seconds_text),
    Bound("snapshot", "the same: snapshot of everything", KARMA_1["snapshot_s"], KARMA_1["snapshot_s"] / 5, True,
          "1/5 × Karma 1.0.1, nobody waits", seconds_text),
    Bound("restore", "the same: kill -9, start, first answer", KARMA_1["restore_s"], KARMA_1["restore_s"] / 5, True,
          "1/5 × Karma 1.0.1", seconds_text),
    Bound("replay", "replay of single increments at the start", KARMA_1["replay_events_per_second"], 4e6, False,
          "4 M events/s", events_text),
    Bound("replay-bytes", "bytes of such an event in the log", KARMA_1["replay_bytes_an_event"], 20.0, True, "20 B",
          bytes_text),
]


@dataclass
class Measured:
    """Of one bound."""

    values: list[float] = field(default_factory=list)  # of the runs
    error: str = ""
    beside: str = ""  # the peer's figure, if there is one
    # What is promised besides: whether that is so, and its figure.
    also: bool | None = True
    also_text: str = ""
    is_comparable: bool = True  # of the size that the bound is about

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Line:
    """Of the table, as text."""

    name: str
    work: str
    karma: str
    beside: str
    floor: str
    karma_1: str
    ratio: str
    target: str
    met: bool | None
    spread: str
    details: dict = field(default_factory=dict)

    def columns(self, with_spread: bool) -> list[str]:
        karma = f"{self.karma} ({self.spread})" if with_spread and self.spread else self.karma
        return [self.work, karma, self.beside, self.floor, self.karma_1, self.ratio, self.target,
                table.VERDICTS[self.met]]


def spread_text(values: list[float], show: Callable[[float], str]) -> str:
    return f"{show(min(values))} to {show(max(values))}" if len(values) > 1 else ""


# ---- rows of the comparison

def line_of_row(row: Row, cells: dict[str, Cell]) -> Line:
    def show(rate: float) -> str:
        return rate_text(rate, row.unit)

    karma = table.usable(cells, "karma")
    found = table.ratio(row, cells)
    peers = [name for name in ("redis", "keyless") if name in cells]
    beside = ", ".join(f"{table.PEERS[name]} {table.cell_text(cells, name, row.unit)}" for name in peers)
    text = table.cell_text(cells, "karma", row.unit)
    if karma and row.peer == "stall":
        text += f", p90 {karma.latency_us('p90') / 1e3:.2f} ms"
    reference = KARMA_1_RATES.get(row.name)
    details = {"unit": f"{row.unit}/s", "median": karma.rate if karma else None,
               "reference": {"karma_1": reference, **{name: cells[name].rate for name in cells if name != "karma"}}}
    return Line(row.name, row.work, text, beside,
                table.cell_text(cells, "floor", "fdatasync" if row.floor == "sync" else row.unit),
                show(reference) if reference else "", ratio_of_row(row, cells, found, reference), row.target_text,
                table.met(row, cells), spread_text(karma.rates, show) if karma else "", details)


def ratio_of_row(row: Row, cells: dict[str, Cell], found: tuple[float, str] | None, reference: float | None) -> str:
    if found and found[1] == row.peer:
        return f"{found[0]:.2f} × {table.PEERS[found[1]]}"
    karma = table.usable(cells, "karma")
    return f"{karma.rate / reference:.1f} × Karma 1.0.1" if karma and reference else ""


# ---- bounds

def is_met(bound: Bound, measured: Measured) -> bool | None:
    """None when that cannot be said."""
    if measured.error:
        return False
    if not measured.values or not measured.is_comparable:
        return None
    keeps = measured.median <= bound.limit if bound.is_most else measured.median >= bound.limit
    return measured.also if keeps else False


def ratio(bound: Bound, measured: Measured) -> float | None:
    if measured.error or not measured.values or not measured.is_comparable:
        return None
    return measured.median / bound.karma_1


def line_of_bound(bound: Bound, measured: Measured) -> Line:
    if measured.error:
        text = f"error: {table.escaped(measured.error)}"
    else:
        text = bound.show(measured.median) if measured.values else "too little to tell"
    found = ratio(bound, measured)
    ratio_text = "" if found is None else f"{found:.{3 if bound.is_most else 1}f} × Karma 1.0.1"
    return Line(bound.name, bound.work, text + (f"; {measured.also_text}" if measured.also_text else ""),
                measured.beside, bound.floor_text, bound.show(bound.karma_1), ratio_text, bound.target_text,
                is_met(bound, measured), spread_text(measured.values, bound.show) if measured.values else "",
                {"median": measured.median if measured.values else None, "runs": measured.values,
                 "limit": bound.limit, "reference": {"karma_1": bound.karma_1}, "error": measured.error or None})


# ---- the table

def markdown(lines: list[Line], with_spread: bool) -> str:
    header = ["work", "Karma", "beside it", "floor", "Karma 1.0.1", "ratio", "target", "met"]
    return table.markdown(header, [line.columns(with_spread) for line in lines])


def as_json(lines: list[Line]) -> list[dict]:
    return [{"name": line.name, "work": line.work, "karma": line.karma, "beside": line.beside, "floor": line.floor,
             "karma_1": line.karma_1, "ratio": line.ratio, "target": line.target, "met": line.met,
             "spread": line.spread, **line.details} for line in lines]
