"""How a daemon is ended."""

from __future__ import annotations

import signal
import subprocess

from soaking.connection import PATIENCE_SECONDS, Difference


def end_process(process: subprocess.Popen, name: str, how: signal.Signals) -> None:
    """Sends the signal and waits. Raises Difference unless it ends in time; SIGTERM has to end it well."""
    process.send_signal(how)
    try:
        status = process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise Difference(f"{name} has not ended {PATIENCE_SECONDS} s after {how.name}") from late
    if status != (0 if how == signal.SIGTERM else -how):
        raise Difference(f"{name} ended with status {status} at {how.name}")
