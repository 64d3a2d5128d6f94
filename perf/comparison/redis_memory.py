"""What Redis takes for the same points: a hash for each key, with the days as fields."""

from __future__ import annotations

import datetime
import random
import socket

from comparison.client import FIRST_DAY
from comparison.runs import Settings
from comparison.servers import redis_command, running

SAMPLE_KEYS = 1000  # enough: a key takes what the one before took


class Redis:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self._socket.makefile("rb")

    def ask(self, *words: object) -> bytes:
        texts = [str(word).encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text)
                                                                for text in texts))
        reply = self._file.readline()
        if reply[:1] == b"-" or not reply:
            raise RuntimeError(f"Redis: {reply.decode(errors='replace').strip()}")
        return self._file.read(int(reply[1:]) + 2) if reply[:1] == b"$" else reply

    def used_memory(self) -> int:
        return int(self.ask("INFO", "memory").partition(b"used_memory:")[2].split()[0])

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def redis_bytes_a_point(settings: Settings, keys: int, days: int) -> float:
    """Of hashes in their compact form, which takes an option from some days on."""
    command = redis_command(settings.redis or "", ["--appendonly", "no", "--hash-max-listpack-entries", str(days)])
    dates = [(FIRST_DAY + datetime.timedelta(days=number)).strftime("%Y%m%d") for number in range(days)]
    values = random.Random(7)
    sample = min(keys, SAMPLE_KEYS)
    with running(command, settings.directory, settings.interrupts) as server:
        redis = Redis(server.port)
        try:
            before = redis.used_memory()
            for key in range(sample):
                base = values.randrange(1, 100)
                redis.ask("HSET", f"links:{key}", *(word for number, date in enumerate(dates)
                                                    for word in (date, base + number % 100)))
            return (redis.used_memory() - before) / (sample * days)
        finally:
            redis.close()
