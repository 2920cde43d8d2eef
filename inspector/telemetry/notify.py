"""systemd's notification socket: READY, STATUS, WATCHDOG, RELOADING, STOPPING (sd_notify(3)); nothing without one."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Talks to the supervisor that `NOTIFY_SOCKET` names, if any.

    Args:
        environ: Environment.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        period_us = int(environ.get("WATCHDOG_USEC", "0"))
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = period_us / 1e6 if period_us and mine else None

    def send(self, *lines: str) -> None:
        """Send assignments such as `READY=1`; without a supervisor this does nothing."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        ):
            channel.connect(address)
            channel.sendall("\n".join(lines).encode())

    def ready(self, status: str) -> None:
        """Report that start-up, or a reload, is finished."""
        self.send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self.send(f"STATUS={text}")

    def alive(self) -> None:
        """Ping the watchdog."""
        self.send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that a reload begins."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the process ends on purpose."""
        self.send("STOPPING=1")
