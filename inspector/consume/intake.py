"""Which of the messages that arrive are new, and which are missing: by `id` and `seq`; no socket, file or clock.

A broker delivers at least once, and a station sends again what a broker may have lost. So a message may come twice,
always with the same `id` and bytes, and late. `seq` has no gaps within a store, so a gap is something that did not
arrive: not yet, never, or reported as lost by the station itself in a `coverage` message.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TOPICS = ("defect", "frame", "alarm", "periodic", "coverage")
"""Last level of the topics that carry numbered messages."""
LOST = "messages_lost"
"""Cause of the `coverage` message in which a station reports messages that it will never deliver."""

MAX_NAME = 128
"""Longest `id` and `store_id`."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A numbered message as it arrived.

    Attributes:
        root: Topic root of its station.
        topic: Its topic below the root.
        id: Of this message; a repeat has the same.
        store_id: Of the store that numbered it.
        seq: Its number there, from 1.
        payload: Its bytes.
        lost: First and last `seq` that it reports as lost for a broker, or None.
    """

    root: str
    topic: str
    id: str
    store_id: str
    seq: int
    payload: bytes
    lost: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Hole:
    """Messages that did not arrive although later ones of their store did.

    Attributes:
        root: Topic root of the station.
        store_id: Of the store.
        first_seq: First missing number.
        last_seq: Last missing number.
    """

    root: str
    store_id: str
    first_seq: int
    last_seq: int

    @property
    def count(self) -> int:
        """How many are missing."""
        return self.last_seq - self.first_seq + 1


def read_arrival(topic: str, payload: bytes) -> Arrival | None:
    """Return a message as it arrived, or None if it is no numbered message of a station."""
    root, _, name = topic.rpartition("/")
    if name not in TOPICS:
        return None
    try:
        body = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    key: Any = body.get("id")
    store_id: Any = body.get("store_id")
    seq: Any = body.get("seq")
    if not (_is_name(key) and _is_name(store_id) and _is_number(seq)):
        return None
    return Arrival(root, name, key, store_id, seq, payload, _lost_range(name, body))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isascii()


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 53


def _lost_range(topic: str, body: dict[str, Any]) -> tuple[int, int] | None:
    first: Any = body.get("first_seq")
    last: Any = body.get("last_seq")
    mine = topic == "coverage" and body.get("cause") == LOST and body.get("sink") in (None, "mqtt")
    if not (mine and _is_number(first) and _is_number(last)) or first > last:
        return None
    return first, last


class Spans:
    """A set of whole numbers, as the stretches that it consists of."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._starts, number) - 1
        return place >= 0 and number <= self._ends[place]

    def add(self, first: int, last: int) -> None:
        """Add all numbers from `first` to `last`."""
        low = bisect_right(self._ends, first - 2)  # a stretch that ends just before joins
        high = bisect_right(self._starts, last + 1)
        if low < high:
            first, last = min(first, self._starts[low]), max(last, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [first], [last]

    def holes(self) -> list[tuple[int, int]]:
        """Return the stretches between the smallest and the greatest number that are missing."""
        return [(end + 1, start - 1) for end, start in zip(self._ends, self._starts[1:], strict=False)]

    def without(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return what of the numbers from `first` to `last` is not in the set."""
        left = []
        for place in range(bisect_right(self._ends, first - 1), len(self._starts)):
            start, end = self._starts[place], self._ends[place]
            if start > last:
                break
            if first < start:
                left.append((first, start - 1))
            first = end + 1
        return [*left, (first, last)] if first <= last else left


class Intake:
    """Takes what arrives, from any number of stations, and knows what is new and what is missing.

    What a store sent before the first message that was ever taken from it is not missing.

    Attributes:
        taken: How many messages were new.
        repeats: How many were not.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Spans] = {}
        self._lost: dict[tuple[str, str], Spans] = {}
        self._present: dict[str, str] = {}
        self.taken = 0
        self.repeats = 0

    def restore(self, stretches: Iterable[tuple[str, str, int, int]], losses: Iterable[Arrival] = ()) -> None:
        """Note what an earlier run has taken.

        Args:
            stretches: Root, store, first and last `seq`, in the order of arrival of each store's newest message.
            losses: Messages that report lost ones.
        """
        for root, store_id, first, last in stretches:
            self._seen.setdefault((root, store_id), Spans()).add(first, last)
            self._present[root] = store_id
        for arrival in losses:
            self._note_lost(arrival)

    def take(self, arrival: Arrival, known: bool) -> bool:
        """Take a message and return whether it is new.

        Args:
            arrival: The message.
            known: Whether a message with its id was taken before.
        """
        self._seen.setdefault((arrival.root, arrival.store_id), Spans()).add(arrival.seq, arrival.seq)
        self._present[arrival.root] = arrival.store_id
        self._note_lost(arrival)
        self.taken += not known
        self.repeats += known
        return not known

    def _note_lost(self, arrival: Arrival) -> None:
        if arrival.lost is not None:
            self._lost.setdefault((arrival.root, arrival.store_id), Spans()).add(*arrival.lost)

    def holes(self) -> list[Hole]:
        """Return what is missing and not reported as lost, in order."""
        found = []
        for (root, store_id), seen in self._seen.items():
            lost = self._lost.get((root, store_id), Spans())
            left = [part for hole in seen.holes() for part in lost.without(*hole)]
            found += [Hole(root, store_id, first, last) for first, last in left]
        return sorted(found)

    def can_be_asked(self, hole: Hole) -> bool:
        """Say whether the station still has the store of a hole: an older store is gone."""
        return self._present.get(hole.root) == hole.store_id

    @property
    def missing(self) -> int:
        """How many messages did not arrive and are not reported as lost."""
        return sum(hole.count for hole in self.holes())

    @property
    def reported_lost(self) -> int:
        """How many messages did not arrive and are reported as lost by their station."""
        every = sum(last - first + 1 for seen in self._seen.values() for first, last in seen.holes())
        return every - self.missing
