"""A checked data set as one value and one file: every picture, and the hash over all that is known of them.

All commands after `prepare` start from it and refuse pictures that have changed since. Its hash goes into runs, cards
and results. Nothing here looks at pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from training.data.dataset import SPLITS, DataSet, LabelledBox, Picture
from training.errors import DataError
from training.files import write_json

MANIFEST_SCHEMA = "inspector/manifest/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked data set: its pictures in natural order, and the hash over everything recorded about them."""

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


def check_files(path: Path, manifest: Manifest, data_set: DataSet) -> None:
    """Refuse a manifest of other pictures than the data set holds; names are compared, contents by `load_pixels`.

    Raises:
        DataError: Pictures are missing in either; the text names the manifest, `path`.
    """
    told, there = {picture.path for picture in manifest.pictures}, set(data_set.pictures)
    if told != there:
        raise DataError(
            f"{path}: not the manifest of these pictures: run prepare again, or name theirs with --manifest: it has"
            f" {len(told)} pictures, {data_set.root} has {len(there)}, {len(told & there)} are in both"
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
