"""The heartbeat: whether the main loop has judged all parts within a second, by the rule that feeds the watchdog.

The main loop marks; whoever owns the broker session asks and sends. No thread of its own keeps it going: a main loop
that hangs, a part that is stuck, and a process that is stopped all end it.
"""

from __future__ import annotations

from inspector.clock import Clock, to_rfc3339
from inspector.messages import HeartbeatMessage, encode
from inspector.telemetry.health import HealthBoard

FRESH_S = 1.0
"""A judgement that is older is no sign of life."""


class Pulse:
    """Marked by one thread, asked by another.

    Args:
        health: Whose state a heartbeat carries.
        clock: Time.
    """

    def __init__(self, health: HealthBoard, clock: Clock) -> None:
        self._health = health
        self._clock = clock
        self._judged_mono_s: float | None = None
        self._beats = 0

    def judged(self) -> None:
        """The main loop has just judged all parts, and none is stuck."""
        self._judged_mono_s = self._clock.monotonic()

    def beat(self) -> bytes | None:
        """Return the next heartbeat, or None if the last judgement is older than `FRESH_S`."""
        judged = self._judged_mono_s
        if judged is None or self._clock.monotonic() - judged > FRESH_S:
            return None
        self._beats += 1
        now = to_rfc3339(self._clock.now())
        return encode(HeartbeatMessage(at=now, state=self._health.state, beat=self._beats))
