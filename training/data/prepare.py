"""From the files of a data set to its manifest: everything is checked, and what overlaps is grouped.

What cannot be learned from is refused here by name, before a run begins. Nothing here writes; see `manifest`, `sheets`.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path, PurePosixPath

from inspector.inspection.tiling import SINGLE_TILE_RATIO
from inspector.labels import CLEAN, RESERVED
from training.data.blocks import Mapped, find_pairs, group_names, one_by_one
from training.data.dataset import DataSet, Picture, find_pictures, read_pixels
from training.data.manifest import Manifest
from training.errors import DataError

NAMED = 5
"""Pictures of one fault that a line names; the rest are counted."""


def build_manifest(
    data_set: DataSet,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    mapped: Mapped = one_by_one,
) -> Manifest:
    """Check every file of `data_set` and group overlapping views.

    Args:
        data_set: Its files; never more of them in memory than a block compares.
        on_step: Called with how many pictures are compared, and how many there are.
        mapped: Runs the blocks of the comparison, here or elsewhere.

    Raises:
        DataError: As `find_pictures`, or a label with one picture, or one that a split lacks.
    """
    pictures = find_pictures(data_set)
    check_labels(pictures)
    pairs = find_pairs(pictures, partial(read_pixels, data_set), mapped, lambda done: on_step(done, len(pictures)))
    groups = group_names(pictures, pairs.near)
    grouped = tuple(replace(picture, group=group) for picture, group in zip(pictures, groups, strict=True))
    first: dict[str, str] = {}
    copies = []
    for picture in grouped:
        original = first.setdefault(picture.sha256, picture.path)
        if original != picture.path:
            copies.append((original, picture.path))
    return Manifest(grouped, tuple(copies), tuple(group_names(pictures, [*pairs.near, *pairs.far])))


def check_labels(pictures: Sequence[Picture]) -> None:
    """Refuse labels from which nothing can be learned.

    Raises:
        DataError: The name `unknown`, `clean` in another case, one label only, a label with one picture, or a label
            that one split lacks.
    """
    for label, path in {picture.label: picture.path for picture in pictures}.items():
        folder = PurePosixPath(path).parent
        if label.lower() in RESERVED:
            raise DataError(
                f"data: {label.lower()!r} is a verdict on what no label fits and cannot be learned; name these pictures"
                f" by what they show, or leave them out: {folder}"
            )
        if label.lower() == CLEAN and label != CLEAN:
            raise DataError(f"data: good steel is wanted in a folder named {CLEAN!r}, in lower case: {folder}")
    counts = Counter(picture.label for picture in pictures)
    if len(counts) < 2:
        raise DataError(f"data: at least two labels are wanted: {sorted(counts)}")
    if single := sorted(label for label, count in counts.items() if count < 2):
        raise DataError(f"data: label {single[0]!r} has one picture; two or more are wanted")
    splits = {picture.split for picture in pictures} - {""}
    for split in sorted(splits):
        paths = {picture.label: picture.path for picture in pictures if picture.split == split}
        if lacking := sorted(set(counts) - set(paths)):
            example = min(paths.values())
            raise DataError(f"data: label {lacking[0]!r} is missing in the split {split!r}, which {example} is of")


def check_sizes(pictures: Sequence[Picture], tile_px: int) -> None:
    """Refuse pictures that the daemon would tile.

    Raises:
        DataError: A side is longer than one tile may be; the text names the first such picture.
    """
    limit = int(SINGLE_TILE_RATIO * tile_px)
    if large := [picture for picture in pictures if max(picture.width, picture.height) > limit]:
        size = f"{large[0].width} x {large[0].height}"
        raise DataError(
            f"train: {large[0].path}: {size} px is more than one tile ({limit} px a side at most, {len(large)} such"
            f" pictures): cut tiles of {tile_px} px that show what their label says"
        )


def small_pictures(pictures: Sequence[Picture], tile_px: int) -> list[str]:
    """Return a line for pictures with a side shorter than a tile: they are enlarged, as no tile of a line is."""
    small = [picture for picture in pictures if min(picture.width, picture.height) < tile_px]
    if not small:
        return []
    named = ", ".join(f"{picture.path} ({picture.width} x {picture.height} px)" for picture in small[:NAMED])
    more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
    return [f"{len(small)} pictures are smaller than a tile of {tile_px} px, which no tile of a line is: {named}{more}"]


def check_surfaces(pictures: Sequence[Picture]) -> None:
    """Refuse a label of which nothing could be held out.

    Raises:
        DataError: A label has all its pictures in one group.
    """
    for label in sorted({picture.label for picture in pictures}):
        if len({picture.group for picture in pictures if picture.label == label}) < 2:
            raise DataError(
                f"validation: all pictures of {label!r} are views of one surface: nothing could be held out"
            )


def training_refusals(manifest: Manifest, tile_px: int) -> list[str]:
    """Return, in its words, why `train` would refuse the pictures of a data set that it would learn from."""
    pictures = manifest.split("train") if manifest.split("validation") else manifest.pictures
    told = []
    for check in (partial(check_sizes, tile_px=tile_px), check_surfaces):
        try:
            check(pictures)
        except DataError as exc:
            told.append(str(exc))
    return told


def label_contradictions(manifest: Manifest) -> list[str]:
    """Return a line for each file that is under two labels: it teaches that the one looks like the other."""
    label = {picture.path: picture.label for picture in manifest.pictures}
    return [
        f"{first} and {second} are the same file under two labels, {label[first]!r} and {label[second]!r}: one is wrong"
        for first, second in manifest.duplicates
        if label[first] != label[second]
    ]


def compare_groups(manifest: Manifest, reference: Path) -> str:
    """Report how the groups agree with a list of (image, split, group).

    Compared are pairs: two pictures of one group there should be in one group here, and the other way round.
    """
    with reference.open(newline="") as file:
        known = {PurePosixPath(row["image"]).stem: row["group"] for row in csv.DictReader(file)}
    mine = {picture.name: picture.group for picture in manifest.pictures if picture.name in known}
    pairs = [_pairs(groups) for groups in (mine, {name: known[name] for name in mine})]
    both = len(pairs[0] & pairs[1])
    return (
        f"{len(mine)} pictures compared: {len(set(mine.values()))} groups here, {len({known[n] for n in mine})} there;"
        f" {both} of {len(pairs[1])} pairs there are pairs here, {len(pairs[0]) - both} pairs are here only"
    )


def _pairs(groups: dict[str, str]) -> set[tuple[str, str]]:
    members: dict[str, list[str]] = defaultdict(list)
    for name, group in sorted(groups.items()):
        members[group].append(name)
    return {pair for names in members.values() for pair in combinations(names, 2)}
