"""How many of the known defects that were laid onto live tiles are found, against how many were found at first.

Pure bookkeeping: `station.probe` lays and judges, health and metrics show. What is *expected* is what the bundle
alone, without any reference, found on this surface when the counting began: a label that the network never finds at
16 px is no alarm, and a reference that calls everything good is one. It stays over restarts and new bundles; a newly
accepted reference begins it anew.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from inspector.drawn.laid import AS_BEFORE, SIZES_PX
from inspector.drawn.sight import BLURS_PX, Sight, middle_of, passage_since, see
from inspector.frame import Pixels

FIRST_EACH = 8
"""Probes of each label and size that say what to expect."""
RECENT_EACH = 20
"""Probes of each label and size, on average, that the present ratio is of."""
JUDGED = 60
"""The last so many probes of a group are judged: of all together, five minutes at the default pace."""
EXPECTED_SHARE = 0.5
"""A label and size that was found less often at first is not judged."""
LEAST_AT_FIRST = 0.5
"""If less of the largest size is found at first, the bundle does not see on this surface."""
SURE = 3.0
"""Standard deviations by which too few must be found: eleven groups are judged again with each probe."""
FIRST_SIGHTS = 24
"""Clean tiles that say how bright, sharp and rich in contrast the picture is at first."""
PRESENT_SIGHTS = 9
"""The last clean tiles that say how it is now."""


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What is laid: one label in one size."""

    label: str
    size_px: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One known defect that was laid and judged."""

    kind: Kind
    found: bool


class Proofs:
    """All probes that count.

    Args:
        labels: What can be laid.
        sizes_px: In which sizes.

    Attributes:
        shown: Probes since `begin_coil`; `found` is how many of them were found.
        passage: What has become of the camera's picture since the first clean tiles.
    """

    def __init__(self, labels: Sequence[str], sizes_px: Sequence[int] = SIZES_PX) -> None:
        self.kinds = tuple(Kind(label, size_px) for size_px in sizes_px for label in labels)
        self.shown = self.found = 0
        self.passage = AS_BEFORE
        self._coil: str | None = None
        self._accepted: str | None = None
        self._first: dict[Kind, list[bool]] = {}
        self._first_sights: list[Sight] = []
        self._sights: deque[Sight] = deque(maxlen=PRESENT_SIGHTS)
        self._recent: deque[Probe] = deque(maxlen=RECENT_EACH * len(self.kinds))
        self._turn = 0

    # --- What to lay ----------------------------------------------------------------------------------------------

    def next_kind(self) -> Kind:
        """Return what to lay next: all labels and sizes in turn."""
        self._turn += 1
        return self.kinds[self._turn % len(self.kinds)]

    def note_tile(self, tile: Pixels) -> None:
        """Note what a clean tile looks like, and what has become of the picture since the first ones."""
        if len(self._first_sights) < FIRST_SIGHTS:
            self._first_sights.append(see(tile, BLURS_PX))
        else:
            self._sights.append(see(tile))
            self.passage = passage_since(middle_of(self._first_sights), middle_of(self._sights))

    @property
    def learning(self) -> bool:
        """Whether it is not known yet what to expect."""
        return any(len(self._first.get(kind, ())) < FIRST_EACH for kind in self.kinds)

    def begin(self, accepted: str | None) -> None:
        """Begin anew if another reference was accepted since: what it was accepted on is what to expect.

        Args:
            accepted: Names the acceptance; None: there is none, and nothing begins anew.
        """
        if accepted is not None and accepted != self._accepted:
            self._first.clear()
            self._first_sights.clear()
            self._sights.clear()
            self._recent.clear()
            self.passage = AS_BEFORE
            self._accepted = accepted

    def begin_coil(self, coil: str | None) -> None:
        """Count from 0 if another coil runs."""
        if coil != self._coil:
            self._coil, self.shown, self.found = coil, 0, 0

    # --- What was found -------------------------------------------------------------------------------------------

    def add(self, kind: Kind, found: bool, found_alone: bool) -> None:
        """Count a probe.

        Args:
            kind: What was laid.
            found: Whether the station found it.
            found_alone: Whether the bundle alone, without a reference, found it.
        """
        self.shown += 1
        self.found += found
        first = self._first.setdefault(kind, [])
        if len(first) < FIRST_EACH:
            first.append(found_alone)
        self._recent.append(Probe(kind, found))

    def ratio(self, kind: Kind) -> float | None:
        """Return which share of the recent probes of this kind was found; None: there was none."""
        recent = [probe.found for probe in self._recent if probe.kind == kind]
        return sum(recent) / len(recent) if recent else None

    def reason(self, limit: float, least: int) -> str | None:
        """Return why the station cannot be trusted to see, or None.

        Args:
            limit: Of what is expected, a smaller share is too little.
            least: With fewer probes nothing is said.
        """
        if self.learning:
            return None
        if reason := self._blind_at_first():
            return reason
        for name, belongs in self._groups():
            judged = [probe for probe in self._recent if belongs(probe.kind) and self._is_expected(probe.kind)][
                -JUDGED:
            ]
            if len(judged) < least:
                continue
            expected = sum(self._share(probe.kind) for probe in judged)
            found = sum(probe.found for probe in judged)
            if found < limit * expected and expected - found > SURE * self._deviation(judged):
                return f"insensitive: {found} of {len(judged)} known defects found ({name}), {expected:.0f} expected"
        return None

    def _groups(self) -> Iterator[tuple[str, Callable[[Kind], bool]]]:
        yield "all", lambda kind: True
        for size_px in sorted({kind.size_px for kind in self.kinds}, reverse=True):
            yield f"{size_px} px", lambda kind, size_px=size_px: kind.size_px == size_px  # type: ignore[misc]
        for label in sorted({kind.label for kind in self.kinds}):
            yield label, lambda kind, label=label: kind.label == label  # type: ignore[misc]

    def _blind_at_first(self) -> str | None:
        largest = max(kind.size_px for kind in self.kinds)
        first = [found for kind in self.kinds if kind.size_px == largest for found in self._first[kind]]
        if sum(first) >= LEAST_AT_FIRST * len(first):
            return None
        return f"insensitive: {sum(first)} of {len(first)} known defects of {largest} px found by the bundle alone"

    def _is_expected(self, kind: Kind) -> bool:
        return kind in self._first and sum(self._first[kind]) >= EXPECTED_SHARE * len(self._first[kind])

    def _share(self, kind: Kind) -> float:
        """Of this kind, the share to expect; a little below what was found, which is a small sample (Laplace)."""
        first = self._first[kind]
        return (sum(first) + 1) / (len(first) + 2)

    def _deviation(self, judged: Sequence[Probe]) -> float:
        """Of the number that are found: by chance now, and because what was found at first was chance, too."""
        counts: dict[Kind, int] = {}
        for probe in judged:
            counts[probe.kind] = counts.get(probe.kind, 0) + 1
        return sqrt(
            sum(
                count * (1 + count / FIRST_EACH) * self._share(kind) * (1 - self._share(kind))
                for kind, count in counts.items()
            )
        )

    # --- Over a restart -------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return everything as JSON, for the next start."""

        def bits(found: Sequence[bool]) -> str:
            return "".join("01"[one] for one in found)

        return json.dumps(
            {
                "version": 1,
                "coil": [self._coil, self.shown, self.found],
                "accepted": self._accepted,
                "turn": self._turn,
                "first": [[kind.label, kind.size_px, bits(found)] for kind, found in sorted(self._first.items())],
                "sights": [[sight.light, sight.fine, sight.coarse] for sight in self._first_sights],
                "recent": [[probe.kind.label, probe.kind.size_px, int(probe.found)] for probe in self._recent],
            }
        )

    def read(self, text: str) -> None:
        """Continue from `text`; kinds that are not laid any more are left out.

        Raises:
            ValueError: It is not what `text` gives.
        """
        try:
            given = json.loads(text)
            if given["version"] != 1:
                raise ValueError(f"version 1 is expected: {given['version']}")
            coil, shown, found = given["coil"]
            first = {Kind(label, int(size_px)): [bit == "1" for bit in bits] for label, size_px, bits in given["first"]}
            recent = [Probe(Kind(label, int(size_px)), bool(found)) for label, size_px, found in given["recent"]]
            sights = [Sight(float(light), tuple(fine), tuple(coarse)) for light, fine, coarse in given["sights"]]
            accepted, turn = given["accepted"], int(given["turn"])
        except (KeyError, TypeError) as exc:
            raise ValueError(f"no record of probes: {exc!r}") from exc
        known = set(self.kinds)
        self._coil, self.shown, self.found = coil, int(shown), int(found)
        self._accepted, self._turn, self._first_sights = accepted, turn, sights
        self._first = {kind: found for kind, found in first.items() if kind in known}
        self._recent.extend(probe for probe in recent if probe.kind in known)
