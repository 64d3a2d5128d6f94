"""A daemon on a port and a directory of its own, through any number of ends and starts."""

from __future__ import annotations

import pathlib
import signal
import socket
import subprocess
import time

from soaking.connection import PATIENCE_SECONDS, Connection, Difference
from soaking.ending import end_process

OPTIONS = ["--bind=127.0.0.1", "--log=false", "--read-timeout=600", "--query-timeout-ms=0", "--threads=2",
           "--max-request-bytes=1048576", "--max-response-bytes=0", "--event-retention-bytes=33554432",
           "--idempotency-max-records=20000", "--wal-segment-bytes=2097152",
           "--replication-digest-interval-seconds=5"]


class Daemon:
    def __init__(self, name: str, program: pathlib.Path, directory: pathlib.Path, options: list[str]) -> None:
        self.name = name
        self._program = program
        self._directory = directory
        self._errors = directory / f"{name}.err"
        self._options = options
        # Bound and not listening: nobody else is given the port.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port: int = self._reservation.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self._errors, "ab") as errors:
            self._process = subprocess.Popen(
                [str(self._program), f"--port={self.port}", f"--directory={self._directory / self.name}", *OPTIONS,
                 *self._options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            self.check_running()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise Difference(f"{self.name} does not listen after {PATIENCE_SECONDS} s: {self.errors()}")

    def check_running(self) -> None:
        status = self._process.poll()
        if status is not None:
            raise Difference(f"{self.name} ended by itself, status {status}: {self.errors()}")

    def end(self, how: signal.Signals) -> None:
        """SIGTERM has to end it well, and in time."""
        self.check_running()
        try:
            end_process(self._process, self.name, how)
        except Difference as problem:
            raise Difference(f"{problem}: {self.errors()}") from problem

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reservation.close()

    def resident_mb(self) -> float:
        for line in pathlib.Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise Difference(f"{self.name} is gone: {self.errors()}")

    def errors(self) -> str:
        return self._errors.read_text(errors="replace")[-2000:] or "(it said nothing)"

    def connect(self) -> Connection:
        return Connection(self.port)
