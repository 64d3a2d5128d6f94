"""A node of the cluster: a daemon, its directory, and how it was started."""

from __future__ import annotations

import json
import pathlib
import signal
import socket
import subprocess
import time

from soaking.connection import PATIENCE_SECONDS, Difference
from soaking.ending import end_process

# What a request may take on a busy machine; whatever takes longer is stuck.
REPLY_SECONDS = 30


def ask(port: int, op: str, **fields: object) -> dict:
    """The reply. Raises OSError where nobody answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=REPLY_SECONDS) as connection:
        connection.sendall((json.dumps({"v": 2, "op": op, **fields}) + "\n").encode())
        reply = b""
        while not reply.endswith(b"\n"):
            more = connection.recv(1 << 20)
            if not more:
                raise ConnectionError("closed")
            reply += more
        return json.loads(reply)


class Node:
    def __init__(self, name: str, program: pathlib.Path, directory: pathlib.Path, options: list[str],
                 follower_options: list[str]) -> None:
        self.name = name
        self.directory = directory / name
        self._program = program
        self._log = directory / f"{name}.log"
        self._options = options
        self._follower_options = follower_options
        self._reservation = socket.socket()  # bound and not listening: nobody else is given the port
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port: int = self._reservation.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.source: Node | None = None
        self._source_port = 0
        self.is_frozen = False
        self.disturbed_at = 0.0  # when it last began, ended or was frozen

    def start(self, source: Node | None = None, source_port: int = 0, order: str = "") -> None:
        self.source, self._source_port = source, source_port
        options = [f"--port={self.port}", f"--directory={self.directory}", f"--replication-name={self.name}",
                   *self._options]
        if source is not None:
            options += ["--role=slave", "--replication-source-host=127.0.0.1",
                        f"--replication-source-port={source_port}", *self._follower_options]
        if order:
            options.append(f"--replication-discard-diverged={order}")
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen([str(self._program), *options], stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log, start_new_session=True)
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise Difference(f"{self.name} ended at its start with status {self._process.returncode}")
            try:
                ask(self.port, "system.ping")
            except OSError:
                time.sleep(0.02)
            else:
                self.disturbed_at = time.monotonic()
                return
        raise Difference(f"{self.name} does not answer {PATIENCE_SECONDS} s after its start")

    def start_again(self) -> None:
        self.start(self.source, self._source_port)

    def end(self, how: signal.Signals) -> None:
        self.thaw()
        if not self.is_running():
            return
        self.disturbed_at = time.monotonic()
        end_process(self._process, self.name, how)

    def is_running(self) -> bool:
        if self._process is None:
            return False
        status = self._process.poll()
        if status not in (None, 0, -signal.SIGKILL):
            raise Difference(f"{self.name} ended by itself, status {status}")
        return status is None

    def answers(self) -> bool:
        return self.is_running() and not self.is_frozen

    def freeze(self) -> None:
        if self.answers():
            self.is_frozen = True
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.is_frozen:
            self._process.send_signal(signal.SIGCONT)
            self.is_frozen = False
            self.disturbed_at = time.monotonic()

    def status(self) -> dict | None:
        """replication.status; None where it does not answer just now."""
        try:
            reply = ask(self.port, "replication.status") if self.answers() else {"success": False}
        except TimeoutError:
            if time.monotonic() - self.disturbed_at < REPLY_SECONDS:
                return None
            raise Difference(f"{self.name} does not answer for {REPLY_SECONDS} s") from None
        except OSError:
            return None
        return reply["response"] if reply["success"] else None

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reservation.close()
