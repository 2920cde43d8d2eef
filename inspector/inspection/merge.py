"""From pieces to defects: what lies on one place is one defect, with one class.

All tiles and looks of a place decide on its class, each by how much of the place it sees: a tile that sees only a
sliver at its border counts little (docs/decisions/0045). What is unclassified is a defect without a class: least
severe, around what is far from the reference. It never hides or joins one that has a name; where both show the same
place, the name wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.inspection.decision import DecisionRules, Verdict
from inspector.inspection.pieces import Piece, View, find_pieces
from inspector.labels import CLEAN, SEVERITIES, UNCLASSIFIED

OVERLAP_MERGES_SHARE = 0.2
"""Pieces of two labels lie on one place if this share of the smaller one is on the other."""
MARGIN = 8
"""What a tile's edge cuts goes on within this part of the tile's side: one place of the network's map."""
MAX_COMPARED = 100
"""In a frame with more defects than this, further ones are not compared: the frame is lost anyway, and time counts."""


@dataclass(frozen=True, slots=True)
class Defect:
    """All that the tiles and looks of a frame show of one place.

    Attributes:
        label: A defect label, or `unclassified`.
        box: Where it shows, in source-frame pixels: around what is hot in its tiles' maps, or around the tiles; of an
            unclassified one around what is far from the reference.
        tiles_box: Around its tiles.
        score: Highest of its views that have its label; of an unclassified one that of its farthest tile.
        runner_up: Next label of that view; of an unclassified one what the bundle said first.
        runner_up_score: Its score.
        tiles: How many tiles.
        candidate: Under the threshold: recorded, never published.
        distance: Largest of its tiles from the site's reference, or None where there is none.
        votes: What its views say: by label the sum over views of score times pixels of the defect in view. The label
            with the most has it; empty where there is nothing to vote on.
    """

    label: str
    box: Box
    tiles_box: Box
    score: float
    runner_up: str
    runner_up_score: float
    tiles: int
    candidate: bool = False
    distance: float | None = None
    votes: tuple[tuple[str, float], ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether it has a class."""
        return self.label != UNCLASSIFIED

    @property
    def surety(self) -> float:
        """How sure it is that this is one, to compare with others of its label."""
        return self.score if self.is_named else self.distance or 0.0


def merge_tiles(
    boxes: Sequence[Box],
    verdicts: Sequence[Verdict],
    rules: DecisionRules,
    cam: npt.NDArray[np.int8] | None = None,
    heat: npt.NDArray[np.float64] | None = None,
) -> tuple[Defect, ...]:
    """Return the defects of a frame; arguments as of `find_pieces`."""
    return merge_pieces(find_pieces(boxes, verdicts, rules, cam, heat), rules)


def merge_pieces(pieces: Sequence[Piece], rules: DecisionRules) -> tuple[Defect, ...]:
    """Return the defects of a frame: pieces that lie on one place become one.

    Candidates merge among themselves, never with published defects.

    Args:
        pieces: With the windows in which they were looked at again.
        rules: With severities.
    """
    named, strange = (
        [_Place(piece) for piece in pieces if piece.is_named is wanted and piece.tiles] for wanted in (True, False)
    )
    places = _joined(named)
    kept = [place for place in strange if not any(_hides(other, place) for other in places[:MAX_COMPARED])]
    defects = [*(_named(place, rules) for place in places), *(_unclassified(place, rules) for place in kept)]
    rank = {UNCLASSIFIED: -1, **{label: SEVERITIES.index(severity) for label, severity in rules.severity.items()}}
    return tuple(
        sorted(
            defects,
            key=lambda defect: (
                defect.candidate, -rank[defect.label], -defect.surety, defect.box.y, defect.box.x, defect.label,
            ),
        )
    )  # fmt: skip


class _Place:
    """Pieces that lie on one place."""

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.candidate = pieces[0].candidate
        self.tiles = [view for piece in pieces for view in piece.tiles]
        self.views = [view for piece in pieces for view in piece.views]
        self.shows = [view for piece in pieces for view in _showing(piece)]
        self.labels = {view.verdict.top for view in self.shows}
        self.shown = reduce(Box.union, (view.shown for view in self.shows))
        self.tiles_box = reduce(Box.union, (piece.tiles_box for piece in pieces))

    def lies_on(self, other: _Place) -> bool:
        """Say whether both lie on one place."""
        tile = self.tiles[0].window
        margin_px = max(tile.width, tile.height) // MARGIN
        if self.candidate != other.candidate or not self.tiles_box.touches(other.tiles_box, margin_px):
            return False
        if self.labels & other.labels and _near(self.shows, other.shows, margin_px):
            return True
        mine, theirs = [view.shown for view in self.shows], [view.shown for view in other.shows]
        least = min(sum(box.area_px for box in mine), sum(box.area_px for box in theirs))
        if self.shown.shared_px(other.shown) and _shared_px(mine, theirs) >= OVERLAP_MERGES_SHARE * least:
            return True
        return any(
            one.shown != one.window and another.shown != another.window
            and one.shown.touches(another.shown, margin_px)
            and (one.is_cut_towards(another.shown) or another.is_cut_towards(one.shown))
            for one in self.shows for another in other.shows
        )  # fmt: skip


def _showing(piece: Piece) -> tuple[View, ...]:
    """Return the views that say where a piece is: the centred one where that shows a defect, else its tiles."""
    if piece.centred is not None and piece.centred.verdict.is_defect:
        return (piece.centred,)
    return piece.tiles


def _near(some: Sequence[View], others: Sequence[View], margin_px: int) -> bool:
    """Say whether what they show of one label touches; whole tiles that do are one piece already."""
    return any(
        one.verdict.top == another.verdict.top and one.shown.touches(another.shown, margin_px)
        and (one.shown != one.window or another.shown != another.window)
        for one in some for another in others
    )  # fmt: skip


def _joined(places: Sequence[_Place]) -> list[_Place]:
    """Return the places of pieces, those that lie on one another as one, whatever order they come in."""
    waiting, done = list(places[:MAX_COMPARED]), list[_Place]()
    while waiting:
        first = waiting.pop(0)
        near = [other for other in waiting if first.lies_on(other)]
        if near:
            joined = _Place(*first.pieces, *(piece for other in near for piece in other.pieces))
            waiting = [joined, *(other for other in waiting if other not in near)]
        else:
            done.append(first)
    return [*done, *places[MAX_COMPARED:]]


def _hides(named: _Place, strange: _Place) -> bool:
    """Say whether what is unclassified lies under the tiles of what has a name."""
    if named.candidate or not named.tiles_box.shared_px(strange.shown):
        return False
    far = [view.shown for view in strange.tiles]
    over = [view.window for view in named.tiles]
    return _shared_px(far, over) >= OVERLAP_MERGES_SHARE * sum(box.area_px for box in far)


def _named(place: _Place, rules: DecisionRules) -> Defect:
    votes: dict[str, float] = {}
    for view in place.views:
        seen_px, verdict = view.window.shared_px(place.shown), view.verdict
        for label, score in ((verdict.top, verdict.score), (verdict.runner_up, verdict.runner_up_score)):
            if label in rules.severity:
                votes[label] = votes.get(label, 0.0) + score * seen_px
    label = max(sorted(place.labels - {CLEAN}), key=lambda each: votes.get(each, 0.0))
    best = max((view.verdict for view in place.shows if view.verdict.top == label), key=lambda each: each.score)
    return Defect(
        label, place.shown, place.tiles_box, best.score, best.runner_up, best.runner_up_score, len(place.tiles),
        place.candidate, _farthest(place, rules), tuple(sorted(votes.items())),
    )  # fmt: skip


def _unclassified(place: _Place, rules: DecisionRules) -> Defect:
    best = max((view.verdict for view in place.tiles), key=lambda verdict: verdict.distance or 0.0)
    return Defect(
        UNCLASSIFIED, place.shown, place.tiles_box, best.score, best.top, best.score, len(place.tiles),
        distance=_farthest(place, rules),
    )  # fmt: skip


def _farthest(place: _Place, rules: DecisionRules) -> float | None:
    return None if rules.reference is None else max(view.verdict.distance or 0.0 for view in place.tiles)


def _shared_px(some: Sequence[Box], over: Sequence[Box]) -> int:
    """Return how much of the boxes' area lies under `over`: of each box, the largest overlap with any one box."""
    left, top, right, bottom = np.array([(box.x, box.y, box.right, box.bottom) for box in over]).T
    shared = 0
    for box in some:  # one at a time: all pairs at once would be gigabytes in a frame full of defects
        width = np.minimum(right, box.right) - np.maximum(left, box.x)
        height = np.minimum(bottom, box.bottom) - np.maximum(top, box.y)
        shared += int((np.maximum(width, 0) * np.maximum(height, 0)).max())
    return shared
