"""Which pictures may be on which side: folds of whole groups, and surfaces that both sides of a split still show.

Nothing here trains; see `judge.crossval`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from training.data.dataset import Picture
from training.data.manifest import Manifest
from training.errors import DataError

FOLDS = 5


def check_leaks(train: Sequence[Picture], held: Sequence[Picture]) -> None:
    """Refuse a split with one surface on both sides.

    Raises:
        DataError: A group has pictures on both sides; the text names one.
    """
    shared = sorted({picture.group for picture in train} & {picture.group for picture in held})
    if shared:
        both = [picture.path for picture in (*train, *held) if picture.group == shared[0]]
        raise DataError(
            f"split: {len(shared)} groups of overlapping views lie on both sides, such as {', '.join(both[:4])}"
        )


def shared_with_training(manifest: Manifest) -> frozenset[str]:
    """Return the paths of validation pictures whose surface a training picture shows too.

    Empty if the data set brings no split. They make a network look better than it is.
    """
    surfaces = manifest.surface_of
    learned = {surfaces[picture.path] for picture in manifest.split("train")}
    return frozenset(picture.path for picture in manifest.split("validation") if surfaces[picture.path] in learned)


def held_out(manifest: Manifest, every: int) -> Manifest:
    """Return the manifest of a data set without splits with one: of each label every n-th surface is held out.

    Raises:
        DataError: It brings a split.
    """
    if any(picture.split for picture in manifest.pictures):
        raise DataError("hold-out: the data set brings a split of its own")
    surfaces = manifest.surface_of
    held: set[str] = set()
    for label in manifest.labels:
        mine = dict.fromkeys(surfaces[picture.path] for picture in manifest.pictures if picture.label == label)
        held |= set(list(mine)[every - 1 :: every])
    pictures = tuple(
        replace(picture, split="validation" if surfaces[picture.path] in held else "train")
        for picture in manifest.pictures
    )
    return replace(manifest, pictures=pictures)


def seen_in(manifest: Manifest, kept: Sequence[int], held: Sequence[int]) -> list[bool]:
    """Return per held-out picture whether one that was kept shows its surface, although another group holds it."""
    surfaces = manifest.surface_of
    learned = {surfaces[manifest.pictures[i].path] for i in kept}
    return [surfaces[manifest.pictures[i].path] in learned for i in held]


def group_folds(pictures: Sequence[Picture], seed: int, folds: int = FOLDS) -> Iterator[tuple[list[int], list[int]]]:
    """Yield (train, held-out) indices: stratified by label, whole groups, `folds` times.

    Raises:
        DataError: A label has fewer groups than there are folds, or a fold leaks.
    """
    groups_of: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        groups_of[picture.label].add(picture.group)
    if few := sorted(label for label, groups in groups_of.items() if len(groups) < folds):
        raise DataError(f"folds: label {few[0]!r} has {len(groups_of[few[0]])} groups of views, {folds} are wanted")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    labels, groups = [picture.label for picture in pictures], [picture.group for picture in pictures]
    for train, held in splitter.split(np.zeros(len(pictures)), labels, groups):
        check_leaks([pictures[i] for i in train], [pictures[i] for i in held])
        yield train.tolist(), held.tolist()
