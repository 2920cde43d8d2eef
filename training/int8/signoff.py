"""From a trained run to an int8 network with its operating point: what `quantize` does and `bundle` packs.

Order: fit `features` on training tiles, convert, compare int8 with float over validation tiles; if they differ, let
the rounded network follow the float one and convert again, unless the plain one alone passes the gate over whole
pictures; calibrate temperature, choose thresholds, fit the unknown rule and the finer map. Nothing here has seen a
test picture.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.frame import Pixels
from inspector.inspection.decision import to_scores
from inspector.inspection.distance import FeatureDistance
from inspector.inspection.predictions import Predictions
from inspector.inspection.second_look import MIRRORS, find_doubtful, look_again
from inspector.labels import CLEAN, BoxFrom
from inspector.model.bundle import read_distance
from inspector.model.card import UnknownRule
from inspector.model.interpreter import Int8Network
from training.errors import DataError
from training.files import write_bytes, write_json
from training.int8.locate import fit_fine_head
from training.int8.operating import choose_temperature, choose_thresholds
from training.int8.quantize import Parity, convert, parity, representative_tiles
from training.int8.rounding import calibrate, follow
from training.int8.unknown import (
    MAX_FEATURES,
    UNKNOWN_FILE,
    arrays_of,
    fit_distance,
    fit_feature_head,
    halves,
    rule_for,
    threshold_for,
    with_spoilt_places,
)
from training.network.course import Course
from training.network.feed import stacked_input
from training.network.network import float_input
from training.network.predict import predict_tiles
from training.recipe import Recipe
from training.tiles.augment import augment
from training.tiles.corrupt import spoil
from training.tiles.tile_set import OUTLIER, TileSet

FALSE_UNKNOWN_RATE = 0.015
"""Of held-out tiles, two thirds of which are relit, blurred or noisy: mostly spoilt ones become unknown."""
FIT_TILES = 3000
FIT_COPIES, HELD_COPIES = 4, 2
"""How many relit copies each tile gets, for what is known and for the threshold."""
SPOILT_COPIES = 3
"""How many copies of each training picture are spoilt, for what is known although the line is rough."""
DECIDING = ("logits", "features")
"""The outputs that decide; maps of thousands of tiles would fill the memory."""
LOOKS = 1 + len(MIRRORS)
TURNS = 5
"""How often temperature and doubtful tiles are found again, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class SignedOff:
    """An int8 network with everything a bundle says about it, except its measured figures."""

    model: bytes
    temperature: float
    thresholds: dict[str, float]
    distance: FeatureDistance
    unknown: UnknownRule
    looks: int
    """How many views of a doubtful tile temperature and thresholds hold for, see `inspector.inspection`."""
    box_from: BoxFrom
    """`cam` where the maps of all defect labels have learned from boxes; another one may peak anywhere (`LOG.md`)."""
    parity: Parity
    """Over whole validation pictures: the gate. A tile cut at its edge may be undecided for both networks."""
    parity_tiles: Parity
    """Over all validation tiles, cut and composed ones too."""


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """One int8 network, its outputs for the validation tiles, and how far it is from the float one.

    Attributes:
        network: The Keras network whose weights are in the file.
        model: The file, without a finer map.
        scored: Its deciding outputs for the validation tiles.
        temperature: Calibrated on them, one look at each.
        over_pictures: See `SignedOff.parity`.
        over_tiles: See `SignedOff.parity_tiles`.
        write: Returns the file again, with a finer map.
        groups: See `unknown.FeatureHead`.
    """

    network: Any
    model: bytes
    scored: dict[str, npt.NDArray[np.float64]]
    temperature: float
    over_pictures: Parity
    over_tiles: Parity
    write: Callable[[npt.NDArray[np.float32]], bytes]
    groups: tuple[tuple[int, int], ...]


def sign_off(
    network: Any, course: Course, recipe: Recipe, run: Path, *, false_unknown_rate: float = FALSE_UNKNOWN_RATE
) -> SignedOff:
    """Quantize and choose the operating point; whether int8 is the float network, `parity` says.

    Args:
        network: The float network.
        course: Its tiles.
        recipe: Its recipe.
        run: Keeps the state of the rounded network's own training.
        false_unknown_rate: Share of known validation tiles that may come out as unknown.
    """
    made = round_network(network, course, recipe, run)
    model = with_finer_map(made, course, recipe)
    taught = model is not made.model and every_label_is_boxed(course)
    int8, held = Int8Network(model), course.validation
    looks, logits, temperature = 1, made.scored["logits"], made.temperature
    if CLEAN in course.labels:  # without it every tile would be scored again
        looks = LOOKS
        logits, temperature = look_as_served(held, logits, course.labels, temperature, int8)
    thresholds = choose_thresholds(to_scores(logits, temperature), held.labels, course.labels)
    distance, reached = fit_unknown(int8, course, recipe, made.groups)
    rule = rule_for(distance, threshold_for(reached, false_unknown_rate), false_unknown_rate)
    whole = course.train.pick([i for i, origin in enumerate(course.train.origins) if origin == "picture"])
    spoilt, shown = spoilt_features(int8, course.labels, whole.pixels, whole.labels)
    distance = with_spoilt_places(distance, spoilt, shown)
    return SignedOff(
        model, temperature, thresholds, distance, rule, looks, "cam" if taught else "tile", made.over_pictures,
        made.over_tiles,
    )  # fmt: skip


def round_network(network: Any, course: Course, recipe: Recipe, run: Path) -> Rounded:
    """Return the int8 network of a float one; if the plain one differs, that of the rounded twin which followed it.

    Args:
        network: The float network.
        course: Its tiles.
        recipe: Its recipe.
        run: Keeps the state of the rounded network's own training.
    """
    named, held = _named(course), course.validation
    fit = _some(named, recipe)
    seen = fit.pixels + lit_otherwise(fit.pixels, recipe, np.random.default_rng(recipe.seed))
    feature_head = fit_feature_head(halves(network, seen, recipe), MAX_FEATURES - len(course.labels))
    representative = representative_tiles(named, recipe.seed)
    ranges = calibrate(network, float_input(stacked_input(representative, recipe.input_px), recipe))
    whole = [i for i, origin in enumerate(held.origins) if origin == "picture"]
    names = [f"{origin}:{group}:{i}" for i, (origin, group) in enumerate(zip(held.origins, held.groups, strict=True))]
    floats = predict_tiles(network, held.pixels, recipe)

    def attempt(rounded: Any) -> Rounded:
        def write(fine_head: npt.NDArray[np.float32] | None = None) -> bytes:
            with tempfile.TemporaryDirectory() as temporary:
                return convert(rounded, ranges, feature_head, recipe, representative, Path(temporary), fine_head)

        model = write()
        scored = Int8Network(model)(held.pixels, DECIDING)
        temperature = choose_temperature(scored["logits"], held.labels, course.labels)

        def compare(chosen: Sequence[int]) -> Parity:
            wanted, ints = [held.labels[i] for i in chosen], scored["logits"][chosen]
            return parity(floats[chosen], ints, wanted, [names[i] for i in chosen], course.labels, temperature)

        both = compare(whole), compare(range(len(held)))
        return Rounded(rounded, model, scored, temperature, *both, write, feature_head.groups)

    made = attempt(network)
    if made.over_tiles.refusal and recipe.rounding.epochs:
        print(f"plain int8 is not float over all validation tiles: {made.over_tiles.refusal}", flush=True)
        followed = attempt(follow(network, course.train, course.labels, recipe, ranges, run / "rounded"))
        if made.over_pictures.refusal or not followed.over_pictures.refusal:
            return followed
    return made


def with_finer_map(made: Rounded, course: Course, recipe: Recipe) -> bytes:
    """Return the file, with a finer map if there are boxes."""
    fine_head = fit_fine_head(made.network, _named(course), course.labels, recipe)
    if fine_head is None:
        return made.model
    finer = made.write(fine_head)
    scored = Int8Network(finer)(course.validation.pixels, DECIDING)
    if all(np.array_equal(scored[name], made.scored[name]) for name in DECIDING):
        return finer
    print("the finer map is left out: with it the file gives other logits or features", flush=True)
    return made.model


def every_label_is_boxed(course: Course) -> bool:
    """Say whether the finer map could learn where each defect label shows; other maps may peak anywhere."""
    boxed = {label for label, boxes in zip(course.train.labels, course.train.boxes, strict=True) if boxes}
    return boxed >= set(course.labels) - {CLEAN}


def fit_unknown(
    int8: Int8Network, course: Course, recipe: Recipe, groups: tuple[tuple[int, int], ...]
) -> tuple[FeatureDistance, npt.NDArray[np.float64]]:
    """Return the distance from everything known, and those of held-out tiles, as they are and relit.

    Artificial surfaces stand for other mills: what is like them does not count as known.
    """
    rng = np.random.default_rng(recipe.seed)
    known, held = (_unlike_artificial(tiles) for tiles in (_some(_named(course), recipe), course.validation))
    fit, reached = (
        int8(tiles.pixels + lit_otherwise(tiles.pixels * copies, recipe, rng), ("features",))["features"]
        for tiles, copies in ((known, FIT_COPIES), (held, HELD_COPIES))
    )
    distance = fit_distance(fit, known.labels * (1 + FIT_COPIES), reached, groups)
    return distance, distance(reached)


def spoilt_features(
    int8: Int8Network, labels: Sequence[str], pixels: Sequence[Pixels], shown: Sequence[str]
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Return the features of defect pictures as a rough line shows them, where the network still names them rightly.

    Args:
        int8: The network.
        labels: In the order of its logits.
        pixels: Whole training pictures.
        shown: What each of them shows; those of other labels, and clean ones, are left out.
    """
    defects = [i for i, label in enumerate(shown) if label in labels and label != CLEAN]
    features, named = [], []
    for copy in range(SPOILT_COPIES):
        tiles = [spoil(pixels[i], np.random.default_rng((copy, k))) for k, i in enumerate(defects)]
        scored = int8(tiles, DECIDING)
        top = scored["logits"].argmax(axis=1)
        right = [k for k, i in enumerate(defects) if labels[int(top[k])] == shown[i]]
        features.append(scored["features"][right])
        named += [shown[defects[k]] for k in right]
    return np.concatenate(features), named


def _named(course: Course) -> TileSet:
    """Return the training tiles that show a label."""
    return course.train.pick([i for i, label in enumerate(course.train.labels) if label != OUTLIER])


def _some(tiles: TileSet, recipe: Recipe) -> TileSet:
    """Return at most `FIT_TILES` of them."""
    return tiles.pick(sorted(np.random.default_rng(recipe.seed).permutation(len(tiles))[:FIT_TILES].tolist()))


def _unlike_artificial(tiles: TileSet) -> TileSet:
    return tiles.pick([i for i, origin in enumerate(tiles.origins) if origin != "clean_textures"])


def look_as_served(
    held: TileSet, logits: npt.NDArray[np.float64], labels: Sequence[str], temperature: float, int8: Int8Network
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the logits that the daemon decides by, and the temperature calibrated on them.

    The temperature decides which tiles are doubtful, and these give the temperature: both are found in turns. (The
    daemon leaves out tiles that are too far from every label; those are unknown either way.)

    Args:
        held: Validation tiles.
        logits: Of these tiles, of one look.
        labels: In the order of the logits.
        temperature: The first one.
        int8: The network.
    """
    for _ in range(TURNS):
        looked, doubtful = look_where_doubtful(held.pixels, logits, labels, temperature, int8)
        temperature = choose_temperature(looked, held.labels, labels)
        if find_doubtful(logits, labels, temperature) == doubtful:
            break
    return looked, temperature


def look_where_doubtful(
    tiles: Sequence[Pixels],
    logits: npt.NDArray[np.float64],
    labels: Sequence[str],
    temperature: float,
    int8: Int8Network,
) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Return the logits after the daemon's further looks at doubtful tiles, and which these are."""
    doubtful = find_doubtful(logits, labels, temperature)
    looked = look_again(
        tiles, Predictions(logits), doubtful, lambda views: Predictions(int8(views, ("logits",))["logits"])
    )
    return looked.logits, doubtful


def lit_otherwise(tiles: Sequence[Pixels], recipe: Recipe, rng: np.random.Generator) -> list[Pixels]:
    """Return the tiles as training changes them: light and focus of another day do not make steel unknown."""
    return [augment(tile, rng, recipe.augment) for tile in tiles]


def save(run: Path, result: SignedOff) -> None:
    """Write the result into the run's folder."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **arrays_of(result.distance))
    files = {"model.tflite": result.model, UNKNOWN_FILE: arrays.getvalue()}
    for name, raw in files.items():
        write_bytes(run / name, raw)
    write_json(
        run / "signoff.json",
        {
            "files": {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()},
            "temperature": result.temperature, "thresholds": result.thresholds,
            "unknown": result.unknown.model_dump(), "looks": result.looks, "box_from": result.box_from,
            "parity": parity_row(result.parity), "parity_tiles": parity_row(result.parity_tiles),
        },
    )  # fmt: skip


def parity_row(compared: Parity) -> dict[str, Any]:
    """Return a comparison fit for JSON."""
    return {name: getattr(compared, name) for name in Parity.__slots__} | {"larger": list(compared.larger)}


def load(run: Path) -> SignedOff:
    """Return what `save` wrote.

    Raises:
        DataError: Not quantized yet, by an older version, or interrupted between two of its files.
    """
    if not (run / "signoff.json").is_file():
        raise DataError(f"{run}: not quantized: run python -m training quantize {run} first")
    row = json.loads((run / "signoff.json").read_text())
    raw = {name: (run / name).read_bytes() for name in ("model.tflite", UNKNOWN_FILE)}
    for name, sha256 in row.get("files", {}).items():
        if hashlib.sha256(raw[name]).hexdigest() != sha256:
            raise DataError(f"{run / name}: is not what signoff.json was written for: run quantize again")
    if not {"unknown", "box_from"} <= set(row):
        raise DataError(f"{run}: quantized by a version of before: run quantize again")
    rule = UnknownRule.model_validate(row["unknown"])
    compared, tiles = (Parity(**{**row[k], "larger": tuple(row[k]["larger"])}) for k in ("parity", "parity_tiles"))
    return SignedOff(
        raw["model.tflite"], row["temperature"], row["thresholds"], read_distance(run / UNKNOWN_FILE, rule), rule,
        row["looks"], row["box_from"], compared, tiles,
    )  # fmt: skip
