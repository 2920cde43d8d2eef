"""Evidence pictures: the surroundings of a defect as JPEG with its box, bounded by bytes, age and free space.

A picture is never a reason to lose a message: without room, the message is sent without it.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np

from inspector.box import Box
from inspector.clock import Clock
from inspector.drafts import EvidencePicture
from inspector.frame import Pixels
from inspector.heat import draw_heat
from inspector.messages import Evidence

MARGIN_SHARE = 0.25
"""Surroundings shown on each side, as a share of the part."""
_QUALITY = 88
_GAP_PX = 4
_COLOUR_BGR = (0, 128, 255)


def draw_evidence(picture: EvidencePicture, longest_px: int) -> bytes:
    """Return a JPEG of the picture's part with its surroundings, at most `longest_px` a side, the box outlined.

    Where its heat is known, the same part is shown again beside it (below it, if it is wide), glowing where it is far
    from the site's reference.
    """
    pixels, box, part = picture.pixels, picture.box, picture.around
    height, width = pixels.shape[:2]
    margin_x, margin_y = int(part.width * MARGIN_SHARE) + 8, int(part.height * MARGIN_SHARE) + 8
    x0, y0 = max(0, part.x - margin_x), max(0, part.y - margin_y)
    x1, y1 = min(width, part.right + margin_x), min(height, part.bottom + margin_y)
    shown = Box(x0, y0, x1 - x0, y1 - y0)
    crop = pixels[y0:y1, x0:x1]
    view: Pixels = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR).astype(np.uint8) if crop.ndim == 2 else crop.copy()
    views = [view]
    scale = min(1.0, longest_px / max(shown.width, shown.height))
    if picture.heat is not None:
        views.append(draw_heat(pixels, picture.heat, shown))
        scale = min(scale, (longest_px - _GAP_PX - 1) / (2 * min(shown.width, shown.height)))
    if scale < 1:
        size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
        views = [cv2.resize(view, size, interpolation=cv2.INTER_AREA).astype(np.uint8) for view in views]
    inner = Box(box.x - x0, box.y - y0, box.width, box.height)
    corners = [(round(inner.x * scale), round(inner.y * scale)),
               (round(inner.right * scale) - 1, round(inner.bottom * scale) - 1)]  # fmt: skip
    cv2.rectangle(views[0], corners[0], corners[1], _COLOUR_BGR, 2)
    ok, data = cv2.imencode(".jpg", _side_by_side(views), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not ok:
        raise ValueError(f"no JPEG could be made of a crop of {views[0].shape}")
    return bytes(np.asarray(data).tobytes())


def _side_by_side(views: list[Pixels]) -> Pixels:
    """Return views of one shape beside each other, wide ones below each other, with a white gap."""
    height, width = views[0].shape[:2]
    axis = 1 if width <= height else 0
    gap = np.full((height, _GAP_PX, 3) if axis else (_GAP_PX, width, 3), 255, np.uint8)
    return np.concatenate([part for view in views for part in (gap, view)][1:], axis=axis)


class EvidenceFolder:
    """Keeps pictures by defect id.

    Args:
        folder: Where they are; made when needed.
        clock: Time, for the age limit.
        limit_bytes: Pictures beyond it are deleted, the oldest first; 0 keeps none.
        max_age_s: Older pictures are deleted.
        free_floor_bytes: With less free space on the disk, none is written.
        longest_px: Longest side of a picture.
    """

    def __init__(
        self, folder: Path, clock: Clock, limit_bytes: int, max_age_s: float, free_floor_bytes: int, longest_px: int
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._max_age_s = max_age_s
        self._free_floor_bytes = free_floor_bytes
        self._longest_px = longest_px
        self._guard = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob("*.partial"):  # of a process that died while it wrote
            torn.unlink(missing_ok=True)
        self._sizes: dict[str, tuple[float, int]] = {}
        for path in sorted(folder.glob("*.jpg"), key=lambda path: path.stat().st_mtime):
            stat = path.stat()
            self._sizes[path.stem] = (stat.st_mtime, stat.st_size)
        self._bytes = sum(size for _, size in self._sizes.values())

    def keep(self, defect_id: str, picture: EvidencePicture) -> Evidence | None:
        """Write the picture of a defect; None if there is no room for it.

        Raises:
            OSError: The disk refused; the caller counts it and continues without.
        """
        self._folder.mkdir(parents=True, exist_ok=True)  # the folder may have been deleted
        if self._limit_bytes == 0 or shutil.disk_usage(self._folder).free < self._free_floor_bytes:
            return None
        data = draw_evidence(picture, self._longest_px)
        path = self._folder / f"{defect_id}.jpg"
        partial = path.with_suffix(".partial")
        partial.write_bytes(data)
        partial.replace(path)
        with self._guard:
            self._forget(defect_id)
            self._sizes[defect_id] = (self._clock.now().timestamp(), len(data))
            self._bytes += len(data)
        return Evidence(sha256=hashlib.sha256(data).hexdigest(), url=f"/evidence/{defect_id}.jpg")

    def read(self, defect_id: str) -> bytes | None:
        """Return a picture, or None if it does not exist (any more)."""
        if defect_id not in self._sizes:
            return None
        try:
            return (self._folder / f"{defect_id}.jpg").read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, defect_id: str) -> bool:
        """Delete one picture; returns whether there was one."""
        with self._guard:
            known = defect_id in self._sizes
            self._remove(defect_id)
        return known

    def tidy(self) -> int:
        """Delete what is too old or too much; returns how many pictures were deleted."""
        oldest = self._clock.now().timestamp() - self._max_age_s
        with self._guard:
            before = len(self._sizes)
            # All of them: after a clock that ran ahead, one that looks young may come before the old ones.
            for name in [name for name, (written, _) in self._sizes.items() if written < oldest]:
                self._remove(name)
            while self._sizes and self._bytes > self._limit_bytes:
                self._remove(next(iter(self._sizes)))
            return before - len(self._sizes)

    def _remove(self, name: str) -> None:
        self._forget(name)
        (self._folder / f"{name}.jpg").unlink(missing_ok=True)

    def _forget(self, name: str) -> None:
        if known := self._sizes.pop(name, None):
            self._bytes -= known[1]
