"""Windows of composed strips and of pictures laid on clean ground: clean tiles, whole defects, and cut ones.

A composed strip is clean ground (see `quilt`) with real defect cut-outs at known places. Windows of it are what a tiled
line produces: steel without a defect, whole defects, and defects cut by a tile's edge. Training composes from training
groups, the line benchmark from test groups; both through `compose_strip`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inspector.box import Box
from inspector.frame import Pixels
from inspector.labels import CLEAN
from training.data.dataset import Picture
from training.data.learned import picture_id
from training.recipe import CREDIBLE_GROUND
from training.tiles.augment import to_bytes
from training.tiles.quilt import Ground, find_ground, quilt
from training.tiles.surfaces import texture
from training.tiles.tile_set import TileSet, own_boxes, sum_tiles

FEATHER_PX = 8
BOUNDLESS = ("crazing", "rolled-in_scale")
"""Labels whose texture continues beside the boxes all over the picture."""
ARTIFICIAL_GROUND = 0.3
"""Share of training strips whose ground is artificial: a defect must not be recognized by its mill."""
WINDOWS_PER_STRIP = 12
MIN_VISIBLE_SHARE = 0.25
MIN_VISIBLE_PX = 400


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A real defect, cut with a rim of its surroundings to blend over.

    Attributes:
        pixels: (H, W) uint8.
        inner: The annotated box inside `pixels`.
        label: Its class.
        group: The group of the picture it comes from.
        local: Whether plain surface is beside it, whose grey level is matched.
    """

    pixels: Pixels
    inner: Box
    label: str
    group: str
    local: bool


def find_cutouts(picture: Picture, pixels: Pixels, local: Collection[str] = CREDIBLE_GROUND) -> list[Cutout]:
    """Return the boxes of a picture that carry its own label, each with `FEATHER_PX` around where there is as much.

    `local` are the labels of marks with plain surface beside them.
    """
    cutouts = []
    height, width = pixels.shape
    for box in picture.boxes:
        if box.label != picture.label:
            continue
        top, left = max(0, box.y - FEATHER_PX), max(0, box.x - FEATHER_PX)
        bottom, right = min(height, box.bottom + FEATHER_PX), min(width, box.right + FEATHER_PX)
        inner = Box(box.x - left, box.y - top, box.right - box.x, box.bottom - box.y)
        cutout = Cutout(pixels[top:bottom, left:right], inner, box.label, picture.group, picture.label in local)
        cutouts.append(cutout)
    return cutouts


@dataclass(frozen=True, slots=True)
class Placed:
    """A defect on a strip: its label and box in strip pixels, and the group it comes from."""

    label: str
    box: Box
    group: str


@dataclass(frozen=True, slots=True, eq=False)
class ComposedStrip:
    """A composed strip.

    Attributes:
        pixels: (H, W) uint8.
        placed: The defects on it.
        group: Of its ground.
        picture: The id of the picture that its ground is from; empty if only the group is known.
    """

    pixels: Pixels
    placed: tuple[Placed, ...]
    group: str
    picture: str = ""

    @property
    def ground(self) -> str:
        """Where its ground is from, as exactly as it is known: a picture, or a group of pictures."""
        return self.picture or self.group


def compose_strip(
    field: Pixels, group: str, cutouts: Sequence[Cutout], gap_px: int, rng: np.random.Generator
) -> ComposedStrip:
    """Return the clean field with the cut-outs at random places, at least `gap_px` apart.

    A cut-out that finds no place in 50 tries, or is larger than the field, is left out.
    """
    height_px, width_px = field.shape
    pixels = field.copy()
    placed: list[Placed] = []
    for cutout in cutouts:
        height, width = cutout.pixels.shape
        if height >= height_px or width >= width_px:
            continue
        for _ in range(50):
            y, x = int(rng.integers(0, height_px - height)), int(rng.integers(0, width_px - width))
            box = Box(x + cutout.inner.x, y + cutout.inner.y, cutout.inner.width, cutout.inner.height)
            if not any(box.touches(other.box, gap_px) for other in placed):
                paste_cutout(pixels, cutout, y, x)
                placed.append(Placed(cutout.label, box, cutout.group))
                break
    return ComposedStrip(pixels, tuple(placed), group)


def paste_cutout(strip: Pixels, cutout: Cutout, y: int, x: int) -> None:
    """Blend a cut-out over the strip, in place, the top left corner of its rim at (x, y)."""
    height, width = cutout.pixels.shape
    under = strip[y : y + height, x : x + width].astype(np.float32)
    over = cutout.pixels.astype(np.float32)
    alpha = np.zeros((height, width), np.float32)
    inner = cutout.inner
    alpha[inner.y : inner.bottom, inner.x : inner.right] = 1
    # A box at its picture's edge has no rim to blend over: soften inwards a little instead.
    alpha = np.maximum(np.asarray(cv2.blur(alpha, (FEATHER_PX, FEATHER_PX)), np.float32), alpha * 0.5)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 2.0), np.float32)
    rim = alpha < 0.5
    if cutout.local or (cutout.label == "patches" and rim.sum() > 50):
        offset = float(under[rim].mean() - over[rim].mean()) if rim.sum() > 50 else 0.0
    else:  # its texture fills the picture: there is no steel beside it to match, so its own mean is matched
        offset = float(under.mean() - over.mean())
    strip[y : y + height, x : x + width] = to_bytes(alpha * (over + offset) + (1 - alpha) * under)


def label_of_window(placed: Sequence[Placed], window: Box) -> str | None:
    """Return what a window shows: a defect's label, `clean`, or None if a person would not be sure.

    A defect shows when a quarter of it, or a sixteenth of the window, is inside, and at least `MIN_VISIBLE_PX` pixels.
    """
    shown: dict[str, int] = {}
    doubtful = False
    for defect in placed:
        width = min(defect.box.right, window.right) - max(defect.box.x, window.x)
        height = min(defect.box.bottom, window.bottom) - max(defect.box.y, window.y)
        if width <= -FEATHER_PX or height <= -FEATHER_PX:
            continue
        area = max(0, width) * max(0, height)
        enough = area >= MIN_VISIBLE_SHARE * defect.box.width * defect.box.height
        enough = enough or area * 16 >= window.width * window.height
        if enough and area >= MIN_VISIBLE_PX and min(width, height) >= 8:
            shown[defect.label] = shown.get(defect.label, 0) + area
        else:
            doubtful = True
    if not shown:
        return None if doubtful else CLEAN
    best, *others = sorted(shown.items(), key=lambda item: -item[1])
    return best[0] if not others or best[1] >= 3 * others[0][1] else None


def strip_windows(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    tile_px: int,
    seed: int,
    artificial: float = 0.0,
    marked_pictures: Collection[str] = (),
    local: Collection[str] = CREDIBLE_GROUND,
) -> Iterator[tuple[Pixels, str, str, tuple[Box, ...]]]:
    """Yield (tile, label, group, boxes of that label) without end: windows of strips composed from `pictures`.

    Windows lie at random phases.
    A share `artificial` of the strips has artificial ground; only windows with a defect are taken from those.
    None of `marked_pictures` gives ground; see `find_grounds`, of `local` too.
    """
    rng = np.random.default_rng(seed)
    grounds = find_grounds(pictures, pixels, marked_pictures, local)
    by_label: dict[str, list[Cutout]] = {}
    for picture, its_pixels in zip(pictures, pixels, strict=True):
        for cutout in find_cutouts(picture, its_pixels, local):
            by_label.setdefault(cutout.label, []).append(cutout)
    labels = sorted(by_label)
    side = 3 * tile_px
    while grounds and labels:
        if rng.random() < artificial:
            field, group = texture(side, rng), "artificial"
        else:
            ground = grounds[int(rng.integers(len(grounds)))]
            field, group = quilt(ground, side, side, rng), ground.group
        chosen = [by_label[label][int(rng.integers(len(by_label[label])))] for label in rng.permutation(labels)[:3]]
        strip = compose_strip(field, group, chosen, tile_px // 4, rng)
        windows = [
            Box(int(x), int(y), tile_px, tile_px)
            for x, y in rng.integers(0, side - tile_px + 1, (WINDOWS_PER_STRIP, 2))
        ]
        for window in windows:
            label = label_of_window(strip.placed, window)
            if label is not None and not (label == CLEAN and group == "artificial"):
                tile = strip.pixels[window.y : window.bottom, window.x : window.right].copy()
                boxes = tuple(_within(each.box, window) for each in strip.placed if each.label == label)
                yield tile, label, group, tuple(box for box in boxes if box.width > 0 and box.height > 0)


def _within(box: Box, window: Box) -> Box:
    x, y = max(box.x, window.x), max(box.y, window.y)
    right, bottom = min(box.right, window.right), min(box.bottom, window.bottom)
    return Box(x - window.x, y - window.y, right - x, bottom - y)


def find_grounds(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    marked_pictures: Collection[str] = (),
    local: Collection[str] = CREDIBLE_GROUND,
) -> list[Ground]:
    """Return the pictures of `local` labels that show enough clean surface, none of `marked_pictures` (ids)."""
    found = (
        find_ground(picture, its_pixels)
        for picture, its_pixels in zip(pictures, pixels, strict=True)
        if picture.label in local and picture.boxes and picture_id(picture) not in marked_pictures
    )
    return [ground for ground in found if ground is not None]


def composed_tiles(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    *,
    clean: int,
    cut: int,
    tile_px: int,
    seed: int,
    artificial: float = 0.0,
    marked_pictures: Collection[str] = (),
    local: Collection[str] = CREDIBLE_GROUND,
) -> TileSet:
    """Return `clean` clean windows and `cut` windows with a defect, of strips composed as `strip_windows` does."""
    kept: dict[str, list[tuple[Pixels, str, str, tuple[Box, ...]]]] = {"clean_quilted": [], "cut": []}
    wanted = {"clean_quilted": clean, "cut": cut}
    per_label = {picture.label: 0 for picture in pictures}
    quota = -(-cut // max(1, len(per_label)))
    for drawn, (tile, label, group, boxes) in enumerate(
        strip_windows(pictures, pixels, tile_px, seed, artificial, marked_pictures, local)
    ):
        origin = "clean_quilted" if label == CLEAN else "cut"
        fits = len(kept[origin]) < wanted[origin] and (label == CLEAN or per_label[label] < quota)
        if fits:
            kept[origin].append((tile, label, group, boxes))
            per_label[label] = per_label.get(label, 0) + 1
        if all(len(kept[key]) >= wanted[key] for key in wanted) or drawn > 40 * (clean + cut):
            break
    return sum_tiles(
        TileSet.of(
            [row[0] for row in rows], [row[1] for row in rows], origin, [r[2] for r in rows], [r[3] for r in rows]
        )
        for origin, rows in kept.items()
    )


def cut_picture_tiles(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    count: int,
    tile_px: int,
    seed: int,
    marked_pictures: Collection[str] = (),
    local: Collection[str] = CREDIBLE_GROUND,
) -> TileSet:
    """Return windows over the edge of a whole picture that lies on clean ground, every label equally often.

    Cut-outs of boxes do not teach what a texture without an end looks like in a tile that shows a part of it. Half of
    the pictures keep their own grey level, so that their edge is a step; half of the ground is artificial. One window
    in three shows clean surface laid on clean surface: such an edge alone is not a defect. None of `marked_pictures`
    gives ground; see `find_grounds`.
    """
    rng = np.random.default_rng(seed)
    grounds = find_grounds(pictures, pixels, marked_pictures, local)
    of_label: dict[str, list[int]] = {}
    for place, picture in enumerate(pictures):
        if picture.boxes:
            of_label.setdefault(picture.label, []).append(place)
    labels = sorted(set(of_label) - {CLEAN})

    def surface() -> tuple[Pixels, str]:
        if not grounds or rng.random() < 0.5:
            return texture(tile_px, rng), "artificial"
        ground = grounds[int(rng.integers(len(grounds)))]
        return quilt(ground, tile_px, tile_px, rng), ground.group

    rows: list[tuple[Pixels, str, str, tuple[Box, ...]]] = []
    for drawn in range(20 * count if labels else 0):
        if len(rows) == count:
            break
        own: tuple[Box, ...] = ()
        if drawn % 3 == 2:
            label = CLEAN
            over, group = surface()
        else:
            label = labels[(drawn - drawn // 3) % len(labels)]
            chosen = of_label[label][int(rng.integers(len(of_label[label])))]
            over, group, own = pixels[chosen], pictures[chosen].group, own_boxes(pictures[chosen])
        height, width = over.shape
        y, x = (int(rng.integers(tile_px // 8 - side, tile_px - tile_px // 8 + 1)) for side in (height, width))
        window, whole = Box(-x, -y, tile_px, tile_px), Box(0, 0, width, height)
        shown = window.shared_px(whole)
        placed = [Placed(label, box, group) for box in ((whole,) if label in BOUNDLESS else own)]
        if shown * 8 < tile_px**2 or shown == tile_px**2 or label_of_window(placed, window) != label:
            continue
        boxes = tuple(_within(box, window) for box in own)
        tile = _lay(surface()[0], over, x, y, rng)
        rows.append((tile, label, group, tuple(box for box in boxes if box.width > 0 and box.height > 0)))
    return TileSet.of(
        [row[0] for row in rows], [row[1] for row in rows], "cut_picture", [r[2] for r in rows], [r[3] for r in rows]
    )


def _lay(field: Pixels, picture: Pixels, x: int, y: int, rng: np.random.Generator) -> Pixels:
    """Return the field with the picture's top left corner at (x, y), faded in over a few pixels."""
    height, width = picture.shape
    top, left = max(0, y), max(0, x)
    bottom, right = min(field.shape[0], y + height), min(field.shape[1], x + width)
    ground, over = field.astype(np.float32), picture.astype(np.float32)
    if rng.random() < 0.5:
        over += float(field.mean()) - float(picture.mean())
    down, across = (np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)) for side in (height, width))
    fade = np.clip(np.minimum(down[:, None], across[None, :]) / rng.uniform(1, 2 * FEATHER_PX), 0, 1).astype(np.float32)
    here, there = (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))
    ground[here] = fade[there] * over[there] + (1 - fade[there]) * ground[here]
    return to_bytes(ground)
