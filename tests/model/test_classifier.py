"""`inspector.model.classifier`: interpreters, the proof of a bundle on this machine, and the pool that shares tiles."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import one_space, write_bundle
from spoilt_bundles import copy_bundle, edit_bundle

from inspector.box import Box
from inspector.errors import BundleError, WorkerError
from inspector.frame import Pixels
from inspector.inspection.predictions import Predictions
from inspector.model.bundle import DEFAULT_BUNDLE, Bundle, find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.golden import MAX_LOGIT_STEPS, check_golden
from inspector.model.interpreter import load_runtime
from inspector.model.pool import WorkerPool, open_model


def numbered_tiles(first: int, count: int) -> list[Pixels]:
    return [np.full((8, 8), number % 256, np.uint8) for number in range(first, first + count)]


def read_places(tiles: Sequence[Pixels]) -> Predictions:
    """A `Classify` whose places are the tile's grey value."""
    values = np.array([tile[0, 0] for tile in tiles], np.int8)
    maps = {"map": np.tile(values[:, None, None, None], (1, 2, 2, 3)), "map_deep": values[:, None, None, None]}
    return Predictions(np.zeros((len(tiles), 2)), maps=maps)


def read_number(tiles: Sequence[Pixels]) -> Predictions:
    """A `Classify` whose logits are the tile's grey value."""
    values = np.array([[float(tile[0, 0]), 0.0] for tile in tiles])
    return Predictions(values, features=values * 2)


def dies(tiles: Sequence[Pixels]) -> Predictions:
    raise RuntimeError("the interpreter is gone")


@pytest.fixture
def bundle() -> Bundle:
    """The shipped default bundle."""
    root = find_bundle(DEFAULT_BUNDLE)
    if not (root / "card.json").is_file():
        pytest.skip(f"no shipped bundle yet: {DEFAULT_BUNDLE}")
    return load_bundle(root)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_pool_keeps_the_order(workers: int, count: int) -> None:
    """However many workers share however many tiles, row n is tile n, in every output."""
    pool = WorkerPool([read_number] * workers)
    predictions = pool(numbered_tiles(0, count))
    pool.close()

    assert list(range(count)) == predictions.logits[:, 0].tolist()
    assert predictions.features is not None
    assert [2 * number for number in range(count)] == predictions.features[:, 0].tolist()
    assert predictions.cam is None


@pytest.mark.parametrize("workers", [1, 3])
def test_pool_keeps_the_order_of_places(workers: int) -> None:
    """Row n of every map is tile n; where no worker reads them there is none."""
    pool, without = WorkerPool([read_places] * workers), WorkerPool([read_number] * workers)
    maps, nothing = pool(numbered_tiles(0, 7)).maps, without(numbered_tiles(0, 7)).maps
    pool.close()
    without.close()

    assert {role: values.shape for role, values in maps.items()} == {"map": (7, 2, 2, 3), "map_deep": (7, 1, 1, 1)}
    assert all(values[:, 0, 0, 0].tolist() == list(range(7)) for values in maps.values())
    assert nothing == {}


def test_pool_really_shares_the_tiles() -> None:
    """Two workers score one frame at the same time: each waits for the other, and both are there."""
    meet = threading.Barrier(2, timeout=30)

    def meets(tiles: Sequence[Pixels]) -> Predictions:
        meet.wait()
        return read_number(tiles)

    pool = WorkerPool([meets, meets])
    predictions = pool(numbered_tiles(0, 4))
    pool.close()

    assert predictions.logits[:, 0].tolist() == [0, 1, 2, 3]


def test_pool_serves_two_callers() -> None:
    """Frames of several callers do not mix: each gets its own tiles back, in order."""
    pool = WorkerPool([read_number] * 2)
    with ThreadPoolExecutor(4) as callers:
        starts = [10 * (number % 20) for number in range(60)]
        answers = list(callers.map(lambda start: pool(numbered_tiles(start, 5)).logits[:, 0].tolist(), starts))
    pool.close()

    assert [[start + step for step in range(5)] for start in starts] == answers


@pytest.mark.parametrize(
    "classifiers",
    [
        pytest.param([dies], id="the only worker"),
        pytest.param([read_number, dies], id="one of two"),
        pytest.param([dies, dies], id="both"),
    ],
)
def test_a_dead_worker_is_told_and_does_not_hang(classifiers: list[Callable[..., Predictions]]) -> None:
    """A worker that dies gives WorkerError with its reason to this caller and every later one."""
    pool = WorkerPool(classifiers)

    def ask_until_it_fails() -> None:
        while True:  # which of two workers takes which part is theirs to settle
            pool(numbered_tiles(0, 4))

    with pytest.raises(WorkerError, match="the interpreter is gone") as first:
        ask_until_it_fails()
    with pytest.raises(WorkerError, match="the interpreter is gone"):
        pool(numbered_tiles(0, 4))
    pool.close()

    assert isinstance(first.value.__cause__, RuntimeError)


def test_a_closed_pool_refuses() -> None:
    """Tiles that come after the end are refused, not waited for; closing twice is closing once."""
    pool = WorkerPool([read_number])
    pool.close()
    pool.close()
    with pytest.raises(WorkerError, match="closed"):
        pool(numbered_tiles(0, 1))


def test_pool_counts_its_work() -> None:
    """Every worker says how long it has been scoring, and the pool how many there are."""
    pool = WorkerPool([read_number] * 2)
    pool(numbered_tiles(0, 20))
    pool.close()

    assert pool.workers == 2
    assert all(busy >= 0 for busy in pool.busy_s)
    assert sum(pool.busy_s) > 0


def test_predictions_are_rows() -> None:
    """Logits that are no table are refused with their shape."""
    with pytest.raises(ValueError, match=r"\(N, C\): \(4,\)"):
        Predictions(np.zeros(4))


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file that no runtime can run is a BundleError that names it, though its hash holds."""
    with pytest.raises(BundleError, match=r"model\.tflite: ai_edge_litert cannot run this model"):
        Classifier(load_bundle(write_bundle(tmp_path)))


def test_a_runtime_that_is_not_there_is_refused() -> None:
    """Asking for a runtime that is not installed names it."""
    with pytest.raises(BundleError, match="no_such_runtime"):
        load_runtime("no_such_runtime")


def test_the_shipped_bundle_scores_its_golden_tiles(bundle: Bundle) -> None:
    """The proof holds on this machine, with every worker count, and predictions come as the card names them."""
    pool, result = open_model(bundle, 2)
    predictions = pool(list(bundle.golden.tiles))
    pool.close()

    assert len(bundle.golden.tiles) == result.tiles
    assert result.max_steps <= MAX_LOGIT_STEPS
    assert (len(bundle.golden.tiles), len(bundle.card.labels)) == predictions.logits.shape
    assert np.array_equal(Classifier(bundle)(list(bundle.golden.tiles)).logits, predictions.logits)


def with_card(bundle: Bundle, folder: Path, change: Callable[[dict[str, Any]], object]) -> Bundle:
    """The bundle with another card that holds together in itself: only the model can show that it lies."""
    edit_bundle(copy_bundle(folder, bundle.root), change, "golden")
    return load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            lambda card: card.update(input_px=card["input_px"] + 32), r"one uint8 input \(1, \d+, \d+, 1\) is wanted",
            id="input size",
        ),
        pytest.param(
            lambda card: card["models"][0]["outputs"].update(logits="no_such"), r"no output named 'no_such' for logits",
            id="output name",
        ),
        pytest.param(
            lambda card: card["models"][0]["outputs"].update(logits="cam", cam="logits"),
            r"logits of shape \(1, \d+\) are wanted",
            id="outputs swapped",
        ),
        pytest.param(
            lambda card: card["quantization"]["logits"].update(scale=0.0371),
            r"quantization of 'logits' is .* the card says",
            id="scale",
        ),
    ],
)  # fmt: skip
def test_a_card_that_lies_about_its_model_is_refused(
    tmp_path: Path, bundle: Bundle, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    """Input and outputs that are not what the card says are refused, the model file named."""
    with pytest.raises(BundleError, match=text):
        Classifier(with_card(bundle, tmp_path / "bundle", change))


def test_features_must_fit_the_unknown_rule(bundle: Bundle) -> None:
    """A distance rule for another number of features is refused at the start, not at the first frame."""
    strange = replace(bundle, distance=one_space(np.zeros((2, 3))))
    with pytest.raises(BundleError, match=r"features of shape \(1, 3\) are wanted by the unknown rule"):
        Classifier(strange)


def shifted(bundle: Bundle, steps: int, **changes: Any) -> Classifier:
    """A classifier whose golden logits are off in the least likely label of the first tile: no decision changes."""
    classifier = Classifier(bundle)
    logits = bundle.golden.logits.astype(np.int16)
    logits[0, int(logits[0].argmin())] += steps
    classifier.bundle = replace(bundle, golden=replace(bundle.golden, logits=logits.astype(np.int8), **changes))
    return classifier


ELSEWHERE = {"made_with": "ai_edge_litert aarch64"}


@pytest.mark.parametrize(
    ("steps", "agreement"),
    [
        pytest.param(0, "exact", id="exact"),
        pytest.param(MAX_LOGIT_STEPS, "tolerated", id="as far as other kernels go"),
        pytest.param(MAX_LOGIT_STEPS + 1, None, id="one step too far"),
    ],
)
def test_golden_tolerance(bundle: Bundle, steps: int, agreement: str | None) -> None:
    """Between kernels golden logits may differ by a few steps as long as decisions hold; more is another model."""
    classifier = shifted(bundle, steps, **ELSEWHERE)

    if agreement is None:
        with pytest.raises(BundleError, match=r"golden scores do not hold on this machine, 9 steps off in tile 0"):
            check_golden(classifier)
    else:
        result = check_golden(classifier)
        assert (agreement, steps) == (result.agreement, result.max_steps)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of other processors may differ")
def test_golden_is_exact_on_x86(bundle: Bundle) -> None:
    """With LiteRT on x86-64, for which the bundle was written, one step is too far, in logits and in features."""
    with pytest.raises(BundleError, match=r"1 steps off in tile 0 \(at most 0 with ai_edge_litert x86_64\)"):
        check_golden(shifted(bundle, 1))
    features = bundle.golden.outputs["features"].copy()
    features[3, 0] ^= 1
    with pytest.raises(BundleError, match=r"golden output features does not hold .* 1 steps off in tile 3"):
        check_golden(shifted(bundle, 0, outputs={**bundle.golden.outputs, "features": features}))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param({"score": 0.8}, r"score is .* instead of 0\.8", id="score"),
        pytest.param({"label": "inclusion"}, r"label is 'crazing' instead of 'inclusion'", id="label"),
        pytest.param({"severity": "minor"}, r"severity is 'major' instead of 'minor'", id="severity"),
        pytest.param({"box": Box(0, 0, 20, 20)}, r"box is Box\(.*\) instead of", id="box"),
        pytest.param({"box": None}, r"box is Box\(.*\) instead of None", id="no box"),
    ],
)
def test_decisions_hold_between_kernels(bundle: Bundle, change: dict[str, Any], text: str) -> None:
    """Where logits may differ, label, severity and about the score and box must still be those of the card."""
    first, *others = bundle.golden.decisions
    with pytest.raises(BundleError, match=rf"golden tile 0 is decided differently: {text}"):
        check_golden(shifted(bundle, 1, **ELSEWHERE, decisions=(replace(first, **change), *others)))
    near = replace(first, score=first.score - 0.1, runner_up="clean", distance=0.9)
    assert check_golden(shifted(bundle, 1, **ELSEWHERE, decisions=(near, *others))).agreement == "tolerated"


def test_golden_bytes_must_hold(bundle: Bundle) -> None:
    """Preprocessing that gives other bytes than training's is noticed before the model is asked."""
    classifier = Classifier(bundle)
    tiles = bundle.golden.tiles.copy()
    tiles[1] ^= 1
    classifier.bundle = replace(bundle, golden=replace(bundle.golden, tiles=tiles))
    with pytest.raises(BundleError, match=r"golden\.npz: tile 1 is preprocessed to other bytes"):
        check_golden(classifier)


def test_tflite_runtime_runs_the_shipped_bundle(bundle: Bundle) -> None:
    """The extra `tflite-runtime` runs the same file within the tolerance of the golden check."""
    pytest.importorskip(
        "tflite_runtime", reason="tflite-runtime is not installed: pip install inspector[tflite-runtime]"
    )
    result = check_golden(Classifier(bundle, "tflite_runtime"))

    assert len(bundle.golden.tiles) == result.tiles
