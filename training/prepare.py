"""Reads a data set, checks everything, groups what overlaps, and writes a manifest and sheets to look at.

The manifest names every picture with its hash, label, split, group and boxes; all later commands start from it and
refuse pictures that have changed since. Its own hash goes into runs, cards and results.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from inspector.frame import Pixels
from inspector.inspection.tiling import SINGLE_TILE_RATIO
from inspector.labels import CLEAN, UNKNOWN
from training.dataset import SPLITS, LabelledBox, Picture, Store, find_pictures, load_pixels
from training.errors import DataError
from training.files import write_json, write_picture
from training.overlap import distant_pairs, group_names, overlapping_pairs

MANIFEST_SCHEMA = "inspector/manifest/1"
FOLDS = 5
THUMBNAIL_PX = 96


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked data set: its pictures in natural order, and the hash over all that is said of them."""

    pictures: tuple[Picture, ...]
    duplicates: tuple[tuple[str, str], ...]
    """Pairs of byte-identical files."""
    surfaces: tuple[str, ...] = ()
    """Per picture the first of the groups that distant views join to its own; empty: the groups themselves.

    Not in the hash, and no group is split or joined by it: who was held out with whom stays comparable over versions,
    and what was held out while training saw its surface can be told apart afterwards.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """Sorted label names."""
        return tuple(sorted({picture.label for picture in self.pictures}))

    @property
    def sha256(self) -> str:
        """Over every picture's path, label, split, hash, boxes and group."""
        text = json.dumps([asdict(picture) for picture in self.pictures], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def pictures_sha256(self) -> str:
        """Names the pictures, wherever they lie and however they are grouped."""
        return hashlib.sha256("".join(sorted(picture.sha256 for picture in self.pictures)).encode()).hexdigest()

    @property
    def surface_of(self) -> dict[str, str]:
        """Return which surface a picture shows, by path."""
        groups = tuple(picture.group for picture in self.pictures)
        paths = (picture.path for picture in self.pictures)
        return dict(zip(paths, self.surfaces or groups, strict=True))

    def split(self, name: str) -> list[Picture]:
        """Return the pictures of one split."""
        return [picture for picture in self.pictures if picture.split == name]


def build_manifest(store: Store, on_step: Callable[[int, int], None] = lambda done, total: None) -> Manifest:
    """Check every file of `store` and group overlapping views.

    Raises:
        DataError: As `find_pictures`, or a label with one picture, or one that a split lacks.
    """
    pictures = find_pictures(store)
    check_labels(pictures)
    pixels = load_pixels(store, pictures)
    total = 2 * len(pictures)
    pairs = overlapping_pairs(pictures, pixels, on_step=lambda done: on_step(done, total))
    groups = group_names(pictures, pairs)
    far = distant_pairs(pictures, pixels, on_step=lambda done: on_step(len(pictures) + done, total))
    grouped = tuple(replace(picture, group=group) for picture, group in zip(pictures, groups, strict=True))
    first: dict[str, str] = {}
    copies = []
    for picture in grouped:
        original = first.setdefault(picture.sha256, picture.path)
        if original != picture.path:
            copies.append((original, picture.path))
    return Manifest(grouped, tuple(copies), tuple(group_names(pictures, [*pairs, *far])))


def check_labels(pictures: Sequence[Picture]) -> None:
    """Refuse labels that nothing can be learned from.

    Raises:
        DataError: The name `unknown`, `clean` in another case, one label only, a label with one picture, or a label
            that one split lacks.
    """
    for label, path in {picture.label: picture.path for picture in pictures}.items():
        folder = PurePosixPath(path).parent
        if label.lower() == UNKNOWN:
            raise DataError(
                f"data: {UNKNOWN!r} is the verdict on what no label fits and cannot be learned; name these pictures by"
                f" what they show, or leave them out: {folder}"
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
    """Return a line for each file that lies under two labels: it teaches that the one looks like the other."""
    label = {picture.path: picture.label for picture in manifest.pictures}
    return [
        f"{first} and {second} are the same file under two labels, {label[first]!r} and {label[second]!r}: one is wrong"
        for first, second in manifest.duplicates
        if label[first] != label[second]
    ]


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
    """Return the paths of validation pictures that show what a training picture shows: their surface has some there.

    Empty where the data set brings no split. A network is flattered by them.
    """
    surfaces = manifest.surface_of
    learned = {surfaces[picture.path] for picture in manifest.split("train")}
    return frozenset(picture.path for picture in manifest.split("validation") if surfaces[picture.path] in learned)


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


def read_manifest(path: Path) -> Manifest:
    """Return what `write_manifest` wrote.

    Raises:
        DataError: No manifest there, or a damaged one.
    """
    try:
        row = json.loads(path.read_text())
        pictures = tuple(
            Picture(**{**each, "boxes": tuple(LabelledBox(**box) for box in each["boxes"])}) for each in row["pictures"]
        )
        copies = tuple((first, second) for first, second in row["duplicates"])
        manifest = Manifest(pictures, copies, tuple(row["surfaces"]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{path}: not a manifest that `prepare` wrote: {exc}") from exc
    if row.get("schema") != MANIFEST_SCHEMA or manifest.sha256 != row.get("sha256"):
        raise DataError(f"{path}: damaged or written by another version: run prepare again")
    return manifest


def check_files(path: Path, manifest: Manifest, store: Store) -> None:
    """Refuse a manifest of other pictures than the store holds; names are compared, contents by `load_pixels`.

    Raises:
        DataError: Pictures are missing in either; the text names the manifest, `path`.
    """
    told, there = {picture.path for picture in manifest.pictures}, set(store.pictures)
    if told != there:
        raise DataError(
            f"{path}: not the manifest of these pictures: run prepare again, or name theirs with --manifest: it has"
            f" {len(told)} pictures, {store.root} has {len(there)}, {len(told & there)} are in both"
        )


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest beside `path` and rename it there."""
    write_json(
        path,
        {
            "schema": MANIFEST_SCHEMA, "sha256": manifest.sha256, "duplicates": manifest.duplicates,
            "surfaces": manifest.surfaces, "counts": count_pictures(manifest),
            "pictures": [asdict(picture) for picture in manifest.pictures],
        },
    )  # fmt: skip


def count_pictures(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Return per label: pictures a split, groups, surfaces, and pictures that overlap another."""
    sizes, surfaces = Counter(picture.group for picture in manifest.pictures), manifest.surface_of
    rows: dict[str, dict[str, int]] = {}
    for label in manifest.labels:
        mine = [picture for picture in manifest.pictures if picture.label == label]
        splits = Counter(picture.split or "all" for picture in mine)
        rows[label] = {
            **{split: splits[split] for split in (*SPLITS, "all") if splits[split]},
            "groups": len({picture.group for picture in mine}),
            "surfaces": len({surfaces[picture.path] for picture in mine}),
            "overlapping": sum(sizes[picture.group] > 1 for picture in mine),
            "boxes": sum(len(picture.boxes) for picture in mine),
            "foreign_boxes": sum(box.label != label for picture in mine for box in picture.boxes),
        }
    return rows


def compare_groups(manifest: Manifest, reference: Path) -> str:
    """Say how the groups found agree with a list of (image, split, group).

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


def draw_sheet(tiles: Sequence[Pixels], captions: Sequence[str], columns: int = 10) -> Pixels:
    """Return a contact sheet of thumbnails with a line of text under each."""
    side, line = THUMBNAIL_PX, 14
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (side + line), columns * side), 255, np.uint8)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        y, x = index // columns * (side + line), index % columns * side
        sheet[y : y + side, x : x + side] = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
        cv2.putText(sheet, caption[:16], (x + 2, y + side + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 0, 1, cv2.LINE_AA)
    return sheet


def write_sheets(folder: Path, store: Store, manifest: Manifest, per_label: int = 50, seed: int = 0) -> list[Path]:
    """Write one sheet a label with its boxes drawn, and return the paths."""
    rng = np.random.default_rng(seed)
    written = []
    for label in manifest.labels:
        mine = [picture for picture in manifest.pictures if picture.label == label]
        chosen = [mine[int(i)] for i in sorted(rng.permutation(len(mine))[:per_label])]
        tiles = []
        for picture, pixels in zip(chosen, load_pixels(store, chosen), strict=True):
            drawn = pixels.copy()
            for box in picture.boxes:
                cv2.rectangle(drawn, (box.x, box.y), (box.right - 1, box.bottom - 1), 255, 1)
            tiles.append(drawn)
        path = folder / f"sheet-{label}.png"
        write_picture(path, draw_sheet(tiles, [picture.name for picture in chosen]))
        written.append(path)
    return written
