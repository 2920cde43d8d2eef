"""Surfaces of other mills and materials, to measure on.

X-SDD (another hot strip mill), Severstal (a cold mill's line camera) and magnetic tile (ground ferrite) lie in folders
of these names beside NEU-DET; a missing one is left out. Nothing that ships has learned from the latter two. Where a
bundle learned from a class of X-SDD, the other half of it is measured (see `auxiliary`): other strips of a known mill.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from inspector.frame import Pixels
from inspector.inspection.tiling import TilingRules, cut_tiles, plan_tiles
from training.data.dataset import DataSet, decode, find_pictures, load_pixels
from training.data.prepare import build_manifest
from training.tiles.auxiliary import held_half

COUNTERPARTS = {"surface scratch": "scratches", "slag inclusion": "inclusion"}
"""X-SDD classes that a person would call by a NEU name."""
NO_COUNTERPART = ("iron sheet ash", "finishing roll printing")
"""X-SDD classes that must come out as unknown or clean."""
BLACK_LEVEL = 12


@dataclass(frozen=True, slots=True, eq=False)
class ForeignSet:
    """Tiles of one foreign source.

    Attributes:
        name: Such as `x-sdd/iron sheet ash`.
        kind: `clean`, `counterpart` (a defect with a NEU name) or `strange` (a defect without one).
        label: The NEU name of a counterpart, else empty.
        tiles: (H, W) uint8 each.
        groups: What each tile shows a part of: a file, or a group of overlapping views.
    """

    name: str
    kind: str
    label: str
    tiles: list[Pixels]
    groups: list[str]


def foreign_sets(
    root: Path, tile_px: int, learned: Collection[str] = (), *, of_neu: bool = True
) -> Iterator[ForeignSet]:
    """Yield what is there below `root`; of the X-SDD folders in `learned` only the half that nothing learns from.

    For a bundle that knows X-SDD itself (`of_neu` false) NEU is the other hot strip mill.
    """
    if of_neu:
        yield from _x_sdd(root / "x-sdd" / "images", learned)
    else:
        yield from _neu(root / "neu-det")
    yield from _severstal(root / "severstal-sample", tile_px)
    yield from _magnetic_tile(root / "magnetic-tile", tile_px)


def _x_sdd(folder: Path, learned: Collection[str]) -> Iterator[ForeignSet]:
    if not folder.is_dir():
        return
    data_set = DataSet(folder)
    manifest = build_manifest(data_set)
    held = held_half(manifest)
    for name in manifest.labels:
        pictures = [p for p in (held if name in learned else manifest.pictures) if p.label == name]
        kind = "counterpart" if name in COUNTERPARTS else "strange"
        groups = [picture.group for picture in pictures]
        yield ForeignSet(f"x-sdd/{name}", kind, COUNTERPARTS.get(name, ""), load_pixels(data_set, pictures), groups)


def _neu(folder: Path) -> Iterator[ForeignSet]:
    """Yield NEU's pictures by label, none of them clean; grouped as its own list of overlapping views says."""
    if not folder.is_dir():
        return
    with (folder / "overlap_groups.csv").open(newline="") as file:
        group_of = {row["image"]: row["group"] for row in csv.DictReader(file)}
    data_set = DataSet(folder)
    pictures = find_pictures(data_set)
    for label in sorted({picture.label for picture in pictures}):
        mine = [picture for picture in pictures if picture.label == label]
        groups = [group_of[picture.name] for picture in mine]
        yield ForeignSet(f"neu-det/{label}", "strange", "", load_pixels(data_set, mine), groups)


def _severstal(folder: Path, tile_px: int) -> Iterator[ForeignSet]:
    if not (folder / "labels.csv").is_file():
        return
    with (folder / "labels.csv").open(newline="") as file:
        clean = sorted(row["image"] for row in csv.DictReader(file) if row["label"] == "no_defect")
    pictures = {path.stem: path for path in (folder / "images").iterdir()}
    tiles: list[Pixels] = []
    groups: list[str] = []
    for name in clean:
        path = pictures[Path(name).stem]
        theirs = [tile for tile in _cut(path, tile_px) if float((tile <= BLACK_LEVEL).mean()) < 0.5]
        tiles += theirs
        groups += [path.name] * len(theirs)
    yield ForeignSet("severstal/no_defect", "clean", "", tiles, groups)


def _magnetic_tile(folder: Path, tile_px: int) -> Iterator[ForeignSet]:
    for each in sorted(folder.glob("MT_*")) if folder.is_dir() else []:
        tiles: list[Pixels] = []
        groups: list[str] = []
        for path in sorted((each / "Imgs").glob("*.jpg")):
            theirs = _cut(path, tile_px)
            tiles += theirs
            groups += [path.name] * len(theirs)
        kind = "clean" if each.name == "MT_Free" else "strange"
        yield ForeignSet(f"magnetic-tile/{each.name}", kind, "", tiles, groups)


def _cut(path: Path, tile_px: int) -> list[Pixels]:
    pixels = decode(path.read_bytes(), path.name)
    return list(cut_tiles(pixels, plan_tiles(*pixels.shape, TilingRules(tile_px))))
