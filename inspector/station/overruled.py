"""Good surface that the bundle called a defect: a sample of it is kept, for a person to check the reference by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import structlog

from inspector.box import Box
from inspector.clock import Clock
from inspector.frame import Pixels
from inspector.inspection.one_frame import Inspection

FOLDER = "overruled"
"""Below the folder of the store."""
EVERY_S = 300.0
"""Pause between two tiles of the sample."""
MOST = 200
"""Tiles that are kept, the newest; a day's sample is 288."""

_log = structlog.get_logger("teach")


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    name: str
    pixels: Pixels


class OverruledSample:
    """Takes one overruled tile in a while, and keeps the newest of them as PNG.

    A name says when the frame was captured, what the bundle said, how surely, and how far from the reference it is.

    Args:
        folder: Where they are; made when needed.
        clock: Time.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._due_s = clock.monotonic()
        self._waiting: _Tile | None = None
        self._trouble: str | None = None

    def offer(self, inspection: Inspection) -> bool:
        """Take the overruled tile of a frame that is farthest from the reference, if one is due; return whether.

        Touches no disk; `keep` does.
        """
        if self._waiting is not None or self._clock.monotonic() < self._due_s:
            return False
        overruled = [n for n, verdict in enumerate(inspection.verdicts) if verdict.overruled]
        if not overruled:
            return False
        chosen = max(overruled, key=lambda n: (inspection.verdicts[n].distance or 0.0, -n))
        verdict, box = inspection.verdicts[chosen], inspection.boxes[chosen]
        moment = inspection.frame.captured_at.strftime("%Y%m%dT%H%M%S.%f")[:-3]
        label = re.sub(r"[^A-Za-z0-9_-]", "_", verdict.top)
        name = f"{moment}Z_{label}_{verdict.score:.2f}_at_{verdict.distance or 0.0:.2f}.png"
        self._waiting = _Tile(name, _cut(inspection.frame.pixels, box))
        self._due_s = self._clock.monotonic() + EVERY_S
        return True

    def keep(self) -> None:
        """Write what waits, and delete what is too old; a disk that refuses is reported once, and the tile is left."""
        if self._waiting is None:
            return
        tile, self._waiting = self._waiting, None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _, data = cv2.imencode(".png", tile.pixels)
            partial = self._folder / f".{tile.name}.partial"
            partial.write_bytes(np.asarray(data).tobytes())
            partial.replace(self._folder / tile.name)
            kept = sorted(self._folder.glob("*.png"), key=lambda path: (path.stat().st_mtime_ns, path.name))
            for old in kept[:-MOST]:
                old.unlink(missing_ok=True)
        except OSError as exc:
            trouble = str(exc)
            if trouble != self._trouble:
                _log.warning("overruled_not_kept", folder=str(self._folder), reason=trouble)
            self._trouble = trouble
            return
        self._trouble = None


def _cut(pixels: Pixels, box: Box) -> Pixels:
    return pixels[box.y : box.bottom, box.x : box.right].copy()
