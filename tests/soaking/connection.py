"""Requests to a daemon that may be killed at any time."""

from __future__ import annotations

import contextlib
import json
import socket
import time

# How long nothing may come before it is a fault: a start reads all that there is.
PATIENCE_SECONDS = 120

Request = tuple[str, dict]


class Difference(Exception):
    """Something is not what it has to be."""


class Connection:
    """One client's way to the daemon on a port of 127.0.0.1, over any number of its restarts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._input = b""
        self.requests = 0
        self.repeats = 0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._input = b""

    def ask_once(self, requests: list[Request]) -> list[dict]:
        """Sends them in one write. The replies that came before the connection was lost, if it was."""
        replies: list[dict] = []
        lines = "".join(json.dumps({"v": 2, "op": op, **fields}) + "\n" for op, fields in requests)
        self.requests += len(requests)
        try:
            self._connect()
            self._socket.sendall(lines.encode())
            while len(replies) < len(requests):
                replies.append(json.loads(self._line()))
        except OSError as lost:
            if isinstance(lost, TimeoutError):
                raise Difference(f"no reply for {PATIENCE_SECONDS} s") from lost
            self.close()
        return replies

    def deliver(self, requests: list[Request]) -> list[dict]:
        """Sends what may be sent again, until all of it is answered."""
        replies: list[dict] = []
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            replies += self.ask_once(requests[len(replies):])
            if len(replies) == len(requests):
                return replies
            self.repeats += len(requests) - len(replies)
            if time.monotonic() > end:
                raise Difference(f"no daemon for {PATIENCE_SECONDS} s")
            time.sleep(0.02)

    def call(self, op: str, allowed: tuple[str, ...] = (), **fields: object) -> object:
        """The response of a request that may be sent again; None where the error is an allowed one."""
        reply = self.deliver([(op, fields)])[0]
        if reply["success"]:
            return reply["response"]
        if reply["error_code"] in allowed:
            return None
        raise Difference(f"{op} {fields} was answered {reply}")

    def _connect(self) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_SECONDS)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _line(self) -> bytes:
        while b"\n" not in self._input:
            more = self._socket.recv(1 << 20)
            if not more:
                raise ConnectionError("closed")
            self._input += more
        line, self._input = self._input.split(b"\n", 1)
        return line
