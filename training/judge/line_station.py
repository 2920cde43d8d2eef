"""A station without its edges: a simulated strip through `inspect_frame` and `track`, at the shipped default.

No store, broker or clock: what `inspector run` would publish of the same lines, as `inspector replay` gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from inspector.drafts import numbered
from inspector.frame import Frame, Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.one_frame import InspectRules, inspect_frame, judge_tiles
from inspector.inspection.predictions import Classify, Predictions
from inspector.inspection.preprocess import to_input
from inspector.inspection.reference import SiteReference
from inspector.inspection.tiling import TilingRules, plan_tiles
from inspector.items import Tick
from inspector.model.bundle import Bundle
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.settings.source import LinesOptions
from inspector.simulate.order import Order
from inspector.simulate.strip import SimulatedStrip
from inspector.station.wiring import inspect_rules, track_rules
from inspector.teach.aim import aim_for
from inspector.teach.fit import Lesson, fit_reference
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import track

SPEED_M_S = 2.0
"""At which time passes: what a station holds back by the hour depends on it."""
AT_ONCE = 64


@dataclass(slots=True)
class Seen:
    """What a strip showed.

    Attributes:
        verdicts: Tiles by verdict.
        rows: Of the truth.
    """

    verdicts: dict[str, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class LineStation:
    """The rules of a station at its defaults, alarming, its limiters as good as off."""

    settings: Settings
    inspect: InspectRules
    track: TrackRules
    frame_lines: int
    overlap_lines: int

    @classmethod
    def of(cls, bundle: Bundle, order: Order, reference: SiteReference | None = None) -> LineStation:
        """Return a station for the lines of an order, taught or not."""
        keys: dict[str, Any] = {
            "station.site": "judge", "station.line": "strip", "station.name": "cam1", "source.kind": "lines",
            "source.path": "-", "source.width_px": order.width_px, "source.mm_per_px": order.mm_per_px,
            "decision.mode": "alarm", "alarm.per_hour": 100_000, "events.alarm_limit": 100_000,
            "events.unclassified_limit": 100_000,
        }  # fmt: skip
        settings = load_settings(None, keys, {}).settings
        source = settings.source
        if not isinstance(source, LinesOptions):
            raise TypeError(f"lines are read: {source.kind}")
        rules = inspect_rules(settings.tiling, settings.decision, bundle, reference)
        return cls(settings, rules, track_rules(settings, bundle, rules), source.frame_lines, source.overlap_lines)

    def publish(self, strip: SimulatedStrip, classify: Classify, seen: Seen) -> Iterator[dict[str, Any]]:
        """Yield the messages that a strip gives, and note in `seen` what was there."""
        state, number = TrackState(), 0
        ids = self.track.ids.of("judge")
        last = datetime(2000, 1, 1, tzinfo=UTC)
        for frame in self._frames(strip, seen):
            last = frame.captured_at
            inspection = inspect_frame(frame, classify, self.inspect)
            for label, count in inspection.verdict_counts().items():
                seen.verdicts[label] = seen.verdicts.get(label, 0) + count
            state, drafts = track(state, inspection, self.track)
            for draft in drafts:
                number += 1
                yield numbered(draft, ids, number).model_dump(mode="json", by_alias=True)
        for draft in track(state, Tick(last, final=True), self.track)[1]:
            number += 1
            yield numbered(draft, ids, number).model_dump(mode="json", by_alias=True)

    def _frames(self, strip: SimulatedStrip, seen: Seen) -> Iterator[Frame]:
        waiting, first, overlap, number = np.empty((0, strip.order.width_px), np.uint8), 0, 0, 0
        for piece in strip.pieces():
            waiting = np.concatenate([waiting, piece.pixels])
            seen.rows += [row.as_dict() for row in piece.rows]
            while len(waiting) >= self.frame_lines:
                yield self._frame(strip, waiting[: self.frame_lines], first, overlap, number)
                keep = self.frame_lines - self.overlap_lines
                waiting, first, overlap, number = waiting[keep:], first + keep, self.overlap_lines, number + 1
        if len(waiting) > overlap:
            yield self._frame(strip, waiting, first, overlap, number)

    def _frame(self, strip: SimulatedStrip, pixels: Pixels, first: int, overlap: int, number: int) -> Frame:
        passed_s = (first + len(pixels)) * strip.order.mm_per_px / 1000 / SPEED_M_S
        at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=passed_s)
        return Frame(
            pixels.copy(), 1, number, at, passed_s, f"judge-{first}", first_line=first, overlap_lines=overlap,
            simulated=True,
        )  # fmt: skip

    def teach(
        self, fields: Sequence[tuple[Pixels, str]], classify: Classify, bundle: Bundle
    ) -> tuple[SiteReference, dict[str, Any]]:
        """Return the reference that `inspector teach` would fit to fields of good surface, and what stands behind it.

        Args:
            fields: Pictures, each with the name of its coil.
            classify: The network, with places.
            bundle: Whose it is.

        Raises:
            LessonError: There are too few.
        """
        coils = sorted({coil for _, coil in fields})
        tiles, groups, frames = [], [], []
        for number, (pixels, coil) in enumerate(fields):
            for box in plan_tiles(*pixels.shape, self.inspect.tiling):
                tiles.append(np.ascontiguousarray(pixels[box.y : box.bottom, box.x : box.right]))
                groups.append(coils.index(coil))
                frames.append(number)
        lesson = _lesson(tiles, groups, frames, classify, self.inspect.decision, bundle.card.input_px)
        of_frame = plan_tiles(self.frame_lines, self._width_px, self.inspect.tiling, still=False)
        aim = aim_for(
            self.settings, None, tile_px=bundle.card.tile_px, card_mm_per_px=bundle.card.mm_per_px,
            tiles_across=len({box.x for box in of_frame}), tiles_per_frame=len(of_frame),
        )  # fmt: skip
        fitted = fit_reference(lesson, aim)
        behind = {"tiles": len(tiles), "coils": len(coils), "aim": aim.text, "tile_share": aim.tile_share}
        return fitted.reference, behind

    @property
    def _width_px(self) -> int:
        return int(self.settings.source.model_dump()["width_px"])


def _lesson(
    tiles: Sequence[Pixels], groups: Sequence[int], frames: Sequence[int], classify: Classify, rules: DecisionRules,
    input_px: int,
) -> Lesson:  # fmt: skip
    parts: list[Predictions] = []
    defects: list[bool] = []
    for start in range(0, len(tiles), AT_ONCE):
        predictions, verdicts = judge_tiles(tiles[start : start + AT_ONCE], classify, rules)
        parts.append(predictions)
        defects += [verdict.is_defect for verdict in verdicts]
    return Lesson(
        {role: np.concatenate([part.maps[role] for part in parts]) for role in parts[0].maps},
        np.array(groups, np.int32), np.array(frames, np.int32),
        np.stack([to_input(tile, input_px) for tile in tiles]), np.array(defects, bool), coils_known=True,
    )  # fmt: skip


def alarm_share(tiles: Sequence[Pixels], classify: Classify, rules: DecisionRules) -> tuple[int, int]:
    """Return how many of some tiles are called a defect, and how many there are."""
    alarms = 0
    for start in range(0, len(tiles), AT_ONCE):
        verdicts = judge_tiles(tiles[start : start + AT_ONCE], classify, rules)[1]
        alarms += sum(verdict.is_defect for verdict in verdicts)
    return alarms, len(tiles)


def cut(pixels: Pixels, side_px: int) -> list[Pixels]:
    """Return the tiles of a picture, as the daemon cuts it."""
    boxes = plan_tiles(*pixels.shape, TilingRules(side_px))
    return [np.ascontiguousarray(pixels[box.y : box.bottom, box.x : box.right]) for box in boxes]
