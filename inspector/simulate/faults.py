"""What goes wrong with a camera and its stream, at places that the seed names, and what that hides.

`dropped`: lines of the strip that never arrive, as after a full buffer. `torn`: lines that begin in the middle, as
after a lost line sync. `black`, `white`: the lamp is off, or glares. `frozen`: one line again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from inspector.drawn.noise import rng_of
from inspector.frame import Pixels

FAULT = 103
LENGTHS = {"dropped": (8, 200), "torn": (4, 60), "black": (1200, 2000), "white": (1200, 2000), "frozen": (300, 900)}
"""Least and most lines of each kind."""
LEAST_SLOT, MOST_SLOT = 3000, 40_000


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: One of `LENGTHS`.
        line: Where in the stream, in lines from the head.
        lines: How many: of `dropped`, how many are missing there.
        shift_px: By how much torn lines are moved.
    """

    kind: str
    line: int
    lines: int
    shift_px: int = 0

    @property
    def end(self) -> int:
        """First line of the stream that is right again."""
        return self.line if self.kind == "dropped" else self.line + self.lines


def plan_faults(seed: int, lines: int, width_px: int) -> Iterator[Fault]:
    """Yield the faults of a stream in its order: each kind once before one comes again, in a slot of its own."""
    slot = min(max(lines // len(LENGTHS), LEAST_SLOT), MOST_SLOT)
    kinds = tuple(LENGTHS)
    for number in count():
        if (number + 1) * slot > lines:
            return
        rng = rng_of(seed, FAULT, number)
        order = rng_of(seed, FAULT, 1 << 40, number // len(kinds)).permutation(len(kinds))
        kind = kinds[int(order[number % len(kinds)])]
        length = int(rng.integers(*LENGTHS[kind]))
        line = number * slot + int(rng.integers(slot // 10, slot * 9 // 10 - length))
        yield Fault(kind, line, length, int(rng.integers(width_px // 8, width_px)) if kind == "torn" else 0)


def spoil(pixels: Pixels, first_line: int, fault: Fault, before: Pixels) -> None:
    """Do to the lines of a stream, from `first_line` on, what a fault does to them.

    Args:
        pixels: (H, W) uint8, changed.
        first_line: Of `pixels`, in the stream.
        fault: Of another kind than `dropped`.
        before: (W,), the line before the fault.
    """
    part = pixels[max(0, fault.line - first_line) : max(0, fault.end - first_line)]
    if not len(part):
        return
    if fault.kind == "torn":
        part[:] = np.roll(part, fault.shift_px, axis=1)
    elif fault.kind == "frozen":
        part[:] = before
    else:
        part[:] = 0 if fault.kind == "black" else 255
