"""Measures a bundle: every figure the card and `training/results` hold comes from here, as int8 through LiteRT.

The test pictures are the manifest's `validation` split. Composed strips and clean tiles come only from test pictures
whose group has no training picture.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inspector.frame import Pixels
from inspector.inspection.one_frame import InspectRules
from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import check_golden
from inspector.model.pool import WorkerPool
from inspector.model.rules import decision_rules
from inspector.pages.language import N_
from training.bundle.provenance import X_SDD_PICTURES, learned_from
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
from training.tiles.foreign import ForeignSet, foreign_sets
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


def evaluate(
    bundle: Bundle,
    manifest: Manifest,
    data_set: DataSet,
    foreign_root: Path | None,
    *,
    gallery: Gallery | None = None,
    quick: bool = False,
    say: Callable[[str], None] = lambda text: None,
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
    """
    classifiers = [Classifier(bundle) for _ in range(2)]
    golden, pool = check_golden(classifiers[0]), WorkerPool(classifiers)
    rules = decision_rules(bundle, {}, {}, RECORD_FLOOR)
    model = MeasuredModel(pool, rules)
    tile_px = bundle.card.tile_px
    side = test_side(manifest, data_set)
    if strange := sorted({picture.label for picture in side.pictures} - set(bundle.card.labels)):
        raise DataError(f"evaluate: {bundle.short} does not know the label {strange[0]!r}: {list(bundle.card.labels)}")
    refuse_learned(side.pictures, manifest, read_learned(bundle.root), bundle.short)
    scale, gallery = 10 if quick else 1, gallery or Gallery()
    apart, apart_pixels = [side.pictures[i] for i in side.apart], [side.pixels[i] for i in side.apart]
    results: dict[str, Any] = {
        "bundle": bundle.short,
        "golden": golden.agreement,
        "model_sha256": measured_sha256(bundle.model_path().read_bytes()),
    }
    try:
        say("official test pictures")
        results["official"] = dict(official(model, side.pictures, side.pixels))
        if apart:  # a split may show one surface on both sides, as the official one does
            results["official"]["apart"] = dict(official(model, apart, apart_pixels))["correct"]
        say("corruption suite")
        results["corruption"] = dict(corruption(model, side.pictures, side.pixels))
        say("localisation")
        results["cam"] = dict(localisation(model, side.pictures, side.pixels))
        if find_grounds(apart, apart_pixels):
            say("line benchmark")
            strips = compose_benchmark(apart, apart_pixels, clean_strips=CLEAN_STRIPS // scale)
            marked = find_marked_groups(apart), read_marked_pictures() & {picture_id(picture) for picture in apart}
            results["line"] = run_benchmark(strips, pool, InspectRules(TilingRules(tile_px), rules), gallery, *marked)
            results["ece"] = results["line"]["ece"]
            say("clean tiles")
            results["clean"] = _clean(model, apart, apart_pixels, tile_px, CLEAN_TILES // scale, gallery, *marked)
            results["clean"]["false_alarms_per_10000"] = results["line"]["false_alarms_per_10000"]
            results["clean"]["grounds"] = results["line"]["grounds"] = count_grounds(apart, apart_pixels)
            clean, cut = 300 // scale, 600 // scale
            windows = composed_tiles(apart, apart_pixels, clean=clean, cut=cut, tile_px=tile_px, seed=11)
            truth = windows.labels + [picture.label for picture in side.pictures]
            results["costs"] = dict(costs(model, windows.pixels + side.pixels, truth))
        else:
            say("line benchmark left out: no test picture shows enough clean surface outside its boxes")
        if foreign_root is not None:
            say("other mills and materials")
            of_neu = manifest.pictures_sha256 != X_SDD_PICTURES
            sets = list(foreign_sets(foreign_root, tile_px, learned_from(bundle.card.training), of_neu=of_neu))
            results["foreign"] = _foreign(model, sets, side.pixels, gallery)
        results["offenders"] = _offenders(model, side.pictures, side.pixels, gallery)
    finally:
        pool.close()
    results["provenance"] = provenance(manifest)
    return results


def _offenders(
    model: MeasuredModel, pictures: Sequence[Picture], pixels: Sequence[Pixels], gallery: Gallery
) -> list[dict[str, Any]]:
    """Return the pictures that hurt most, and show them."""
    rows = []
    for i, top, score in offenders(model, pictures, pixels):
        picture = pictures[i]
        rows.append({"picture": picture.path, "label": picture.label, "top": top, "own_score": score})
        caption = N_("%(name)s, taken for %(label)s, own score %(score)s")
        values: dict[str, str | float] = {"name": picture.name, "label": top, "score": score}
        gallery.show(Room(N_("Test pictures that hurt most")), Exhibit(pixels[i], caption, -score, values=values))
    return rows


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


def _clean(
    model: MeasuredModel,
    pictures: Sequence[Picture],
    pixels: Sequence[Pixels],
    tile_px: int,
    count: int,
    gallery: Gallery,
    marked_groups: Collection[str],
    marked_pictures: Collection[str],
) -> dict[str, Any]:
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
    return rows


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


def _foreign(
    model: MeasuredModel, sets: Sequence[ForeignSet], known: Sequence[Pixels], gallery: Gallery
) -> dict[str, Any]:
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
    return rows
