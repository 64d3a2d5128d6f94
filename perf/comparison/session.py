"""What the scripts that compare share: their options, what is said of the machine, and runs in turn."""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from comparison import table
from comparison.rows import Row
from comparison.runs import Cell, Settings, contenders_of, measure
from comparison.servers import Interrupts

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CONTENDERS = ("karma", "redis", "floor")


class UsageError(Exception):
    """What is wrong with the command line; the message names the option."""


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 86400:
        raise ValueError
    return number


def count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1000:
        raise ValueError
    return number


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def numbers(text: str) -> list[int]:
    """As in 1,2,4."""
    found = [at_least_one(part) for part in text.split(",")]
    if len(set(found)) != len(found):
        raise ValueError
    return found


def add_places(parser: argparse.ArgumentParser) -> None:
    """Options that say where the programs are and where the data goes."""
    parser.add_argument("--karma", type=pathlib.Path, metavar="PATH", help="the daemon (default: build/release/karma)")
    parser.add_argument("--build", type=pathlib.Path, metavar="DIRECTORY",
                        help="where karma_load, karma_floor and karma_sync_floor are (default: perf/ beside the "
                             "daemon)")
    parser.add_argument("--directory", type=pathlib.Path, metavar="DIRECTORY",
                        help="on the disk to be measured; the servers' data goes into new directories below it and is "
                             "removed (default: that of --build)")
    parser.add_argument("--karma-option", action="append", default=[], metavar="OPTION",
                        help="a further option of the daemon: --karma-option=--threads=2; may be repeated")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures there")


def add_runs(parser: argparse.ArgumentParser, runs: int) -> None:
    parser.add_argument("--runs", type=at_least_one, default=runs,
                        help=f"runs of each, of which the median counts (default: {runs})")
    parser.add_argument("--seconds", type=positive, default=3.0, help="length of a run (default: 3)")
    parser.add_argument("--warmup-seconds", type=positive, default=1.0, help="before each run (default: 1)")
    parser.add_argument("--max-disturbed", type=float, default=10.0, metavar="PERCENT",
                        help="a run is disturbed when other programs take more of the processors (default: 10)")
    parser.add_argument("--retries", type=count, default=0,
                        help="repeat a disturbed run up to so many times (default: 0)")


def add_redis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--redis", metavar="PATH", help="redis-server (default: the one of the PATH, if any)")


def add_only(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help=f"only rows whose name matches, such as '{example}'; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the rows and end")


def chosen(names: list[str], patterns: list[str] | None) -> list[str]:
    if patterns is None:
        return names
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UsageError(f"--only: no row matches '{pattern}' (--list shows them)")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def is_program(path: pathlib.Path | str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def make_settings(arguments: argparse.Namespace, contenders: list[str], programs: list[str]) -> Settings:
    """Checks the options that the functions above have added. `programs`: what is needed of --build."""
    given = arguments.build.resolve() if arguments.build else None
    karma = (arguments.karma or (given.parent if given else ROOT / "build/release") / "karma").resolve()
    build = given or karma.parent / "perf"
    for name in programs:
        if not is_program(build / name):
            raise UsageError(f"--build: there is no program {build / name} "
                             "(cmake --preset release && cmake --build --preset release)")
    if "karma" in contenders and not is_program(karma):
        raise UsageError(f"--karma: there is no program {karma}")
    wanted = getattr(arguments, "redis", None)
    if wanted and not is_program(wanted):
        raise UsageError(f"--redis: there is no program {wanted}")
    redis = (wanted or shutil.which("redis-server")) if "redis" in contenders else None
    directory = (arguments.directory or build).resolve()
    if not (directory.is_dir() and os.access(directory, os.W_OK)):
        raise UsageError(f"--directory: {directory} is no directory that can be written to")
    if file_system(directory) in ("tmpfs", "ramfs"):
        print("--directory is in memory: syncing costs nothing there", file=sys.stderr)
    return Settings(build, karma, redis, directory, contenders, arguments.karma_option,
                    getattr(arguments, "runs", 1), getattr(arguments, "retries", 0),
                    getattr(arguments, "seconds", 1.0), getattr(arguments, "warmup_seconds", 0.0),
                    getattr(arguments, "max_disturbed", 10.0), Interrupts())


def file_system(directory: pathlib.Path) -> str:
    best, kind = "", "unknown"
    with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            _, point, name = line.split()[:3]
            if len(point) >= len(best) and directory.is_relative_to(point):
                best, kind = point, name
    return kind


def version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=10,
                              stdin=subprocess.DEVNULL)
        return (done.stdout.strip().splitlines() or ["unknown version"])[0]
    except (OSError, subprocess.TimeoutExpired):
        return "unknown version"


def machine(directory: pathlib.Path) -> str:
    return f"{datetime.date.today()}, Linux {platform.release()}, {os.cpu_count()} processors, data on " \
           f"{file_system(directory)}"


def describe(settings: Settings) -> str:
    lines = [f"{machine(settings.directory)}, servers and generator side by side; median of {settings.runs} runs of "
             f"{settings.seconds:g} s."]
    if "karma" in settings.contenders:
        lines.append(f"Karma: {version([str(settings.karma), '--version'])}.")
    if settings.redis:
        lines.append(f"Redis: {version([settings.redis, '--version'])}.")
    elif "redis" in settings.contenders:
        lines.append("Redis is not installed (redis-server), so nothing is compared with it.")
    return "\n".join(lines)


def show_progress(text: str, end: str = "") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def write_json(file: pathlib.Path | None, content: object) -> None:
    if file:
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def measure_row(row: Row, settings: Settings) -> dict[str, Cell]:
    cells = {name: Cell([]) for name in contenders_of(row, settings)}
    # In turn, so that a slow minute of the machine hits all alike.
    for number in range(settings.runs):
        for name, cell in cells.items():
            show_progress(f"{row.name}: {name}, run {number + 1} of {settings.runs}: ")
            run = measure(row, name, settings)
            cell.runs.append(run)
            show_progress(run.error or table.rate_text(run.rate, row.unit), "\n")
    return cells
