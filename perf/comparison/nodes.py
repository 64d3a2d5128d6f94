"""Daemons that follow one another. Each keeps its directory through stops and starts."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

from comparison.client import Connection
from comparison.servers import START_SECONDS, Interrupts, Server, ServerError, directory_under

WAIT_SECONDS = 600  # for anything that a node is to reach
POLL_SECONDS = 0.005

# Large requests and slow reads are allowed, and nobody is cut off for having nothing to say.
OPTIONS = ["--bind=127.0.0.1", "--port=0", "--max-request-bytes=1048576", "--max-response-bytes=0",
           "--read-timeout=600", "--query-timeout-ms=0"]


class Node:
    """A daemon on a directory of its own. `master`: whom it follows."""

    def __init__(self, program: pathlib.Path, directory: pathlib.Path, interrupts: Interrupts, options: list[str],
                 master: Node | None = None) -> None:
        self.name = directory.name
        self._directory = directory
        self._command = [str(program), f"--directory={directory / 'data'}", *OPTIONS, *options]
        self._interrupts = interrupts
        self._master = master
        self._server: Server | None = None
        self._connection: Connection | None = None
        self.started = 0.0  # as time.time() says, like the log

    @property
    def port(self) -> int:
        return self._server.port

    def start(self) -> None:
        command = list(self._command)
        if self._master:
            command += ["--role=slave", "--replication-source-host=127.0.0.1",
                        f"--replication-source-port={self._master.port}", f"--replication-name={self.name}"]
        self._directory.mkdir(exist_ok=True)
        self.started = time.time()
        with self._interrupts.held():
            with open(self._directory / "server.out", "wb") as out, open(self._directory / "server.err", "wb") as err:
                # A session of its own: Ctrl-C is for the script, which ends the daemon then.
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                           start_new_session=True)
            self._server = Server(process, 0, self._directory)
        self._server.port = self.wait_for_event("listening", START_SECONDS)["port"]
        self._connection = self.connect()

    def stop(self) -> None:
        """With SIGTERM. Its directory stays."""
        if self._connection:
            self._connection.close()
            self._connection = None
        if self._server:
            self._server.stop()

    def connect(self) -> Connection:
        return Connection(self.port)

    def ask(self, op: str, **fields: object) -> object:
        return self._connection.ask(op, **fields)

    def check(self) -> None:
        """That it is still there."""
        if self._server.process.poll() is not None:
            raise ServerError(f"the {self.name} ended with status {self._server.process.returncode}: "
                              f"{self._server.complaint()}")

    def event(self, name: str) -> dict | None:
        """The first such line of its log since it was started."""
        with open(self._directory / "server.out", encoding="utf-8", errors="replace") as log:
            for line in log:
                # The last line may still be being written.
                if line.endswith("\n") and line.startswith("{") and json.loads(line)["event"] == name:
                    return json.loads(line)
        return None

    def wait_for_event(self, name: str, seconds: float = WAIT_SECONDS) -> dict:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            line = self.event(name)
            if line:
                return line
            self.check()
            time.sleep(POLL_SECONDS)
        raise ServerError(f"the {self.name} does not say '{name}' after {seconds} s: {self._server.complaint()}")

    def processor_seconds(self) -> float:
        return self._server.processor_seconds()

    def last_lsn(self) -> int:
        return self.ask("replication.status")["wal_current_lsn"]


class Nodes:
    """All of a measurement. Made by `nodes`."""

    def __init__(self, program: pathlib.Path, directory: pathlib.Path, interrupts: Interrupts,
                 options: list[str]) -> None:
        self._program = program
        self._directory = directory
        self._interrupts = interrupts
        self._options = options
        self._all: list[Node] = []

    def start(self, name: str, *options: str, master: Node | None = None) -> Node:
        node = Node(self._program, self._directory / name, self._interrupts, [*self._options, *options], master)
        self._all.append(node)
        node.start()
        return node

    def processor_seconds(self) -> float:
        return sum(node.processor_seconds() for node in self._all)

    def stop(self) -> None:
        for node in reversed(self._all):
            node.stop()


@contextlib.contextmanager
def nodes(program: pathlib.Path, parent: pathlib.Path, interrupts: Interrupts,
          options: list[str]) -> Iterator[Nodes]:
    """Ends what was started with it, and removes its directories."""
    with directory_under(parent, interrupts) as directory:
        started = Nodes(program, directory, interrupts, options)
        try:
            yield started
        finally:
            with interrupts.held():
                started.stop()


def wait_until(condition: Callable[[], object], what: str, *watched: Node) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        for node in watched:
            node.check()
        if time.monotonic() > deadline:
            raise ServerError(f"{what}: not after {WAIT_SECONDS} s")
        time.sleep(POLL_SECONDS)


def wait_until_equal(master: Node, follower: Node) -> None:
    """Until the follower has all that an idle master has; then both compare their whole state."""
    lsn = settled_lsn(master)
    wait_until(lambda: has_reached(follower, lsn), f"the {follower.name} reaches LSN {lsn}", master, follower)
    verified = follower.ask("replication.verify")
    if verified["status"] != "equal" or verified["lsn"] < lsn:
        raise ServerError(f"replication.verify: {verified}")


def settled_lsn(master: Node) -> int:
    """Of a master whose clients have ended: what they sent last may still be on its way."""
    before, lsn = -1, master.last_lsn()
    while lsn != before:
        time.sleep(0.1)
        before, lsn = lsn, master.last_lsn()
    return lsn


def has_reached(follower: Node, lsn: int) -> bool:
    """Only what it took from this master, or has from before: not a state of which it has a part."""
    return follower.ask("replication.status")["replayed_lsn"] >= lsn


def is_bootstrapped(follower: Node) -> bool:
    return follower.ask("replication.status")["replication_bootstrap_success_count"] > 0
