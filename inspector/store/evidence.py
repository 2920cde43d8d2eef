"""Evidence pictures: the surroundings of a defect as JPEG with its box, bounded by bytes, age and free space.

A picture is never a reason to lose a message: without room, the message is sent without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import math
import os
import re
import threading
from collections.abc import Iterator
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
KEPT_SHARE = 0.95
"""Share of the limit that is left after pictures were deleted because of it."""
AGE_PAUSE_S, FAILED_PAUSE_S = 600.0, 60.0
"""Shortest pause between two looks for pictures that have become too old, and after one that failed."""
OLDEST_LISTED = 4_000
"""Most pictures that one look can delete: so many names are in memory."""
FREE_FILES = 1_000
"""Files for which a disk keeps places free, or a twentieth of all on a small one."""
SLICE_S = 0.5
"""Longest stretch of looking in one `tidy`."""
_PARTIAL = "new.partial"
_NAME = re.compile(r"[0-9A-Za-z_-]+")
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

    Only their sum and the time of the oldest are in memory: a folder may hold very many. What is too old or too much
    is found by going through the folder, which `tidy` begins when there is something to delete; after that 5 % of the
    limit are free, so that this stays rare. Nothing waits for it: `keep` shares only these two numbers with it.

    Args:
        folder: Where they are; made when needed.
        clock: Time, for the age limit.
        limit_bytes: Pictures beyond it are deleted, the oldest first; 0 keeps none.
        max_age_s: Older pictures are deleted, at most `AGE_PAUSE_S` late.
        free_floor_bytes: With less free space on the disk, or few places for files, none is written.
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
        self._bytes: float = math.inf  # unknown: the first `tidy` counts what lies there
        self._oldest_s = math.inf
        self._new_bytes, self._new_since_s = 0, math.inf  # of those that came since the last look began
        self._look: _Look | None = None
        self._due_s = self._age_due_s = -math.inf

    def keep(self, defect_id: str, picture: EvidencePicture) -> Evidence | None:
        """Write the picture of a defect; None if there is no room for it. By one thread only.

        Raises:
            OSError: The disk refused; the caller counts it and continues without.
        """
        self._folder.mkdir(parents=True, exist_ok=True)  # the folder may have been deleted
        if self._limit_bytes == 0 or not _has_room(self._folder, self._free_floor_bytes):
            return None
        data = draw_evidence(picture, self._longest_px)
        path = self._folder / f"{defect_id}.jpg"
        partial = self._folder / _PARTIAL  # one name: what a process that died has left is written over
        partial.write_bytes(data)
        now_s = self._clock.now().timestamp()
        with contextlib.suppress(OSError):  # a file system without times of its own has the system's
            os.utime(partial, (now_s, now_s))
        with self._guard:
            added = len(data) - (_size_of(path) or 0)
            partial.replace(path)
            self._bytes += added
            self._oldest_s = min(self._oldest_s, now_s)
            self._new_bytes += added
            self._new_since_s = min(self._new_since_s, now_s)
        return Evidence(sha256=hashlib.sha256(data).hexdigest(), url=f"/evidence/{defect_id}.jpg")

    def read(self, defect_id: str) -> bytes | None:
        """Return a picture, or None if it does not exist (any more)."""
        if not _NAME.fullmatch(defect_id):
            return None
        try:
            return (self._folder / f"{defect_id}.jpg").read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def delete(self, defect_id: str) -> bool:
        """Delete one picture; returns whether there was one."""
        path = self._folder / f"{defect_id}.jpg"
        with self._guard:
            size = _size_of(path) if _NAME.fullmatch(defect_id) else None
            if size is None:
                return False
            path.unlink()
            self._bytes -= size
        return True

    def tidy(self) -> int:
        """Delete what is too old or too much; returns how many pictures were deleted.

        It takes about `SLICE_S` at most: a folder with very many pictures on a slow disk is gone through in turns.

        Raises:
            OSError: The folder cannot be read, or some pictures cannot be deleted; the others were.
        """
        look = self._look = self._look or self._begin_look()
        if look is None:
            return 0
        until_s = self._clock.monotonic() + SLICE_S
        try:
            if not all(self._clock.monotonic() < until_s for _ in look.steps):
                return 0
            self._look = None
            return self._delete(look)
        except OSError:
            self._look = None
            self._due_s = self._clock.monotonic() + FAILED_PAUSE_S
            raise

    def _begin_look(self) -> _Look | None:
        """Begin to go through the folder, if something is to be deleted."""
        now_s = self._clock.monotonic()
        aged = self._oldest_s < self._clock.now().timestamp() - self._max_age_s and now_s >= self._age_due_s
        if now_s < self._due_s or not (aged or self._bytes > self._limit_bytes):
            return None
        with self._guard:
            self._new_bytes, self._new_since_s = 0, math.inf
        return _Look(self._folder)

    def _delete(self, look: _Look) -> int:
        """Delete the oldest of the pictures that were found, as far as they are too old or too much."""
        left, deleted, oldest_s, failure = look.bytes, 0, math.inf, None
        target = self._limit_bytes * KEPT_SHARE if left > self._limit_bytes else math.inf
        aged_s = self._clock.now().timestamp() - self._max_age_s
        for mtime_s, name, size in look.oldest():
            if mtime_s >= aged_s and left <= target:
                oldest_s = min(oldest_s, mtime_s)
                break
            try:
                deleted += self._delete_unless_new(name, mtime_s)
                left -= size
            except OSError as exc:
                oldest_s, failure = min(oldest_s, mtime_s), exc
        else:
            if look.is_partly_listed:
                oldest_s = -math.inf  # there may be more: the next round looks again
        with self._guard:
            self._bytes = left + self._new_bytes  # what came meanwhile may count twice, until the next look
            self._oldest_s = min(oldest_s, self._new_since_s)
        self._age_due_s = self._clock.monotonic() + (0.0 if oldest_s == -math.inf else AGE_PAUSE_S)
        if failure is not None:
            raise failure
        return deleted

    def _delete_unless_new(self, name: str, mtime_s: float) -> bool:
        path = self._folder / name
        with self._guard:  # or a picture that is being written again would go
            try:
                if path.stat().st_mtime != mtime_s:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True


class _Look:
    """One way through the folder of pictures; torn ones of processes that died are deleted on it.

    Args:
        folder: The pictures.

    Attributes:
        bytes: Their sum, when `steps` has ended.
        steps: Each step looks at some files.
        is_partly_listed: There are more pictures than `oldest` returns.
    """

    def __init__(self, folder: Path) -> None:
        self.bytes = 0
        self._heap: list[tuple[float, str, int]] = []  # of the oldest; the youngest of them is first
        self.is_partly_listed = False
        self.steps = self._go_through(folder)

    def _go_through(self, folder: Path) -> Iterator[None]:
        try:
            found_there = os.scandir(folder)
        except FileNotFoundError:
            return  # `keep` makes it again
        with found_there as entries:
            for number, entry in enumerate(entries):
                if number % 100 == 0:
                    yield
                if not entry.is_file(follow_symlinks=False):
                    continue  # nothing that this folder writes
                try:
                    if entry.name.endswith(".jpg"):
                        found = entry.stat(follow_symlinks=False)
                        self._note(found.st_mtime, entry.name, found.st_size)
                    elif entry.name.endswith(".partial") and entry.name != _PARTIAL:  # of a previous program
                        os.unlink(entry.path)  # noqa: PTH108 - no Path for each of very many files
                except FileNotFoundError:
                    continue  # deleted meanwhile

    def _note(self, mtime_s: float, name: str, size: int) -> None:
        self.bytes += size
        one = (-mtime_s, name, size)
        if len(self._heap) < OLDEST_LISTED:
            heapq.heappush(self._heap, one)
        else:
            self.is_partly_listed = True
            heapq.heappushpop(self._heap, one)

    def oldest(self) -> list[tuple[float, str, int]]:
        """Return time, name and bytes of the oldest pictures, oldest first, `OLDEST_LISTED` at most."""
        return [(-negative_s, name, size) for negative_s, name, size in sorted(self._heap, reverse=True)]


def _has_room(folder: Path, free_floor_bytes: int) -> bool:
    """Say whether a disk has as many bytes free, and files: some have places for so many, and others need one, too."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize >= free_floor_bytes and disk.f_favail >= min(FREE_FILES, disk.f_files // 20)


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
