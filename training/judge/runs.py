"""The strips of the event benchmark: defects on long strips, far apart or in pairs of two labels, seeded.

Three kinds: real cut-outs on real clean steel, whole real pictures on drawn strip, and drawn defects. Nothing here
inspects; see `events`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inspector.box import Box
from inspector.drawn.spec import StripSpec
from inspector.drawn.strip import Strip
from inspector.frame import Pixels
from inspector.model.bundle import Bundle
from training.data.dataset import DataSet, Picture, load_pixels
from training.data.folds import shared_with_training
from training.data.learned import picture_id, read_learned
from training.data.manifest import Manifest
from training.data.reviewed import read_marked_pictures
from training.tiles.composed import Cutout, find_cutouts, find_grounds, paste_cutout
from training.tiles.quilt import quilt

KINDS = ("composed", "pasted", "drawn")
WIDTH_PX, LINES = 1600, 3100
"""Ten frames of the default length and overlap."""
APART_PX = 400
"""Between defects that are no pair: two tiles of 200 px."""
PAIR_GAP_PX = (30, 150)
"""Between the two of a pair."""
PAIR_SIDE_PX = 80
"""Least longer side of each of a pair: both are well visible."""
PAIRS = 0.4
"""Share of the places that hold a pair."""
LEAST_SIDE_PX = 50
"""Least longer side of a defect: a quarter of a tile."""
MIRRORED = ((0, LINES - LINES // 4), (0, WIDTH_PX // 2))
"""Ground is grown for an eighth of a strip and mirrored over the rest: growing it takes longer than inspecting it."""
COMPOSED_STRIPS, DRAWN_LINES, PASTED_LINES = 5, 15_100, 4_600
"""Of each seed."""
SEEDS: dict[str, tuple[int, ...]] = {"test": (101, 102, 103, 104, 105, 106), "validation": (201, 202, 203)}
"""Rules are chosen on validation pictures and seeds, and judged on those of the test side."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One defect of a strip.

    Attributes:
        label: Its class.
        box: Its annotated or drawn box.
        paired: It is one of two of different labels that lie beside each other.
    """

    label: str
    box: Box
    paired: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A long strip.

    Attributes:
        kind: One of `KINDS`.
        pixels: (lines, width) uint8.
        truths: What lies on it.
    """

    kind: str
    pixels: Pixels
    truths: tuple[Truth, ...]


def pictures_of(side: str, manifest: Manifest, data_set: DataSet, bundle: Bundle) -> tuple[list[Picture], list[Pixels]]:
    """Return the pictures of a side and their pixels.

    Of the test side those that share no surface with the training split, of validation those of the training split
    that the bundle did not learn from.
    """
    if side == "test":
        seen = shared_with_training(manifest)
        pictures = [picture for picture in manifest.split("validation") if picture.path not in seen]
    else:
        learned = read_learned(bundle.root)
        pictures = [picture for picture in manifest.split("train") if picture_id(picture) not in learned]
    return pictures, load_pixels(data_set, pictures)


def compose_runs(pictures: Sequence[Picture], pixels: Sequence[Pixels], seed: int) -> Iterator[Run]:
    """Yield the strips of a seed.

    Args:
        pictures: Boxed, none that the network has learned from.
        pixels: Theirs.
        seed: Same seed, same strips; below `inspector.drawn.spec.TRAINING_SEEDS`.
    """
    rng = np.random.default_rng(seed)
    grounds = find_grounds(pictures, pixels, read_marked_pictures())
    cutouts = [
        cutout
        for picture, its_pixels in zip(pictures, pixels, strict=True)
        for cutout in find_cutouts(picture, its_pixels)
        if max(cutout.inner.width, cutout.inner.height) >= LEAST_SIDE_PX
    ]
    queue = [cutouts[int(i)] for i in rng.permutation(len(cutouts))]
    for _ in range(COMPOSED_STRIPS):
        ground = grounds[int(rng.integers(len(grounds)))]
        field = np.ascontiguousarray(np.pad(quilt(ground, LINES // 4, WIDTH_PX // 2, rng), MIRRORED, "symmetric"))
        yield Run("composed", field, tuple(_fill(field, queue, rng)))
    by_label: dict[str, list[Pixels]] = {}
    for picture, its_pixels in zip(pictures, pixels, strict=True):
        by_label.setdefault(picture.label, []).append(its_pixels)
    spec = StripSpec(seed, WIDTH_PX, 0.5, 5.5)
    yield _drawn("pasted", Strip(spec, by_label), PASTED_LINES)
    yield _drawn("drawn", Strip(spec), DRAWN_LINES)


def _drawn(kind: str, strip: Strip, lines: int) -> Run:
    whole = [each for each in strip.defects(0, lines) if each.box.bottom <= lines]
    return Run(kind, strip.lines(0, lines), tuple(Truth(each.label, each.box) for each in whole))


def _fill(field: Pixels, queue: list[Cutout], rng: np.random.Generator) -> Iterator[Truth]:
    """Paste cut-outs from the queue at random places until none fits; yields what lies there."""
    taken: list[Box] = []
    misses = 0
    while misses < 60 and queue:
        chosen = [queue[0]]
        if rng.random() < PAIRS and _longer(queue[0]) >= PAIR_SIDE_PX:
            fit = (each for each in queue if each.label != queue[0].label and _longer(each) >= PAIR_SIDE_PX)
            chosen += [second for second in [next(fit, None)] if second is not None]
        places = _places(chosen, field.shape, rng)
        if places is None or any(box.touches(other, APART_PX) for box in places for other in taken):
            misses += 1
            continue
        for cutout, box in zip(chosen, places, strict=True):
            paste_cutout(field, cutout, box.y - cutout.inner.y, box.x - cutout.inner.x)
            queue.remove(cutout)
            yield Truth(cutout.label, box, len(chosen) > 1)
        taken += places


def _longer(cutout: Cutout) -> int:
    return max(cutout.inner.width, cutout.inner.height)


def _places(chosen: Sequence[Cutout], shape: tuple[int, ...], rng: np.random.Generator) -> list[Box] | None:
    """Return a random place for one cut-out, or for two beside each other; None where the second leaves the field."""
    first = chosen[0]
    rows, columns = shape[0] - first.pixels.shape[0], shape[1] - first.pixels.shape[1]
    y, x = int(rng.integers(0, rows)), int(rng.integers(0, columns))
    boxes = [Box(x + first.inner.x, y + first.inner.y, first.inner.width, first.inner.height)]
    for second in chosen[1:]:
        gap, slide = int(rng.integers(*PAIR_GAP_PX)), rng.uniform(-0.5, 0.5)
        width, height = second.inner.width, second.inner.height
        if rng.random() < 0.5:
            place = (boxes[0].right + gap, int(boxes[0].y + slide * boxes[0].height))
        else:
            place = (int(boxes[0].x + slide * boxes[0].width), boxes[0].bottom + gap)
        left, top = place[0] - second.inner.x, place[1] - second.inner.y
        if min(left, top) < 0 or top + second.pixels.shape[0] > shape[0] or left + second.pixels.shape[1] > shape[1]:
            return None
        boxes.append(Box(*place, width, height))
    return boxes
