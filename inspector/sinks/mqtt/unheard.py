"""Messages that nobody got although their topic had subscribers once: collected, and reported ever more rarely."""

from __future__ import annotations

from collections.abc import Callable

REPORT_S = (10.0, 3600.0)
"""Shortest and longest time for which unheard messages are collected before they are reported."""


class Unheard:
    """Collects unheard messages; time is an argument.

    Args:
        report: Called with first `seq`, last `seq` and count.
    """

    def __init__(self, report: Callable[[int, int, int], object]) -> None:
        self._report = report
        self._pause_s = REPORT_S[0]
        self._since_s = 0.0
        self._seqs = (0, 0)
        self._count = 0

    def add(self, seq: int, now_s: float) -> None:
        """Note an unheard message."""
        if not self._count:
            self._since_s, self._seqs = now_s, (seq, seq)
        self._seqs = min(seq, self._seqs[0]), max(seq, self._seqs[1])
        self._count += 1

    def heard(self) -> None:
        """Note that somebody listens again: report what is collected."""
        if self._count:
            self.flush()
            self._pause_s = REPORT_S[0]

    def look(self, now_s: float) -> None:
        """Report what is collected if it is time."""
        if self._count and now_s - self._since_s >= self._pause_s:
            self.flush()
            self._pause_s = min(REPORT_S[1], 2 * self._pause_s)

    def flush(self) -> None:
        """Report what is collected."""
        if self._count:
            self._report(*self._seqs, self._count)
            self._count = 0
