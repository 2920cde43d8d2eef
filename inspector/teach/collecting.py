"""Frames that were inspected become tiles of a lesson: which ones `reservoir` says, where `tile_file` says.

Belongs to one thread. A tile that is already there, pixel for pixel, says nothing new (a picture that is shown again, a
camera about to be noticed as frozen) and is passed over; so is one of another size than the first.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspector.box import Box
from inspector.frame import Frame
from inspector.inspection.preprocess import to_grey
from inspector.teach.reservoir import Kept, Reservoir
from inspector.teach.tile_file import KeptTile, TileFile

FRAME_BITS = 31


@dataclass(slots=True)
class Collected:
    """What came of the frames so far.

    Attributes:
        frames: Frames that were offered.
        tiles: Tiles of these frames.
        across: Tiles side by side over the width of a frame.
        odd: Tiles of another size than the first.
        repeated: Tiles that were there already.
    """

    frames: int = 0
    tiles: int = 0
    across: int = 1
    odd: int = 0
    repeated: int = 0


class Collector:
    """Takes frames; what an earlier process has collected is taken over.

    Args:
        path: File of the tiles.
        capacity: Most tiles.
        seed: Of the sample.
        tile_hw: Height and width of a tile; None: as the first that comes.
        counts: What came of the frames before.

    Raises:
        OSError: The disk is full, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        capacity: int,
        seed: int,
        tile_hw: tuple[int, int] | None = None,
        counts: Collected | None = None,
    ) -> None:
        self._path = path
        self._capacity = capacity
        self.counts = counts or Collected()
        self._reservoir = Reservoir(capacity, seed + self.counts.frames)
        self._digests: dict[int, int] = {}  # of the tile in each place
        self._known: set[int] = set()
        self._file: TileFile | None = None
        self.tile_hw = tile_hw
        if tile_hw is None:
            path.unlink(missing_ok=True)
            return
        self._file = TileFile(path, tile_hw, capacity)
        kept = []
        for tile, pixels in self._file.read():
            kept.append(tile.kept)
            self._note(tile.kept.slot, zlib.crc32(pixels.tobytes()))
        self._reservoir.restore(kept)

    @property
    def tiles(self) -> int:
        """How many tiles are kept."""
        return len(self._reservoir)

    @property
    def coils(self) -> dict[str, int]:
        """How many of each coil, or of what stands for it."""
        return self._reservoir.coils

    def take(self, frame: Frame, boxes: Sequence[Box], coil: str) -> None:
        """Keep what the sample takes of a frame.

        Args:
            frame: Inspected.
            boxes: Of its tiles.
            coil: Its coil, or what stands for it.

        Raises:
            OSError: The disk refuses; the tile is not kept.
        """
        number = self.counts.frames % (1 << FRAME_BITS)
        self.counts.frames += 1
        self.counts.tiles += len(boxes)
        self.counts.across = max(self.counts.across, len({box.x for box in boxes}))
        for chosen in self._reservoir.choose(len(boxes)):
            box = boxes[chosen]
            if self.tile_hw not in (None, (box.height, box.width)):
                self.counts.odd += 1
                continue
            across = (box.x + box.width / 2) / frame.width_px
            if (kept := self._reservoir.offer(coil, across)) is not None:
                self._keep(kept, frame, box, number)

    def _keep(self, kept: Kept, frame: Frame, box: Box, number: int) -> None:
        pixels = to_grey(frame.pixels[box.y : box.bottom, box.x : box.right])
        digest = zlib.crc32(pixels.tobytes())
        if digest in self._known:
            self.counts.repeated += 1
            self._reservoir.forget(kept)
            return
        try:
            if self._file is None:
                self._file = TileFile(self._path, (box.height, box.width), self._capacity)
                self.tile_hw = box.height, box.width
            self._file.write(KeptTile(kept, number), pixels)
        except OSError:
            self._reservoir.forget(kept)
            raise
        self._note(kept.slot, digest)

    def _note(self, slot: int, digest: int) -> None:
        self._known.discard(self._digests.get(slot, -1))
        self._digests[slot] = digest
        self._known.add(digest)

    def sync(self) -> None:
        """Make what was collected durable.

        Raises:
            OSError: The disk refuses.
        """
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Close the file; it stays for the fit, or for the next process."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.sync()
            self._file.close()
            self._file = None
