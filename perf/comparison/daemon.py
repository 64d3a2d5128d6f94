"""A daemon on one directory, through kills and starts."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable

from comparison.client import Connection
from comparison.servers import START_SECONDS, Interrupts, ServerError, end_of, free_port

# A start may read much: longer than that of an empty server.
RESTORE_SECONDS = 30 * START_SECONDS
# Large requests and slow reads are allowed; nothing happens by itself.
OPTIONS = ["--bind=127.0.0.1", "--log=false", "--max-request-bytes=4194304", "--max-response-bytes=0",
           "--read-timeout=600", "--query-timeout-ms=0", "--snapshot-interval-seconds=0"]


class Daemon:
    """`directory` has to exist; the data goes into `data` below it."""

    def __init__(self, program: pathlib.Path, directory: pathlib.Path, options: list[str],
                 interrupts: Interrupts) -> None:
        self.directory = directory / "data"
        self._errors = directory / "server.err"
        self._program = program
        self._options = options
        self._interrupts = interrupts
        self._process: subprocess.Popen[bytes] | None = None
        self._connections: list[Connection] = []
        self.port = 0

    def start(self) -> None:
        self.port = free_port()
        with self._interrupts.held(), open(self._errors, "wb") as errors:
            # A session of its own: Ctrl-C is for the script, which ends the daemon then.
            self._process = subprocess.Popen(
                [str(self._program), f"--port={self.port}", f"--directory={self.directory}", *OPTIONS, *self._options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        deadline = time.monotonic() + RESTORE_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"the daemon ended with status {self._process.returncode}: {end_of(self._errors)}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.002)
        raise ServerError(f"the daemon does not listen after {RESTORE_SECONDS} s: {end_of(self._errors)}")

    def kill(self) -> None:
        """With SIGKILL."""
        with self._interrupts.held():
            self.disconnect()
            if self._process is not None:
                if self._process.poll() is None:
                    self._process.send_signal(signal.SIGKILL)
                self._process.wait()

    def disconnect(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def stop(self) -> None:
        """With SIGTERM; waits for the end."""
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(RESTORE_SECONDS)
        if status != 0:
            raise ServerError(f"the daemon ended with status {status}: {end_of(self._errors)}")

    def restart(self, ask: Callable[[Connection], object], before_start: Callable[[], object] = lambda: None) -> float:
        """Kill -9, start: seconds from the start of the process to the first answer."""
        self.kill()
        before_start()
        begin = time.perf_counter()
        self.start()
        ask(self.connect())
        return time.perf_counter() - begin

    def connect(self) -> Connection:
        connection = Connection(self.port)
        self._connections.append(connection)
        return connection

    def resident_bytes(self) -> int:
        for line in pathlib.Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def files(self) -> list[pathlib.Path]:
        return [file for file in self.directory.rglob("*") if file.is_file()]

    def disk_bytes(self) -> int:
        """Files that the daemon drops meanwhile do not count."""
        size = 0
        for file in self.files():
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(file).st_size
        return size
