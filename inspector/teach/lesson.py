"""A lesson from a folder of good frames: read, judged and cut as the station does, a sample that every coil is in.

A sub-folder is a coil, or each file stands for itself. Frames are read in turns, one of each coil, in a seeded order,
so that a large coil does not crowd out a small one; from a frame come tiles spread over its width. A frame that shows
nothing, cannot be read, is of another size than most or repeats one that was there is left out, and named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.errors import ConfigError, LessonError, PictureError
from inspector.frame import Pixels
from inspector.inspection.preprocess import to_grey
from inspector.inspection.quality import QualityRules, judge_quality
from inspector.inspection.tiling import TilingRules, cut_tiles, plan_tiles
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import PICTURE_SUFFIXES, read_picture_file
from inspector.pictures.limits import MAX_FILE_BYTES
from inspector.teach.files import KeptTiles
from inspector.teach.fit import LEAST_TILES

MOST_TILES = 3000
MOST_BYTES = 120_000_000
MOST_FRAMES = 20_000
"""Frames that are read at most: more say little more."""
FIELD_RATIO = 2.0
"""A frame whose field is this many times as large as the station's, or as small, is not of this station."""
ODD_SHARE = 0.1
"""Larger a share of frames of another size than most is refused: which camera is to be taught?"""
SAME_CORRELATION = 0.995
"""Of the texture of two frames, from which on they are one picture: a camera that is frozen."""
SEED = 24
_COMPARED_PX = 96
_COMPARED = 100
"""Of the last frames of one size, against which a frame is compared."""


@dataclass(frozen=True, slots=True)
class LessonRules:
    """How frames become tiles.

    Attributes:
        tiling: As the station's.
        quality: As the station's.
        max_px: Largest frame, pixels.
        full_scale: Of 16-bit pictures.
        frame_wh: Width and height of the station's frames, where its configuration says so.
    """

    tiling: TilingRules
    quality: QualityRules
    max_px: int
    full_scale: int | None = None
    frame_wh: tuple[int | None, int | None] = (None, None)


@dataclass(slots=True)
class LeftOut:
    """Frames that were left out, by reason: how many, and the first of them."""

    found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one."""
        count, first = self.found.get(reason, (0, name))
        self.found[reason] = (count + 1, first)

    @property
    def count(self) -> int:
        """How many."""
        return sum(count for count, _ in self.found.values())

    @property
    def lines(self) -> list[str]:
        """A line a reason, for people."""
        return [
            f"{count} frame(s) left out, {reason}: {first}" for reason, (count, first) in sorted(self.found.items())
        ]


@dataclass(frozen=True, slots=True, eq=False)
class ShownLesson:
    """What a folder gave.

    Attributes:
        kept: The tiles.
        coils: Names of groups, by their numbers.
        frames: Names of frames, by their numbers.
        tiles_across: Tiles side by side over the width of a frame.
        tiles_per_frame: Of a whole frame, on the mean.
        notes: What was left out.
    """

    kept: KeptTiles
    coils: tuple[str, ...]
    frames: tuple[str, ...]
    tiles_across: int
    tiles_per_frame: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """Tiles of one frame."""

    name: str
    coil: str
    size_wh: tuple[int, int]
    boxes: tuple[Box, ...]
    tiles: tuple[Pixels, ...]


def read_lesson(
    folder: Path, rules: LessonRules, by_folder: bool, progress: Callable[[int, int], None] = lambda *_: None
) -> ShownLesson:
    """Return the tiles of the good frames below a folder.

    Args:
        folder: With pictures, in sub-folders or not.
        rules: Of the station.
        by_folder: Each sub-folder is a coil, and pictures beside them one more; else each file stands for itself.
        progress: Called with the frames read and all of them.

    Raises:
        LessonError: No folder, no pictures, frames of two sizes, or too few tiles.
    """
    files = find_frames(folder, by_folder)
    if not files:
        raise LessonError(f"no pictures ({', '.join(sorted(PICTURE_SUFFIXES))}) in {folder}")
    left_out, repeats, taken = LeftOut(), _Repeats(), list[_Taken]()
    rng = np.random.default_rng(SEED)
    room = min(MOST_TILES, MOST_BYTES // rules.tiling.tile_px**2)
    a_frame = -(-room // len(files))
    held = 0
    for number, (path, coil) in enumerate(files):
        name = str(path.relative_to(folder))
        if (frame := _read(path, name, coil, rules, repeats, left_out, a_frame, rng)) is not None:
            taken.append(frame)
            held += len(frame.tiles)
        progress(number + 1, len(files))
        if held >= room:
            break
    kept = _of_one_size(taken, left_out)
    count = sum(len(frame.tiles) for frame in kept)
    if count < LEAST_TILES:
        why = "".join(f"; {line}" for line in left_out.lines)
        raise LessonError(f"at least {LEAST_TILES} tiles of good surface are needed, {folder} gives {count}{why}")
    return _joined(kept, left_out, room)


def find_frames(folder: Path, by_folder: bool) -> list[tuple[Path, str]]:
    """Return the pictures below a folder with their coils, in turns of coils, each coil's in a seeded order.

    Raises:
        LessonError: There is no such folder.
    """
    if not folder.is_dir():
        raise LessonError(f"no such folder: {folder}")
    coils: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir():
            place = path.relative_to(folder)
            coil = (place.parts[0] if len(place.parts) > 1 else "") if by_folder else str(place)
            coils.setdefault(coil, []).append(path)
    rng = np.random.default_rng(SEED)
    turns = [[(paths[i], coil) for i in rng.permutation(len(paths))] for coil, paths in coils.items()]
    order = [turns[i] for i in rng.permutation(len(turns))]
    return [each for turn in zip_longest(*order) for each in turn if each is not None][:MOST_FRAMES]


class _Repeats:
    """Frames that were there already: the same pixels, or the same texture."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._textures: dict[str, list[npt.NDArray[np.float32]]] = {}

    def seen(self, grey: Pixels) -> bool:
        digest = hashlib.sha256(grey.tobytes()).digest()
        texture = _texture(grey)
        last = self._textures.setdefault(f"{grey.shape}", [])
        repeats = digest in self._digests or any(float(texture @ other) > SAME_CORRELATION for other in last)
        self._digests.add(digest)
        last.append(texture)
        del last[:-_COMPARED]
        return repeats


def _texture(grey: Pixels) -> npt.NDArray[np.float32]:
    """Return the fine structure of a frame's middle as a vector of length 1."""
    height, width = grey.shape
    y, x = max(0, height - _COMPARED_PX) // 2, max(0, width - _COMPARED_PX) // 2
    middle = grey[y : y + _COMPARED_PX, x : x + _COMPARED_PX].astype(np.float32)
    fine = (middle - cv2.blur(middle, (9, 9))).ravel()
    return np.asarray(fine / max(float(np.sqrt(fine @ fine)), 1e-6), np.float32)


def _read(
    path: Path, name: str, coil: str, rules: LessonRules, repeats: _Repeats, left_out: LeftOut, count: int,
    rng: np.random.Generator,
) -> _Taken | None:  # fmt: skip
    try:
        data = read_picture_file(path, MAX_FILE_BYTES, name=name)
        grey = to_grey(decode_picture(data, name=name, max_px=rules.max_px, full_scale=rules.full_scale))
        if (cause := judge_quality(grey, rules.quality)) is not None:
            left_out.add(f"{cause.value}", name)
            return None
        if (why := _foreign_field(grey, rules)) is not None:
            left_out.add(why, name)
            return None
        if repeats.seen(grey):
            left_out.add("frozen: it shows what another frame shows", name)
            return None
        boxes = plan_tiles(*grey.shape, rules.tiling)
    except PictureError as exc:
        left_out.add(exc.reason, str(exc))
        return None
    except ConfigError as exc:  # of this frame's size
        left_out.add("no tile of it is inspected", f"{name}: {exc}")
        return None
    chosen = _spread(boxes, count, rng)
    height, width = grey.shape
    tiles = tuple(np.ascontiguousarray(tile) for tile in cut_tiles(grey, chosen))
    return _Taken(name, coil, (width, height), boxes, tiles)


def _foreign_field(grey: Pixels, rules: LessonRules) -> str | None:
    """Return why a frame's field of view is none of this station's, or None."""
    height, width = grey.shape
    if min(height, width) * FIELD_RATIO < rules.tiling.tile_px:
        return f"smaller than half a tile of {rules.tiling.tile_px} px"
    for have, known, word in ((width, rules.frame_wh[0], "wide"), (height, rules.frame_wh[1], "high")):
        if known is not None and not known / FIELD_RATIO <= have <= known * FIELD_RATIO:
            return f"not of this station, whose frames are {known} px {word}"
    return None


def _spread(boxes: tuple[Box, ...], count: int, rng: np.random.Generator) -> list[Box]:
    """Return at most `count` boxes, spread over the width."""
    across = sorted(boxes, key=lambda box: (box.x, box.y))
    if count >= len(across):
        return across
    bounds = [len(across) * part // count for part in range(count + 1)]
    return [across[int(rng.integers(low, high))] for low, high in pairwise(bounds)]


def _of_one_size(taken: list[_Taken], left_out: LeftOut) -> list[_Taken]:
    """Return the frames of the commonest size; the rest is left out, and refused where it is much.

    Raises:
        LessonError: More than `ODD_SHARE` are of other sizes.
    """
    sizes = Counter(frame.size_wh for frame in taken)
    if len(sizes) < 2:
        return taken
    size, count = sizes.most_common(1)[0]
    other = next(frame for frame in taken if frame.size_wh != size)
    named = "{}x{}".format(*size)
    if len(taken) - count > ODD_SHARE * len(taken):
        raise LessonError(
            f"frames of {len(sizes)} sizes, teach one camera at a time: {count} of {len(taken)} are {named} px,"
            f" {other.name} is {other.size_wh[0]}x{other.size_wh[1]}"
        )
    for frame in taken:
        if frame.size_wh != size:
            left_out.add(f"not of {named} px as the others", frame.name)
    return [frame for frame in taken if frame.size_wh == size]


def _joined(taken: list[_Taken], left_out: LeftOut, room: int) -> ShownLesson:
    coils = sorted({frame.coil for frame in taken})
    number_of = {coil: number for number, coil in enumerate(coils)}
    tiles = [tile for frame in taken for tile in frame.tiles][:room]
    groups = [number_of[frame.coil] for frame in taken for _ in frame.tiles][:room]
    frames = [number for number, frame in enumerate(taken) for _ in frame.tiles][:room]
    return ShownLesson(
        KeptTiles(np.stack(tiles), np.array(groups, np.int32), np.array(frames, np.int32)),
        tuple(coils),
        tuple(frame.name for frame in taken),
        len({box.x for box in taken[0].boxes}),
        float(np.mean([len(frame.boxes) for frame in taken])),
        tuple(left_out.lines),
    )
