"""The checker: what was fed against what arrived. It knows the message format, and nothing of the product's insides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tests.faults.consumer import Received

_SHOWN = 5
"""Examples named of each kind of miss."""


@dataclass(frozen=True)
class Findings:
    """What does not fit.

    Attributes:
        lost: Files that were fed and of which no frame message came.
        phantom: Files that were never fed and of which one came.
        repeated: Files of which, after dropping repeats by `id`, more than one came.
        disordered: Messages whose first arrival came behind a later one of the same store, as `seq`.
        holes: Numbers below the highest of their store that never came, as `store:seq`, less those told as lost.
        told_lost: Messages that `coverage` says were lost.
        altered: Ids that came with other bytes.
        given_up: Good files that were not inspected, with the reason.
        raw_repeats: Arrivals whose `id` had come before. No miss: a broker may deliver twice.
        most_repeats: The most repeats of one message.
    """

    lost: tuple[str, ...]
    phantom: tuple[str, ...]
    repeated: tuple[str, ...]
    disordered: tuple[str, ...]
    holes: tuple[str, ...]
    told_lost: int
    altered: tuple[str, ...]
    given_up: tuple[str, ...]
    raw_repeats: int
    most_repeats: int

    def misses(self) -> tuple[str, ...]:
        """Return each broken promise in words."""
        kinds = {
            "lost": self.lost, "phantom": self.phantom, "repeated after dedup": self.repeated,
            "out of order": self.disordered, "same id, other bytes": self.altered, "good file given up": self.given_up,
        }  # fmt: skip
        found = [f"{len(names)} {kind}: {shown(names)}" for kind, names in kinds.items() if names]
        if len(self.holes) != self.told_lost:
            found.append(f"{len(self.holes)} seq missing, {self.told_lost} told as lost: {shown(self.holes)}")
        return tuple(found)

    def facts(self) -> dict[str, float]:
        """Return the figures that are no misses."""
        return {"raw_repeats": self.raw_repeats, "max_repeats_of_one": self.most_repeats, "told_lost": self.told_lost}


def shown(names: Sequence[str]) -> str:
    """Return the first few names in one line."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def check(
    fed: Iterable[str], received: Iterable[Received], bad: Collection[str] = (), known: Iterable[str] = ()
) -> Findings:
    """Compare what was fed with what arrived.

    Args:
        fed: Names of the files.
        received: Every arrival, in its order, of one station or of several.
        bad: Those of the files that need not be inspected: one frame message with a reason is enough.
        known: Files that were fed by someone else.
    """
    fed = set(fed)
    times: Counter[str] = Counter()
    first: dict[str, Received] = {}
    altered, disordered = [], []
    highest: dict[str, int] = {}
    seqs: dict[str, set[int]] = {}
    for message in received:
        times[message.id] += 1
        if message.id in first:
            if first[message.id].payload != message.payload:
                altered.append(message.id)
            continue
        first[message.id] = message
        if message.seq < highest.get(message.store_id, 0):
            disordered.append(str(message.seq))
        highest[message.store_id] = max(message.seq, highest.get(message.store_id, 0))
        seqs.setdefault(message.store_id, set()).add(message.seq)
    frames = [message.body for message in first.values() if message.kind == "frame"]
    of = Counter(frame["frame"]["source_key"] for frame in frames)
    given_up = [
        f"{frame['frame']['source_key']} ({frame['reason']})"
        for frame in frames
        if frame["verdict"] == "not_inspected" and frame["frame"]["source_key"] not in bad
    ]
    coverage = [message.body for message in first.values() if message.kind == "coverage"]
    missing = (
        f"{store_id}:{seq}" for store_id, came in seqs.items() for seq in range(1, max(came) + 1) if seq not in came
    )
    return Findings(
        lost=tuple(sorted(fed - of.keys())),
        phantom=tuple(sorted(str(name) for name in of.keys() - fed - set(known))),
        repeated=tuple(sorted(str(name) for name, number in of.items() if number > 1)),
        disordered=tuple(disordered),
        holes=tuple(missing),
        told_lost=sum(
            body["lost"] or 0
            for body in coverage
            if body["cause"] == "messages_lost" and body["sink"] in (None, "mqtt")
        ),
        altered=tuple(altered),
        given_up=tuple(given_up),
        raw_repeats=sum(times.values()) - len(times),
        most_repeats=max(times.values(), default=1) - 1,
    )


def unaccounted_frames(fed: int, inspected: int, not_inspected: int) -> int:
    """Return how many frames are neither inspected nor reported as missing; negative: more than were fed."""
    return fed - inspected - not_inspected


def unaccounted_metres(
    fed_m: tuple[float, float], inspected: Iterable[tuple[float, float]], gaps: Iterable[tuple[float, float]]
) -> float:
    """Return how many metres of a strip no stretch covers, be it inspected or reported as a gap.

    Args:
        fed_m: First and last metre that were fed.
        inspected: Stretches that were inspected, each from, to; they may overlap.
        gaps: Stretches that were reported as not inspected.
    """
    first_m, last_m = fed_m
    bare, at = 0.0, first_m
    for from_m, to_m in sorted([*inspected, *gaps]):
        bare += max(0.0, min(from_m, last_m) - at)
        at = max(at, min(to_m, last_m))
    return bare + max(0.0, last_m - at)
