"""What is printed."""

from __future__ import annotations

from comparison.rows import Row
from comparison.runs import Cell

Cells = dict[str, Cell]


def number_text(number: float) -> str:
    """Three digits that count: 1.40 M, 163 k, 91."""
    for factor, unit in ((1e6, " M"), (1e3, " k")):
        if number >= factor * 0.9995:
            number /= factor
            return f"{number:.2f}{unit}" if number < 9.995 else f"{number:.1f}{unit}" if number < 99.95 \
                else f"{number:.0f}{unit}"
    return f"{number:.0f}"


def rate_text(number: float, unit: str) -> str:
    text = number_text(number)
    what = "" if unit == "requests" else f"{unit}"
    space = "" if text[-1].isalpha() and not what else " "
    return f"{text}{space}{what}/s"


def escaped(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= 160 else text[:157] + "..."


def cell_text(cells: Cells, name: str, unit: str) -> str:
    cell = cells.get(name)
    if cell is None:
        return ""
    return f"error: {escaped(cell.error)}" if cell.error else rate_text(cell.rate, unit)


def usable(cells: Cells, name: str) -> Cell | None:
    cell = cells.get(name)
    return cell if cell is not None and not cell.error and cell.rate > 0 else None


VERDICTS = {True: "yes", False: "no", None: "?"}
PEERS = {"redis": "Redis", "keyless": "without keys", "floor": "floor"}


def ratio(row: Row, cells: Cells) -> tuple[float, str] | None:
    """Karma against the one that the target names, else against the floor."""
    karma = usable(cells, "karma")
    if karma is None:
        return None
    for name in dict.fromkeys((row.peer, "redis", "floor")):
        other = usable(cells, name)
        if other is not None and not (name == "floor" and row.floor == "sync"):
            return karma.rate / other.rate, name
    return None


def met(row: Row, cells: Cells) -> bool | None:
    """None when that cannot be said."""
    if row.target is None:
        return None
    karma = usable(cells, "karma")
    if karma is None:
        return False if "karma" in cells else None
    if row.peer == "rate":
        return karma.rate >= row.target
    if row.peer == "stall":
        return karma.latency_us("p90") < row.target * 1000
    found = ratio(row, cells)
    return found[0] >= row.target if found is not None and found[1] == row.peer else None


def line(row: Row, cells: Cells, with_redis: bool) -> list[str]:
    found = ratio(row, cells)
    verdict = "" if row.target is None else VERDICTS[met(row, cells)]
    columns = [row.work, cell_text(cells, "karma", row.unit)]
    if with_redis:
        columns.append(cell_text(cells, "redis", row.unit))
    floor_unit = "fdatasync" if row.floor == "sync" else row.unit
    columns.append(cell_text(cells, "floor", floor_unit))
    if "keyless" in cells:
        columns[1] += f" (without keys: {cell_text(cells, 'keyless', row.unit)})"
    columns += [f"{found[0]:.2f} × {PEERS[found[1]]}" if found else "", row.target_text, verdict]
    return columns


def markdown(header: list[str], lines: list[list[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(columns) + " |" for columns in rows)


def main_table(results: list[tuple[Row, Cells]], with_redis: bool) -> str:
    header = ["work", "Karma", *(["Redis"] if with_redis else []), "floor", "ratio", "target", "met"]
    return markdown(header, [line(row, cells, with_redis) for row, cells in results])


LATENCIES = ("p50", "p90", "p99", "p99.9", "max")


def latency_line(row: Row, name: str, cell: Cell, operation: str = "") -> list[str]:
    values = [f"{cell.latency_us(key, operation):.0f}" for key in LATENCIES]
    if operation:
        return [row.name, f"{name}, {operation}", *values, "", ""]
    generator = max(run.report.get("generator", {}).get("percent_of_core", 0.0) for run in cell.runs)
    cores = max(run.server_cores for run in cell.runs)
    return [row.name, name, *values, f"{cores:.2f}", f"{generator / 100:.2f}"]


def latency_ratio(row: Row, cells: Cells) -> list[str] | None:
    """Karma's latencies as multiples of the peer's, where it has one."""
    karma, other = usable(cells, "karma"), usable(cells, row.peer)
    if karma is None or other is None:
        return None
    pairs = [(karma.latency_us(key), other.latency_us(key)) for key in LATENCIES]
    return [row.name, f"Karma / {PEERS[row.peer]}",
            *(f"{ours / theirs:.2f} ×" if theirs > 0 else "" for ours, theirs in pairs), "", ""]


def latency_table(results: list[tuple[Row, Cells]]) -> str:
    lines = []
    for row, cells in results:
        for name, cell in cells.items():
            if cell.error:
                continue
            lines.append(latency_line(row, name, cell))
            operations = cell.runs[0].report.get("operations", {})
            lines += [latency_line(row, name, cell, operation) for operation in operations]
        ratios = latency_ratio(row, cells)
        if ratios:
            lines.append(ratios)
    header = ["row", "server", *LATENCIES, "server cores", "generator cores"]
    return "Latencies in microseconds, medians of the runs:\n\n" + markdown(header, lines)


def spread_table(results: list[tuple[Row, Cells]]) -> str:
    lines = [[row.name, name, *(rate_text(rate, row.unit) for rate in (min(cell.rates), cell.rate, max(cell.rates)))]
             for row, cells in results for name, cell in cells.items() if not cell.error]
    return "All runs:\n\n" + markdown(["row", "server", "lowest", "median", "highest"], lines)


def disturbances(results: list[tuple[Row, Cells]], limit_percent: float) -> str:
    """A sentence when other programs were at work; else nothing."""
    found = [f"{row.name} {name} {cell.disturbed_percent:.0f} %" for row, cells in results
             for name, cell in cells.items() if cell.disturbed_percent > limit_percent]
    if not found:
        return ""
    return ("Not to be trusted, as other programs took more than "
            f"{limit_percent:g} % of the processors meanwhile: " + ", ".join(found) + ".")


def as_json(results: list[tuple[Row, Cells]]) -> list[dict]:
    rows = []
    for row, cells in results:
        found = ratio(row, cells)
        rows.append({
            "name": row.name, "work": row.work, "unit": row.unit, "target": row.target_text, "met": met(row, cells),
            "ratio": found and {"value": found[0], "to": found[1]},
            "contenders": {
                name: {"median_per_second": cell.rate, "lowest": min(cell.rates), "highest": max(cell.rates),
                       "error": cell.error or None,
                       "runs": [{"per_second": run.rate, "error": run.error or None, "server_cores": run.server_cores,
                                 "disturbed_percent": run.disturbed_percent, "report": run.report}
                                for run in cell.runs]}
                for name, cell in cells.items()}})
    return rows
