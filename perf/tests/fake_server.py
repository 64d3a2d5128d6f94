#!/usr/bin/env python3
"""Stands in for the daemon and for redis-server: takes their options and calls every request a success.

FAKE_LOG: a file to which each start adds one line of JSON, {"pid":…,"arguments":[…]}.
FAKE_MODE: errors (every reply is an error), exit (ends at once), deaf (ignores SIGTERM).
"""

import json
import os
import re
import selectors
import signal
import socket
import sys

SUCCESS = b'{"protocol_version":2,"success":true,"response":1,"error_code":null}\r\n'
ERROR = b'{"protocol_version":2,"success":false,"response":"no | such op","error_code":"unknown_command"}\r\n'


def answer(data: bytes, mode: str) -> bytes:
    if "--appendonly" in sys.argv:
        return b":1\r\n" * data.count(b"*")  # each request is an array
    return (ERROR if mode == "errors" else SUCCESS) * data.count(b"\n")


def serve(port: int, mode: str) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            data = key.fileobj.recv(1 << 20)
            if data:
                key.fileobj.sendall(answer(data, mode))
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()


def main() -> None:
    if "--version" in sys.argv:
        print("stand-in 1.0")
        return
    mode = os.environ.get("FAKE_MODE", "")
    with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:]}) + "\n")
    if mode == "exit":
        sys.exit("the disk is on fire")
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    directory = re.search(r"--(?:directory=|dir )(\S+)", " ".join(sys.argv)).group(1)
    with open(os.path.join(directory, "data"), "w", encoding="ascii") as data:
        data.write("something to remove")
    serve(int(re.search(r"--port[= ](\d+)", " ".join(sys.argv)).group(1)), mode)


if __name__ == "__main__":
    main()
