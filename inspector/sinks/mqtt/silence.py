"""What a broker owes, and since when it is silent: a half-open connection looks like one on which nothing happens.

paho notices a silent broker after two keepalives and more. The station publishes its health every few seconds, and each
publication is answered: so a broker that answers nothing is known much sooner.
"""

from __future__ import annotations

LIMITS_S = (5.0, 60.0)
"""Shortest and longest silence after which a connection is given up."""


def longest_silence_s(keepalive_s: float) -> float:
    """Return how long a broker may owe an answer without saying anything: less than a keepalive."""
    return min(LIMITS_S[1], max(LIMITS_S[0], 0.8 * keepalive_s))


class Owed:
    """The answers that a broker owes; time is an argument, in seconds."""

    def __init__(self) -> None:
        self._packets: set[int] = set()
        self._since_s = 0.0

    def __len__(self) -> int:
        return len(self._packets)

    def add(self, packet_id: int, now_s: float) -> None:
        """Note a packet that is to be answered."""
        if not self._packets:
            self._since_s = now_s
        self._packets.add(packet_id)

    def hear(self, now_s: float, packet_id: int | None = None) -> None:
        """Note that the broker said something, perhaps the answer to a packet."""
        self._since_s = now_s
        if packet_id is not None:
            self._packets.discard(packet_id)

    def silent_since(self) -> float | None:
        """Return since when the broker owes an answer and says nothing; None: it owes none."""
        return self._since_s if self._packets else None
