"""Marks of the finished files that stay in the watched folder: 8 bytes each, because there may be very many."""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np

MAX_MARKS = 1_000_000
"""Most marks kept, 8 MB; of more files the ledger is asked at each scan, which is then slower."""


class Marks:
    """A set of 64-bit numbers that is filled once, then only asked: `add` them all, `close`, and look.

    A set of Python's takes 74 bytes for each at 100,000, and a scan fills the next one beside it.
    """

    def __init__(self) -> None:
        self._marks: array[int] = array("q")

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, mark: int) -> bool:
        at = bisect_left(self._marks, mark)
        return at < len(self._marks) and self._marks[at] == mark

    def add(self, mark: int) -> None:
        """Take one more, unless there are too many; it is found after `close` only."""
        if len(self._marks) < MAX_MARKS:
            self._marks.append(mark)

    def close(self) -> Marks:
        """Make what was added findable."""
        if self._marks:
            np.frombuffer(self._marks, np.int64).sort()
        return self
