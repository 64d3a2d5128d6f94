"""A client that sends each write until some node has acknowledged it, many at a time."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter, deque

from disrupting.node import REPLY_SECONDS, Node
from soaking.connection import Difference

SERIES = ["a", "b", "c"]
DAYS = range(20260101, 20260106)
KEYS = 20
# What a node may answer that is no master, or is one no more.
LATER = {"forbidden", "replication_error", "internal_error"}

Point = tuple[str, int, int]


class Client:
    """Each write has an idempotency key of its own, and goes to any node until it is acknowledged."""

    def __init__(self, number: int, seed: int, nodes: list[Node]) -> None:
        self._number = number
        self._random = random.Random(f"{seed} client {number}")
        self._nodes = nodes
        self._window = self._random.choice([1, 16, 64, 256])
        self._made = 0
        self._to_send: deque[tuple[bytes, Counter]] = deque()
        self._sent: deque[tuple[bytes, Counter]] = deque()
        self.counted: Counter[Point] = Counter()
        self.acknowledged = 0
        self.repeats = 0
        self.problem: BaseException | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"client {number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, seconds: float) -> bool:
        """Makes no further writes. Whether all are acknowledged within the time."""
        self._ending.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._ending.is_set() or self._to_send:
                self._talk_to(self._random.choice(self._nodes))
                time.sleep(0.02)
        except BaseException as problem:  # noqa: BLE001: the main thread raises it
            self.problem = problem

    def _make(self) -> tuple[bytes, Counter]:
        self._made += 1
        choice = self._random
        series, day = choice.choice(SERIES), choice.choice(DAYS)
        kind = choice.randrange(3)
        points: list[tuple[Point, int]]
        if kind == 0:
            points = [((series, choice.randrange(KEYS), day), choice.randrange(1, 5))]
            (_, key, _), value = points[0]
            request = {"op": "counter.increment", "series": series, "key": key, "bucket": day, "value": value}
        elif kind == 1:
            points = [((series, choice.randrange(KEYS), day), 1) for _ in range(choice.randrange(1, 6))]
            request = {"op": "series.batch_add", "series": series,
                       "items": [[key, day, value] for (_, key, day), value in points]}
        else:
            points = [((choice.choice(SERIES), choice.randrange(KEYS), day), 2)
                      for _ in range(choice.randrange(1, 4))]
            request = {"op": "counter.multi_add",
                       "items": [{"series": of, "key": key, "bucket": day, "value": value}
                                 for (of, key, day), value in points]}
        line = json.dumps({"v": 2, **request, "idempotency_key": f"{self._number}-{self._made}"}) + "\n"
        counted: Counter[Point] = Counter()
        for point, value in points:
            counted[point] += value
        return line.encode(), counted

    def _talk_to(self, node: Node) -> None:
        """Until it refuses a write, the connection ends, or nothing is left to be sent."""
        try:
            with socket.create_connection(("127.0.0.1", node.port), timeout=3) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(1)
                self._exchange(connection, node)
        except OSError:
            pass
        finally:
            # Whether these count is not known: they are sent again, in another order.
            again = list(self._sent)
            self._random.shuffle(again)
            self._to_send.extend(again)
            self.repeats += len(again)
            self._sent.clear()

    def _exchange(self, connection: socket.socket, node: Node) -> None:
        received = b""
        heard_at = time.monotonic()
        is_refused = False
        while True:
            lines = []
            while len(self._sent) < self._window and not is_refused:
                if not self._to_send and self._ending.is_set():
                    break
                self._sent.append(self._to_send.popleft() if self._to_send else self._make())
                lines.append(self._sent[-1][0])
            if not self._sent:
                return
            connection.sendall(b"".join(lines))
            try:
                more = connection.recv(1 << 18)
            except TimeoutError:
                if node.is_frozen:
                    return
                if time.monotonic() - max(heard_at, node.disturbed_at) > REPLY_SECONDS:
                    raise Difference(f"{node.name} owes client {self._number} {len(self._sent)} replies for "
                                     f"{REPLY_SECONDS} s, the first to {self._sent[0][0]!r}") from None
                continue
            if not more:
                return
            heard_at = time.monotonic()
            *replies, received = (received + more).split(b"\n")
            for reply in replies:
                is_refused |= not self._take(json.loads(reply))

    def _take(self, reply: dict) -> bool:
        write = self._sent.popleft()
        if reply["success"]:
            self.acknowledged += 1
            self.counted.update(write[1])
            return True
        if reply["error_code"] not in LATER:
            raise Difference(f"{write[0]!r} was answered {reply}")
        self.repeats += 1
        self._to_send.append(write)
        return False
