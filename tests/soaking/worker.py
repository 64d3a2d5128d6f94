"""A client that changes and reads counters, and knows what they have to be."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque

from soaking.connection import Connection, Difference

SHARED = "shared"
KEYS = 400
DAYS = [20260101 + day for day in range(28)]
MONTH = {"from": DAYS[0], "to": DAYS[-1]}


class Gate:
    """Lets all workers stop between two pieces of work."""

    def __init__(self, workers: int) -> None:
        self._changed = threading.Condition()
        self._workers = workers
        self._waiting = 0
        self._closed = False
        self.ending = False

    def pass_through(self) -> bool:
        """Waits while it is closed. False when the work is to end."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._closed or self.ending)
            self._waiting -= 1
            return not self.ending

    def leave(self) -> None:
        with self._changed:
            self._workers -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Waits until nobody works."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._waiting == self._workers)

    def open(self, ending: bool = False) -> None:
        with self._changed:
            self._closed = False
            self.ending = self.ending or ending
            self._changed.notify_all()


class Worker:
    """Its own series are changed by nobody else, one request after the other: every read of them is known exactly.
    To the shared series everybody adds, under idempotency keys."""

    def __init__(self, number: int, seed: int, port: int, gate: Gate) -> None:
        self._number = number
        self._random = random.Random(f"{seed} worker {number}")
        self._connection = Connection(port)
        self._gate = gate
        self._made = 0
        self.own: dict[str, Counter] = {f"own-{number}": Counter(), f"scratch-{number}": Counter()}
        self.shared: Counter = Counter()  # what this worker has added
        self.operations: Counter = Counter()
        self._recent: deque[tuple[tuple[str, dict], object]] = deque(maxlen=500)  # under keys, and their responses
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"worker {number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    @property
    def requests(self) -> int:
        return self._connection.requests

    @property
    def repeats(self) -> int:
        return self._connection.repeats

    def _run(self) -> None:
        work = [(self._increments, 40), (self._unkeyed_increment, 10), (self._batches, 12), (self._set, 4),
                (self._sums, 12), (self._scans, 8), (self._ingest, 3), (self._repeats, 4), (self._forget, 1)]
        try:
            while self._gate.pass_through():
                self._random.choices([each for each, _ in work], [weight for _, weight in work])[0]()
        except BaseException as problem:  # told by the main thread
            self.problem = problem
        self._gate.leave()
        self._connection.close()

    # ---- pieces of work

    def _unique(self) -> str:
        self._made += 1
        return f"{self._number}-{self._made}"

    def _place(self) -> tuple[int, int]:
        return self._random.randrange(KEYS), self._random.choice(DAYS)

    def _any(self, scratch: float = 0.2, shared: float = 0.3) -> tuple[str, Counter]:
        dice = self._random.random()
        if dice < shared:
            return SHARED, self.shared
        name = ("scratch-" if dice < shared + scratch else "own-") + str(self._number)
        return name, self.own[name]

    def _deliver(self, requests: list[tuple[str, dict]], wanted: list[object]) -> None:
        for (op, fields), want, reply in zip(requests, wanted, self._connection.deliver(requests)):
            self.operations[op] += 1
            if not reply["success"] or reply["response"] != want:
                raise Difference(f"{op} {fields} was answered {reply} instead of {want}")
            if "idempotency_key" in fields:
                self._recent.append(((op, fields), want))

    def _increments(self) -> None:
        requests, wanted = [], []
        for _ in range(self._random.randint(1, 32)):
            series, points = self._any()
            place, value = self._place(), self._random.randint(1, 1000)
            points[place] += value
            requests.append(("counter.increment", {"series": series, "key": place[0], "bucket": place[1],
                                                   "value": value, "idempotency_key": self._unique()}))
            wanted.append(value)
        self._deliver(requests, wanted)

    def _repeats(self) -> None:
        """What was answered is sent again, as by somebody who has lost the answer: it counts no second time."""
        if self._recent:
            chosen = self._random.choices(self._recent, k=self._random.randint(1, 20))
            self._deliver([request for request, _ in chosen], [want for _, want in chosen])

    def _unkeyed_increment(self) -> None:
        """Without a key nobody may send it twice: what became of a lost one is read."""
        series, points = self._any(shared=0)
        place, value = self._place(), self._random.randint(1, 1000)
        self.operations["counter.increment"] += 1
        replies = self._connection.ask_once([("counter.increment", {
            "series": series, "key": place[0], "bucket": place[1], "value": value})])
        if replies and replies[0].get("response") != value:
            raise Difference(f"counter.increment of {value} was answered {replies[0]}")
        if not replies:
            self.operations["counter.increment, lost"] += 1
            before = sum(count for (key, _), count in points.items() if key == place[0])
            found = self._connection.call("counter.sum", ("not_found",), series=series, key=place[0]) or 0
            if found not in (before, before + value):
                raise Difference(f"{series} key {place[0]} holds {found}, not {before} or {before + value}")
            if found == before:
                return
        points[place] += value

    def _batches(self) -> None:
        requests, wanted = [], []
        for _ in range(self._random.randint(1, 4)):
            series, points = self._any()
            items = [[*self._place(), self._random.randint(1, 1000)] for _ in range(self._random.randint(1, 100))]
            for key, day, value in items:
                points[key, day] += value
            requests.append(("series.batch_add", {"series": series, "items": items,
                                                  "idempotency_key": self._unique()}))
            wanted.append({"applied": len(items), "total": sum(value for _, _, value in items)})
        self._deliver(requests, wanted)

    def _set(self) -> None:
        series, points = self._any(shared=0)
        items = [[*self._place(), self._random.randint(0, 1000)] for _ in range(self._random.randint(1, 50))]
        for key, day, value in items:
            points[key, day] = value
        self._deliver([("series.batch_set", {"series": series, "items": items, "idempotency_key": self._unique()})],
                      [{"applied": len(items)}])

    def _totals(self, points: Counter) -> Counter:
        totals: Counter = Counter()
        for (key, _), value in points.items():
            totals[key] += value
        return totals

    def _sums(self) -> None:
        series = f"own-{self._number}"
        totals = self._totals(self.own[series])
        if not totals:
            return
        keys = [self._random.randrange(KEYS) for _ in range(self._random.randint(1, 50))]
        self._deliver([("counter.batch_sum", {"series": series, "keys": keys}),
                       ("counter.sum", {"series": series, "key": keys[0]})],
                      [[{"key": key, "value": totals[key]} for key in keys], totals[keys[0]]])

    def _scans(self) -> None:
        series = f"own-{self._number}"
        points = self.own[series]
        totals = self._totals(points)
        if not totals:
            return
        key = self._random.choice(list(totals))
        days = {str(day): value for (of, day), value in sorted(points.items()) if of == key and value}
        top = sorted(((-value, each) for each, value in totals.items() if value))[:20]
        self._deliver([("counter.series", {"series": series, "key": key, "range": MONTH}),
                       ("tree.top", {"series": series, "limit": 20})],
                      [days, {"tree": series, "limit": 20,
                              "items": [{"key": each, "value": -value} for value, each in top]}])

    def _ingest(self) -> None:
        series, points = self._any()
        stream = self._unique()
        self._call("ingest.begin", stream_id=stream, mode="add")
        for number in range(1, self._random.randint(1, 5) + 1):
            items = [[*self._place(), self._random.randint(1, 1000)] for _ in range(self._random.randint(1, 200))]
            for key, day, value in items:
                points[key, day] += value
            self._call("ingest.chunk", stream_id=stream, series=series, chunk_seq=number, items=items)
        self._call("ingest.commit", stream_id=stream)

    def _forget(self) -> None:
        """A scratch series goes as a whole or in part."""
        series = f"scratch-{self._number}"
        if self._random.random() < 0.5:
            self._call("tree.drop", ("not_found",), series=series)
            self.own[series].clear()
        else:
            before = self._random.choice(DAYS)
            self._call("tree.create", series=series)
            self._call("tree.delete_before", series=series, before=before)
            for place in [place for place in self.own[series] if place[1] < before]:
                del self.own[series][place]
            self._call("tree.compact", series=series)

    def _call(self, op: str, allowed: tuple[str, ...] = (), **fields: object) -> None:
        self.operations[op] += 1
        self._connection.call(op, allowed, **fields)
