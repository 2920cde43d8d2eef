"""When to ask a station for missing messages: not at once, because they may be on their way, then ever more rarely."""

from __future__ import annotations

from collections.abc import Sequence

from inspector.consume.intake import Hole

SETTLE_S = 3.0
"""A hole that closes within this time is not asked for."""
AGAIN_S = (30.0, 3600.0)
"""Shortest and longest pause between two requests for the same hole."""


class Asking:
    """Remembers which holes were asked for; time is an argument, in seconds."""

    def __init__(self) -> None:
        self._next_s: dict[tuple[str, int], tuple[float, float]] = {}

    def due(self, holes: Sequence[Hole], now_s: float) -> list[Hole]:
        """Return the first hole of each station that is to be asked for now: what is sent again covers later ones."""
        present = {(hole.root, hole.last_seq) for hole in holes}
        self._next_s = {key: value for key, value in self._next_s.items() if key in present}
        asked: dict[str, Hole] = {}
        for hole in holes:
            at_s, _ = self._next_s.setdefault((hole.root, hole.last_seq), (now_s + SETTLE_S, AGAIN_S[0]))
            if now_s >= at_s:
                asked.setdefault(hole.root, hole)
        for hole in holes:
            if hole.root in asked:  # one answer serves them all
                _, pause_s = self._next_s[hole.root, hole.last_seq]
                self._next_s[hole.root, hole.last_seq] = (now_s + pause_s, min(AGAIN_S[1], 2 * pause_s))
        return list(asked.values())
