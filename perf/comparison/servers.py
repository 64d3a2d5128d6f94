"""Starting and ending the servers: each on a free port, in a directory of its own, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

START_SECONDS = 20
STOP_SECONDS = 10


class ServerError(Exception):
    """A server that does not come up, or ends by itself."""


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, but never between starting something and remembering it."""

    def __init__(self) -> None:
        self._held = 0
        self._pending = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        self._pending = True
        self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending and self._held == 0:
            self._pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._raise_pending()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_of(file: pathlib.Path) -> str:
    with contextlib.suppress(OSError):
        lines = file.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])
    return ""


class Server:
    """A running server. Made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, directory: pathlib.Path) -> None:
        self.process = process
        self.port = port
        self.directory = directory

    def processor_seconds(self) -> float:
        """User and system time so far; 0 when it has ended."""
        try:
            # The name, in parentheses, may hold anything.
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, IndexError):
            return 0.0

    def complaint(self) -> str:
        """The end of what it printed."""
        return end_of(self.directory / "server.err") or end_of(self.directory / "server.out")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(f"the server ended with status {self.process.returncode}: {self.complaint()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.02)
        raise ServerError(f"the server does not listen after {START_SECONDS} s: {self.complaint()}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def directory_under(parent: pathlib.Path, interrupts: Interrupts) -> Iterator[pathlib.Path]:
    """A new directory, removed at the end."""
    made: pathlib.Path | None = None
    try:
        with interrupts.held():
            made = pathlib.Path(tempfile.mkdtemp(prefix="compare-", dir=parent))
        yield made
    finally:
        with interrupts.held():
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def running(command: list[str], parent: pathlib.Path, interrupts: Interrupts) -> Iterator[Server]:
    """Starts the command, in which {port} and {directory} are replaced, and ends it."""
    with directory_under(parent, interrupts) as directory:
        data = directory / "data"
        data.mkdir()
        port = free_port()
        arguments = [part.replace("{port}", str(port)).replace("{directory}", str(data)) for part in command]
        server: Server | None = None
        try:
            with interrupts.held():
                with open(directory / "server.out", "wb") as out, open(directory / "server.err", "wb") as err:
                    # A session of its own: Ctrl-C is for this script, which ends the server then.
                    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                               start_new_session=True)
                server = Server(process, port, directory)
            server.wait_until_ready()
            yield server
        finally:
            with interrupts.held():
                if server is not None:
                    server.stop()


def karma_command(program: pathlib.Path, options: list[str], more: list[str]) -> list[str]:
    return [str(program), "--bind=127.0.0.1", "--port={port}", "--directory={directory}", "--log=false",
            "--max-request-bytes=4194304", "--max-response-bytes=0", *options, *more]


def redis_command(program: str, options: list[str]) -> list[str]:
    return [program, "--bind", "127.0.0.1", "--port", "{port}", "--dir", "{directory}", "--save", "",
            "--daemonize", "no", *options]


def floor_command(program: pathlib.Path, reply_bytes: int) -> list[str]:
    return [str(program), "--port={port}", f"--reply-bytes={reply_bytes}"]
