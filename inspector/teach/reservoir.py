"""Which tiles a teach-in keeps of all that pass: a sample of each coil, across the strip and over its time.

Coils matter more than tiles, so coils share the room: a tile of a coil that has few drives out one of the coil that has
most. Within a coil each place across has its share, and within that the sample is even over time: each tile draws a
number, and those with the smallest stay (bottom-k sampling; Cohen and Kaplan, "Summarizing data using bottom-k
sketches", PODC 2007). Pure bookkeeping from a seed: no pixels, no file, no clock.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

PLACES = 8
"""Places across the strip that are sampled each on its own."""
PER_FRAME = 8
"""Most tiles of one frame: those of one frame are alike."""
MAX_COILS = 60
"""Coils kept side by side; of more, a sample of coils is kept."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A tile that is kept.

    Attributes:
        slot: Where it lies, from 0.
        coil: Its coil, or what stands for it.
        place: Its place across, 0 to `PLACES` - 1.
        key: The number that it drew, 0 to 1; the smallest stay.
    """

    slot: int
    coil: str
    place: int
    key: float


@dataclass(slots=True)
class _Coil:
    """One coil's tiles by place, how many they are, and from which number on a place takes no more."""

    key: float
    cells: dict[int, list[Kept]] = field(default_factory=dict)
    bars: dict[int, float] = field(default_factory=dict)
    count: int = 0

    def add(self, kept: Kept) -> None:
        self.cells.setdefault(kept.place, []).append(kept)
        self.count += 1

    def remove(self, kept: Kept) -> None:
        self.cells[kept.place].remove(kept)
        self.count -= 1

    def drop_last(self) -> Kept:
        """Drop the tile with the largest number of the place that has most; no later one above it is taken there."""
        fullest = max(self.cells.values(), key=lambda cell: len(cell))
        last = max(fullest, key=lambda kept: kept.key)
        self.remove(last)
        self.bars[last.place] = last.key
        return last


class Reservoir:
    """A bounded sample of the tiles that it was offered.

    Args:
        capacity: Most tiles.
        seed: Of the numbers that are drawn.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        if capacity < 1:
            raise ValueError(f"a reservoir keeps at least one tile: {capacity}")
        self._capacity = capacity
        self._lots = random.Random(seed)  # noqa: S311 - a sample, no secret
        self._coils: dict[str, _Coil] = {}
        self._free = list(range(capacity - 1, -1, -1))

    def __len__(self) -> int:
        return self._capacity - len(self._free)

    @property
    def coils(self) -> dict[str, int]:
        """How many tiles are kept of each coil."""
        return {name: coil.count for name, coil in self._coils.items() if coil.count}

    @property
    def kept(self) -> list[Kept]:
        """All tiles that are kept, by their slots."""
        cells = (cell for coil in self._coils.values() for cell in coil.cells.values())
        return sorted((kept for cell in cells for kept in cell), key=lambda kept: kept.slot)

    def restore(self, kept: Sequence[Kept]) -> None:
        """Take over what an earlier process kept; of two in one slot, or beyond the capacity, one counts."""
        free = set(self._free)
        for one in kept:
            if one.slot in free:
                free.remove(one.slot)
                self._coils.setdefault(one.coil, _Coil(_key_of(one.coil))).add(one)
        self._free = sorted(free, reverse=True)

    def choose(self, count: int) -> list[int]:
        """Return which of the `count` tiles of a frame to offer, at most `PER_FRAME`."""
        return list(range(count)) if count <= PER_FRAME else self._lots.sample(range(count), PER_FRAME)

    def offer(self, coil: str, across: float) -> Kept | None:
        """Return the place of a tile, or None if it is not kept; what was in its slot is dropped.

        Args:
            coil: Its coil, or what stands for it.
            across: Where its middle lies across the frame, 0 to 1.
        """
        place, key = min(PLACES - 1, max(0, int(across * PLACES))), self._lots.random()
        own = self._coils.get(coil) or self._begin(coil)
        if own is None or key >= own.bars.get(place, 1.0):
            return None
        candidate = Kept(-1, coil, place, key)
        own.add(candidate)
        if not self._free:
            largest = max(self._coils.values(), key=lambda each: each.count)
            dropped = (own if own.count >= largest.count else largest).drop_last()
            if dropped is candidate:
                return None
            self._free.append(dropped.slot)
        own.remove(candidate)
        kept = replace(candidate, slot=self._free.pop())
        own.add(kept)
        return kept

    def forget(self, kept: Kept) -> None:
        """Drop a tile that could not be written."""
        self._coils[kept.coil].remove(kept)
        self._free.append(kept.slot)

    def _begin(self, name: str) -> _Coil | None:
        """Return another coil, empty, or None if it is not sampled: of too many, those with the smallest keys are."""
        key = _key_of(name)
        if len(self._coils) >= MAX_COILS:
            last = max(self._coils, key=lambda each: self._coils[each].key)
            if key >= self._coils[last].key:
                return None
            for cell in self._coils.pop(last).cells.values():
                self._free.extend(kept.slot for kept in cell)
        self._coils[name] = _Coil(key)
        return self._coils[name]


def _key_of(name: str) -> float:
    """Return the number of a coil, 0 to 1: the same whenever it is seen."""
    return zlib.crc32(name.encode(errors="surrogatepass")) / (1 << 32)
