"""The network between two nodes: connections that are cut, delayed, doubled, or pass bytes in one direction only."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

MODES = ["cut", "hold", "only-up", "only-down", "delay", "twice", "refuse"]


class Proxy:
    """Takes connections on a port of its own, and passes what comes on to another port of 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._mode = "pass"
        self._is_over = False
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def disturb(self, mode: str) -> None:
        """One of MODES. `cut` ends the connections of now; the others last until `heal`."""
        if mode != "cut":
            self._mode = mode
        if mode in ("cut", "twice", "refuse"):
            for one in list(self._sockets):
                _end(one)

    def heal(self) -> None:
        self._mode = "pass"

    def close(self) -> None:
        self._is_over = True
        self._listener.close()
        for one in list(self._sockets):
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            if self._mode == "refuse":
                accepted.close()
            else:
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        self._wait_while(lambda: self._mode == "hold")
        try:
            out = socket.create_connection(("127.0.0.1", self._to), timeout=5)
        except OSError:
            accepted.close()
            return
        out.settimeout(None)
        copies = [out]
        if self._mode == "twice":  # what is sent arrives a second time, on a connection of its own
            with contextlib.suppress(OSError):
                copies.append(socket.create_connection(("127.0.0.1", self._to), timeout=5))
                threading.Thread(target=_discard, args=(copies[-1],), daemon=True).start()
        self._sockets.update((accepted, *copies))
        back = threading.Thread(target=self._pump, args=(out, [accepted], "only-down"), daemon=True)
        back.start()
        self._pump(accepted, copies, "only-up")
        back.join()
        self._sockets.difference_update((accepted, *copies))
        for one in (accepted, *copies):
            one.close()

    def _pump(self, source: socket.socket, targets: list[socket.socket], way: str) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                self._wait_while(lambda: self._mode in ("hold", "only-up", "only-down") and self._mode != way)
                if self._mode == "delay":
                    time.sleep(0.05)
                targets[0].sendall(piece)
                for copy in targets[1:]:
                    with contextlib.suppress(OSError):
                        copy.sendall(piece)
        for one in (source, *targets):
            _end(one)

    def _wait_while(self, is_so) -> None:
        while not self._is_over and is_so():
            time.sleep(0.02)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _discard(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while one.recv(65536):
            pass
