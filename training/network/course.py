"""What a run learns from and is judged by: tiles of the pictures it may see, an eighth of them held out.

Nothing here trains; see `train`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from inspector.frame import Pixels
from inspector.labels import CLEAN
from training.data.dataset import DataSet, Picture, load_pixels
from training.data.learned import known_groups, picture_id
from training.data.manifest import Manifest
from training.data.prepare import check_sizes, check_surfaces
from training.data.reviewed import read_marked_pictures
from training.errors import DataError
from training.recipe import Recipe
from training.tiles.auxiliary import NOTHING, Auxiliary
from training.tiles.composed import ARTIFICIAL_GROUND, composed_tiles, cut_picture_tiles
from training.tiles.generated import TRAIN_SEED, VALIDATION_SEED, generated_clean_tiles, generated_tiles
from training.tiles.seen import with_seen_boxes
from training.tiles.tile_set import OUTLIER, TileSet, picture_tiles, sum_tiles, texture_tiles

VALIDATION_CLEAN = 4
"""Factor for the clean tiles per held-out picture: a threshold needs rare false alarms to show."""
VALIDATION_FOLDS = 8
"""One part in eight of the training split, whole groups, is held out to stop early and to set thresholds."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a run learns from and is judged by: tiles, and the label order of the logits."""

    labels: tuple[str, ...]
    train: TileSet
    validation: TileSet
    learned: frozenset[str]
    """Marks of the data set's pictures behind `train` (see `learned`)."""


def carve_validation(
    pictures: Sequence[Picture], seed: int = 0, known: frozenset[str] = frozenset()
) -> tuple[list[int], list[int]]:
    """Split pictures into (train, validation) indices by group, an eighth of each label as nearly as groups allow.

    Groups of which the start has learned a picture (`known`) are held out last.

    Raises:
        DataError: A label has all its pictures in one group, so that nothing of it could be held out.
    """
    labels, groups = [picture.label for picture in pictures], [picture.group for picture in pictures]
    groups_of = {label: {picture.group for picture in pictures if picture.label == label} for label in set(labels)}
    fewest = min(groups_of, key=lambda label: (len(groups_of[label]), label))
    check_surfaces(pictures)
    if len(groups_of[fewest]) >= VALIDATION_FOLDS and not known:
        folds = StratifiedGroupKFold(VALIDATION_FOLDS, shuffle=True, random_state=seed)
        kept, held = next(iter(folds.split(np.zeros(len(pictures)), labels, groups)))
        return kept.tolist(), held.tolist()
    chosen = _groups_to_hold_out(pictures, known, np.random.default_rng(seed))
    sides = [[i for i, group in enumerate(groups) if (group in chosen) == side] for side in (False, True)]
    return sides[0], sides[1]


def _groups_to_hold_out(pictures: Sequence[Picture], known: frozenset[str], rng: np.random.Generator) -> set[str]:
    """Return at least one group a label, and no more than an eighth if more than one is taken.

    Never the largest of the label, or of its known ones. This is for data with a rare label, where as many folds as it
    has groups would hold out half of everything; and for data that is partly `known` to the start: those groups come
    last.
    """
    chosen: set[str] = set()
    for label in sorted({picture.label for picture in pictures}):
        sizes = Counter(picture.group for picture in pictures if picture.label == label)
        wanted = sizes.total() / VALIDATION_FOLDS
        largest = max(sorted(sizes), key=lambda each: (each in known, sizes[each]))
        shuffled = [str(group) for group in rng.permutation(sorted(set(sizes) - {largest}))]
        taken = sum(sizes[group] for group in chosen)
        for group in sorted(shuffled, key=lambda each: (each in known, sizes[each])):
            if taken == 0 or taken + sizes[group] <= wanted:
                chosen.add(group)
                taken += sizes[group]
    return chosen


def course_of(
    recipe: Recipe,
    data_set: DataSet,
    manifest: Manifest,
    auxiliary: Auxiliary = NOTHING,
    learned: frozenset[str] = frozenset(),
) -> Course:
    """Return the tiles of a run over a data set's training split, or over all of it if it brings no split.

    `learned` marks what the start of the run has learned from.

    Raises:
        DataError: It brings a held-out split but none to train on, or a picture that the daemon would tile.
    """
    pictures = manifest.split("train")
    if not pictures and manifest.split("validation"):
        raise DataError(
            f"train: the data set has pictures to hold out, and none in a folder named train: {data_set.root}"
        )
    pictures = pictures or list(manifest.pictures)
    check_sizes(pictures, recipe.tile_px)
    known = known_groups(manifest.pictures, learned)
    pixels = load_pixels(data_set, pictures)
    if recipe.boxes == "seen":
        pictures = with_seen_boxes(pictures, pixels, recipe.local)
    return assemble(recipe, pictures, pixels, auxiliary, known)


def assemble(
    recipe: Recipe,
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    auxiliary: Auxiliary = NOTHING,
    known: frozenset[str] = frozenset(),
) -> Course:
    """Return the tiles of a run; `pictures` are those it may learn from, without held-out test pictures.

    Generated tiles join for the labels that the pictures have, and for `clean`. Auxiliary tiles are learned from, and
    nothing is judged or calibrated on them.
    """
    labels = tuple(sorted({picture.label for picture in pictures} - {CLEAN}))
    if recipe.clean or any(picture.label == CLEAN for picture in pictures):
        labels = (*labels, CLEAN)
    kept, held = carve_validation(pictures, known=known)
    sides = []
    for part, (side, share) in enumerate(((kept, 1.0), (held, len(held) / len(kept)))):
        theirs, their_pixels = [pictures[i] for i in side], [pixels[i] for i in side]
        clean_times = VALIDATION_CLEAN if part else 1
        repeats = 1 if part else recipe.repeats
        tiles = companions(recipe, theirs, their_pixels, share, clean_times, 1000 * recipe.seed + part, repeats)
        taken = labels if part else (*labels, OUTLIER)
        sides.append(tiles.pick([i for i, label in enumerate(tiles.labels) if label in taken]))
    return Course(labels, sides[0] + auxiliary.tiles, sides[1], frozenset(picture_id(pictures[i]) for i in kept))


def companions(
    recipe: Recipe,
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    share: float,
    clean_times: int,
    seed: int,
    repeats: int = 1,
) -> TileSet:
    """Return the pictures as tiles, with the recipe's clean, cut and generated tiles made from these pictures alone.

    Args:
        recipe: How many tiles of a kind.
        pictures: Of one side.
        pixels: Of these pictures.
        share: Part of the recipe's numbers.
        clean_times: Factor for the number of clean tiles.
        seed: Of what is drawn.
        repeats: How often each picture joins.
    """
    wanted = recipe.tiles
    marked_pictures = read_marked_pictures() if recipe.ground == "reviewed" else frozenset()

    def count(number: int, times: int = 1) -> int:
        return round(number * share * times)

    whole = picture_tiles(pictures, pixels)
    parts = [whole] * repeats
    if wanted.clean_quilted or wanted.cut:
        made = composed_tiles(
            pictures, pixels, clean=count(wanted.clean_quilted, clean_times), cut=count(wanted.cut),
            tile_px=recipe.tile_px, seed=seed, artificial=ARTIFICIAL_GROUND, marked_pictures=marked_pictures,
            local=recipe.local,
        )  # fmt: skip
        parts.append(made)
    parts.append(
        cut_picture_tiles(
            pictures, pixels, count(wanted.cut_pictures), recipe.tile_px, seed + 500, marked_pictures, recipe.local
        )
    )
    parts.append(texture_tiles(count(wanted.clean_textures), recipe.tile_px, seed))
    drawn = seed % 1000 * (VALIDATION_SEED - TRAIN_SEED) + TRAIN_SEED + seed // 1000 * 10_000
    generated = generated_tiles(count(wanted.generated_defects), recipe.tile_px, drawn)
    parts.append(replace(generated, labels=[recipe.drawn.get(label, label) for label in generated.labels]))
    parts.append(generated_clean_tiles(count(wanted.generated_clean, clean_times), recipe.tile_px, drawn))
    return sum_tiles(parts)
