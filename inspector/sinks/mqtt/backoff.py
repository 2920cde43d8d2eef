"""How long to wait before the next connection: longer after each failure, and never many connections at once."""

from __future__ import annotations

from collections import deque

PAUSE_S = (0.2, 5.0)
"""Shortest and longest pause; a connection that delivered something resets it."""
AT_ONCE = 5
"""Connections that may follow each other quickly; on average one a second."""


class Backoff:
    """Pauses between connections; time is an argument, in seconds."""

    def __init__(self) -> None:
        self._tries = 0
        self._begun_s: deque[float] = deque(maxlen=AT_ONCE)

    def begin(self, now_s: float) -> None:
        """Note that a connection is tried."""
        self._begun_s.append(now_s)

    def pause_s(self, now_s: float, delivered: bool, jitter: float) -> float:
        """Return the pause after a connection.

        Args:
            now_s: The time.
            delivered: It delivered something.
            jitter: From 0.5 to 1.
        """
        self._tries = 0 if delivered else self._tries + 1
        low, high = PAUSE_S
        pause_s = jitter * min(high, low * 2.0 ** min(self._tries, 16))
        if len(self._begun_s) < AT_ONCE:
            return pause_s
        return max(pause_s, self._begun_s[0] + AT_ONCE - now_s)
