"""Measures a bundle: every figure the card and `training/results` hold comes from here, as int8 through LiteRT.

The test pictures are the manifest's `validation` split. Composed strips and clean tiles come only from test pictures
whose group has no training picture.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inspector.frame import Pixels
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import Bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.pool import WorkerPool
from inspector.model.rules import decision_rules
from inspector.pages.language import N_
from training.bundle.provenance import X_SDD_PICTURES, learned_from
from training.data.blocks import Mapped
from training.data.dataset import DataSet, Picture, load_pixels
from training.data.folds import shared_with_training
from training.data.learned import picture_id, read_learned
from training.data.manifest import Manifest
from training.data.reviewed import find_marked_groups, find_unmarked_tiles, read_marked_pictures
from training.errors import DataError
from training.int8.places import measured_sha256
from training.judge.gallery import Exhibit, Gallery, Room
from training.judge.intervals import share
from training.judge.line import run_benchmark
from training.judge.measures import (
    MeasuredModel,
    alarming,
    classification,
    corruption,
    costs,
    counterpart,
    localisation,
    offenders,
    official,
    surface,
    unknown_curve,
)
from training.judge.origin import provenance
from training.judge.strips import compose_benchmark, count_grounds
from training.network.predict import predict_tiles
from training.network.train import load_run, refuse_other_data
from training.tiles.composed import composed_tiles, find_grounds
from training.tiles.foreign import foreign_sets
from training.tiles.generated import EVALUATION_SEED, generated_clean_tiles, generated_tiles

UNKNOWN_RATES = (0.003, 0.01, 0.05)
CLEAN_STRIPS = 160
CLEAN_TILES = 1000
RECORD_FLOOR = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class TestSide:
    """The test pictures, and those of them that share no surface with any training picture."""

    pictures: list[Picture]
    pixels: list[Pixels]
    apart: list[int]


def test_side(manifest: Manifest, data_set: DataSet) -> TestSide:
    """Return the test side of a data set.

    Raises:
        DataError: The data set has no `validation` split.
    """
    pictures = manifest.split("validation")
    if not pictures:
        raise DataError(f"evaluate: the data set has no split named validation: {data_set.root}")
    seen = shared_with_training(manifest)
    apart = [i for i, picture in enumerate(pictures) if picture.path not in seen]
    return TestSide(pictures, load_pixels(data_set, pictures), apart)


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What every part of the evaluation needs: the bundle at work, and the test pictures.

    Attributes:
        model: The bundle's classifier and rules.
        pool: Its workers.
        side: The test pictures.
        apart: Those that share no surface with any training picture.
        apart_pixels: Theirs.
        gallery: Gets the pictures that the figures are about.
        scale: 10 for a tenth of the clean strips and tiles.
    """

    bundle: Bundle
    model: MeasuredModel
    pool: WorkerPool
    manifest: Manifest
    foreign_root: Path | None
    side: TestSide
    apart: list[Picture]
    apart_pixels: list[Pixels]
    gallery: Gallery
    scale: int

    @property
    def marked(self) -> tuple[Collection[str], Collection[str]]:
        """Groups and pictures of the test side that were called marked twice."""
        pictures = read_marked_pictures() & {picture_id(picture) for picture in self.apart}
        return find_marked_groups(self.apart), pictures


@contextmanager
def open_desk(
    bundle: Bundle,
    manifest: Manifest,
    data_set: DataSet,
    foreign_root: Path | None,
    quick: bool,
    gallery: Gallery | None = None,
) -> Iterator[tuple[Desk, str]]:
    """Yield the desk and how this machine scores the golden tiles.

    Raises:
        DataError: No test side, a label that the bundle does not know, or pictures that it has learned from.
    """
    classifiers = [Classifier(bundle) for _ in range(2)]
    golden, pool = check_golden(classifiers[0]), WorkerPool(classifiers)
    try:
        model = MeasuredModel(pool, decision_rules(bundle, {}, {}, RECORD_FLOOR))
        side = test_side(manifest, data_set)
        if strange := sorted({picture.label for picture in side.pictures} - set(bundle.card.labels)):
            known = list(bundle.card.labels)
            raise DataError(f"evaluate: {bundle.short} does not know the label {strange[0]!r}: {known}")
        refuse_learned(side.pictures, manifest, read_learned(bundle.root), bundle.short)
        apart, apart_pixels = [side.pictures[i] for i in side.apart], [side.pixels[i] for i in side.apart]
        hung, scale = gallery or Gallery(), 10 if quick else 1
        desk = Desk(bundle, model, pool, manifest, foreign_root, side, apart, apart_pixels, hung, scale)
        yield desk, golden.agreement
    finally:
        pool.close()


def evaluate(
    bundle: Bundle,
    manifest: Manifest,
    data_set: DataSet,
    foreign_root: Path | None,
    *,
    gallery: Gallery | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda text: None,
    mapped: Mapped | None = None,
) -> dict[str, Any]:
    """Return every figure of a bundle.

    Args:
        bundle: Opened and proven as the daemon does.
        manifest: Of the data set in `data_set`.
        data_set: Its files.
        foreign_root: Folder with the foreign sets, or None.
        gallery: Gets the pictures that the figures are about.
        quick: A tenth of the clean strips and tiles, for a first look.
        say: Called with what is measured now.
        mapped: Runs the parts elsewhere; None: here, one after the other.
    """
    gallery = gallery or Gallery()
    with open_desk(bundle, manifest, data_set, foreign_root, quick, gallery) as (desk, agreement):
        results: dict[str, Any] = {
            "bundle": bundle.short,
            "golden": agreement,
            "model_sha256": measured_sha256(bundle.model_path().read_bytes()),
        }
        parts = list(_parts(desk, say))
        if mapped is None:
            for text, part in parts:
                say(text)
                results |= part(desk)
        else:
            given = (bundle.root.absolute(), manifest, data_set, foreign_root and foreign_root.absolute(), quick)
            done = mapped(measure_part, ((part, *given) for _, part in parts))
            for (text, _), (rows, hung) in zip(parts, done, strict=True):
                say(text)
                results |= rows
                for room, exhibits in hung.rooms.items():
                    for exhibit in exhibits:
                        gallery.show(room, exhibit)
    if "line" in results:
        line, grounds = results["line"], count_grounds(desk.apart, desk.apart_pixels)
        results["clean"]["false_alarms_per_10000"] = line["false_alarms_per_10000"]
        results["clean"]["grounds"] = line["grounds"] = grounds
    results["provenance"] = provenance(manifest)
    return results


Part = Callable[[Desk], dict[str, Any]]


def measure_part(
    part: Part, bundle: Path, manifest: Manifest, data_set: DataSet, foreign_root: Path | None, quick: bool
) -> tuple[dict[str, Any], Gallery]:
    """Return one part's figures and pictures, from paths alone: on any machine that has them."""
    with open_desk(load_bundle(bundle), manifest, data_set, foreign_root, quick) as (desk, _):
        return part(desk), desk.gallery


def _parts(desk: Desk, say: Callable[[str], None]) -> Iterator[tuple[str, Part]]:
    """Yield the parts in the order of the results, each with what is said of it."""
    yield "official test pictures", _official
    yield "corruption suite", _corruption
    yield "localisation", _localisation
    if find_grounds(desk.apart, desk.apart_pixels):
        yield "line benchmark", _line
        yield "clean tiles", _clean
        yield "costs", _costs
    else:
        say("line benchmark left out: no test picture shows enough clean surface outside its boxes")
    if desk.foreign_root is not None:
        yield "other mills and materials", _foreign
    yield "test pictures that hurt most", _offenders


def _official(desk: Desk) -> dict[str, Any]:
    found = dict(official(desk.model, desk.side.pictures, desk.side.pixels))
    if desk.apart:  # a split may show one surface on both sides, as the official one does
        found["apart"] = dict(official(desk.model, desk.apart, desk.apart_pixels))["correct"]
    return {"official": found}


def _corruption(desk: Desk) -> dict[str, Any]:
    return {"corruption": dict(corruption(desk.model, desk.side.pictures, desk.side.pixels))}


def _localisation(desk: Desk) -> dict[str, Any]:
    return {"cam": dict(localisation(desk.model, desk.side.pictures, desk.side.pixels))}


def _line(desk: Desk) -> dict[str, Any]:
    strips = compose_benchmark(desk.apart, desk.apart_pixels, clean_strips=CLEAN_STRIPS // desk.scale)
    rules = InspectRules(TilingRules(desk.bundle.card.tile_px), desk.model.rules)
    line = run_benchmark(strips, desk.pool, rules, desk.gallery, *desk.marked)
    return {"line": line, "ece": line["ece"]}


def _costs(desk: Desk) -> dict[str, Any]:
    clean, cut, side = 300 // desk.scale, 600 // desk.scale, desk.side
    windows = composed_tiles(
        desk.apart, desk.apart_pixels, clean=clean, cut=cut, tile_px=desk.bundle.card.tile_px, seed=11
    )
    truth = windows.labels + [picture.label for picture in side.pictures]
    return {"costs": dict(costs(desk.model, windows.pixels + side.pixels, truth))}


def _offenders(desk: Desk) -> dict[str, Any]:
    """Return the pictures that hurt most, and show them."""
    rows = []
    pictures, pixels = desk.side.pictures, desk.side.pixels
    for i, top, score in offenders(desk.model, pictures, pixels):
        picture = pictures[i]
        rows.append({"picture": picture.path, "label": picture.label, "top": top, "own_score": score})
        caption = N_("%(name)s, taken for %(label)s, own score %(score)s")
        values: dict[str, str | float] = {"name": picture.name, "label": top, "score": score}
        room = Room(N_("Test pictures that hurt most"))
        desk.gallery.show(room, Exhibit(pixels[i], caption, -score, values=values))
    return {"offenders": rows}


def refuse_learned(pictures: Sequence[Picture], manifest: Manifest, learned: frozenset[str], name: str) -> None:
    """Refuse to measure a network on pictures that it has learned from, as far as it lists them.

    A copy of a training picture among the test pictures is not refused: the figure without shared surfaces omits it.

    Raises:
        DataError: There are some; the text names one.
    """
    strange = learned - {picture_id(picture) for picture in manifest.split("train")}
    if known := [picture.path for picture in pictures if picture_id(picture) in strange]:
        raise DataError(
            f"evaluate: {name} has learned from {len(known)} of {len(pictures)} test pictures, such as"
            f" {known[0]}: its figures would flatter; hold out others"
        )


def evaluate_float(run: Path, manifest: Manifest, data_set: DataSet) -> dict[str, Any]:
    """Return the figures of a run's float network on the test pictures, arg-max over its labels: what int8 begins from.

    Raises:
        DataError: The data set has no `validation` split.
        RecipeError: No finished run, or one that was trained on other pictures.
    """
    recipe, labels, network = load_run(run)
    refuse_other_data(run, {"data": manifest.sha256})
    side = test_side(manifest, data_set)
    refuse_learned(side.pictures, manifest, read_learned(run), recipe.name)
    top = [labels[int(i)] for i in predict_tiles(network, side.pixels, recipe).argmax(axis=1)]
    truth = [picture.label for picture in side.pictures]
    official = dict(classification(truth, top, labels))
    return {"run": recipe.name, "recipe": recipe.digest, "official": official, "provenance": provenance(manifest)}


def _clean(desk: Desk) -> dict[str, Any]:
    pictures, pixels, tile_px = desk.apart, desk.apart_pixels, desk.bundle.card.tile_px
    model, gallery, count = desk.model, desk.gallery, CLEAN_TILES // desk.scale
    marked_groups, marked_pictures = desk.marked
    held, *held_of = clean_windows(pictures, pixels, tile_px, count)
    rows: dict[str, Any] = {"neu_held_out": surface(model, held, *held_of)}
    if marked_groups:
        kept = [i for i, picture in enumerate(pictures) if picture.group not in marked_groups]
        unmarked = [pictures[i] for i in kept], [pixels[i] for i in kept]
        rows["neu_reviewed"] = surface(model, *clean_windows(*unmarked, tile_px, count))
        of_unmarked_pictures = clean_windows(pictures, pixels, tile_px, count, marked_pictures)
        rows["neu_reviewed_pictures"] = surface(model, *of_unmarked_pictures)
    for exhibit in alarming(model, held):
        gallery.show(Room(N_("Clean steel of the test groups that alarms")), exhibit)
    generated = generated_clean_tiles(count, tile_px, EVALUATION_SEED)
    rows["generated"] = surface(model, generated.pixels, generated.groups)
    drawn = generated_tiles(count // 2, tile_px, EVALUATION_SEED)
    _, verdicts = model.verdicts(drawn.pixels)
    right = sum(v.label == label for v, label in zip(verdicts, drawn.labels, strict=True))
    rows["generated_defects_right"] = share(right, len(drawn))
    return {"clean": rows}


def clean_windows(
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    tile_px: int,
    count: int,
    marked_pictures: Collection[str] = (),
) -> tuple[list[Pixels], list[str], list[str]]:
    """Return clean windows of composed strips, none of `marked_pictures` (ids), and the group and picture of each."""
    group_of = {picture_id(picture): picture.group for picture in pictures}
    alone = [replace(picture, group=picture_id(picture)) for picture in pictures]
    tiles = composed_tiles(alone, pixels, clean=count, cut=0, tile_px=tile_px, seed=13, marked_pictures=marked_pictures)
    return tiles.pixels, [group_of[each] for each in tiles.groups], tiles.groups


def _foreign(desk: Desk) -> dict[str, Any]:
    assert desk.foreign_root is not None  # noqa: S101 - else it is no part
    model, gallery, known = desk.model, desk.gallery, desk.side.pixels
    of_neu = desk.manifest.pictures_sha256 != X_SDD_PICTURES
    learned = learned_from(desk.bundle.card.training)
    sets = list(foreign_sets(desk.foreign_root, desk.bundle.card.tile_px, learned, of_neu=of_neu))
    rows: dict[str, Any] = {}
    for each in sets:
        if each.kind == "counterpart":
            rows[each.name] = counterpart(model, each.tiles, each.label)
        else:
            rows[each.name] = surface(model, each.tiles, each.groups)
        if each.kind == "clean":
            if unmarked := find_unmarked_tiles(each.name, each.groups):
                tiles, groups = [each.tiles[i] for i in unmarked], [each.groups[i] for i in unmarked]
                rows[each.name]["alarms_reviewed"] = surface(model, tiles, groups)["alarms"]
            for exhibit in alarming(model, each.tiles):
                gallery.show(Room(N_("what alarms"), each.name), exhibit)
    free = [each for each in sets if each.kind == "clean"]
    strange = [each for each in sets if each.name.startswith("x-sdd/") and each.kind == "strange"]
    rows["unknown_curve"] = dict(
        unknown_curve(model, known, {each.name: each.tiles for each in (*strange, *free)}, UNKNOWN_RATES)
    )
    return {"foreign": rows}
