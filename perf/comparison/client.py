"""Talking to one daemon: requests one after the other, and many points through karma import."""

from __future__ import annotations

import datetime
import json
import pathlib
import random
import socket
import subprocess
import time

FIRST_DAY = datetime.date(2025, 1, 1)


class Connection:
    """One request after the other."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def ask(self, op: str, **fields: object) -> object:
        reply = json.loads(self.exchange(json.dumps({"v": 2, "op": op, **fields}).encode() + b"\n"))
        if not reply["success"]:
            raise RuntimeError(f"{op}: {reply['error_code']}: {reply['response']}")
        return reply["response"]

    def exchange(self, lines: bytes, count: int = 1) -> bytes:
        """Sends so many requests at once. The last of their replies."""
        self._socket.sendall(lines)
        for _ in range(count):
            reply = self._file.readline()
            if not reply.endswith(b"\n"):
                raise ConnectionError("the daemon closed the connection")
        return reply

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def fill(karma: pathlib.Path, port: int, series: str, keys: int, days: int) -> float:
    """Points with small values, through karma import. How many seconds it took."""
    dates = [(FIRST_DAY + datetime.timedelta(days=number)).strftime("%Y%m%d") for number in range(days)]
    values = random.Random(7)
    begin = time.perf_counter()
    importer = subprocess.Popen([str(karma), "import", "-", "--series", series, "--port", str(port), "--mode", "set",
                                 "--request-bytes", "1000000", "--batch-items", "20000", "--in-flight", "8",
                                 "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        for key in range(keys):
            base = values.randrange(1, 100)
            importer.stdin.write("".join(f"{key},{date},{base + number % 100}\n"
                                         for number, date in enumerate(dates)).encode())
        importer.stdin.close()
        if importer.wait() != 0:
            raise RuntimeError("karma import failed")
    finally:
        importer.kill()  # where this ends early
        importer.wait()
    return time.perf_counter() - begin
