"""The distance from the good surface of the site: per place, per tile, whatever stands beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.inspection.predictions import Predictions
from inspector.inspection.reference import PlaceSpace, SiteReference
from inspector.model.pool import WorkerPool

HASH = "0123456789abcdef" * 4


def a_space(role: str = "map", **changes: Any) -> PlaceSpace:
    parts: dict[str, Any] = {"mean": np.zeros(2), "whitening": np.eye(2), "scale": 1.0, **changes}
    return PlaceSpace(role, **parts)


def a_reference(*spaces: PlaceSpace, **changes: Any) -> SiteReference:
    parts: dict[str, Any] = {"sha256": HASH, "defect_threshold": 3.0, "unclassified_threshold": 4.0, **changes}
    return SiteReference(spaces=spaces or (a_space(),), **parts)


def random_maps(count: int, seed: int, depths: tuple[int, int] = (32, 56)) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return {
        "map": rng.integers(-128, 128, (count, 8, 8, depths[0]), np.int8),
        "map_deep": rng.integers(-128, 128, (count, 4, 4, depths[1]), np.int8),
    }


def random_reference(seed: int) -> SiteReference:
    rng = np.random.default_rng(seed)
    return a_reference(
        PlaceSpace("map", rng.normal(0, 9, 32), rng.normal(0, 0.1, (32, 32)), 4.5),
        PlaceSpace("map_deep", rng.normal(0, 9, 56), rng.normal(0, 0.1, (56, 40)), 7.5),
    )


def test_a_place_is_as_far_as_whitening_and_scale_say() -> None:
    """A place's distance is the length of (values - mean) x whitening, in units of the scale."""
    space = PlaceSpace("map", np.array([1.0, 2.0]), np.diag([0.5, 2.0]), 5.0)
    values = np.array([[[[7, 4], [1, 2]]]], np.int8)  # less the mean (6, 2) and (0, 0); whitened (3, 4) and (0, 0)

    assert space(values).tolist() == [[[1.0, 0.0]]]


def test_a_tile_is_as_far_as_its_farthest_place_in_the_map_that_sees_it_farthest() -> None:
    """Places of the coarser map are grown to the finer grid, the larger distance counts there, and its maximum."""
    fine, deep = np.zeros((2, 4, 4, 2), np.int8), np.zeros((2, 2, 2, 1), np.int8)
    fine[0, 1, 3] = (3, 4)
    deep[1, 1, 0] = 12
    reference = a_reference(a_space(), PlaceSpace("map_deep", np.zeros(1), np.eye(1), 2.0))
    maps = {"map": fine, "map_deep": deep}
    heat = reference.distance_map(maps)

    assert reference.distance(maps).tolist() == [5.0, 6.0]
    assert heat[0].sum() == heat[0, 1, 3] == 5.0
    assert heat[1].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [6, 6, 0, 0], [6, 6, 0, 0]]


def test_the_distance_that_counts_has_the_decimals_that_a_message_shows() -> None:
    """A tile's distance is rounded to four decimals before anything compares it."""
    reference = a_reference(a_space(scale=3.0))

    assert reference.distance({"map": np.array([[[[1, 0]]]], np.int8)}).tolist() == [0.3333]


@given(st.integers(1, 9), st.integers(0, 9))
def test_which_tiles_stand_beside_it_changes_nothing(count: int, cut: int) -> None:
    """Bit for bit, whatever the frame: workers may share its tiles as they like."""
    reference, maps = random_reference(count), random_maps(count, cut)
    parts = [{role: values[part] for role, values in maps.items()} for part in (slice(cut), slice(cut, None))]
    halves = np.concatenate([reference.distance_map(part) for part in parts])

    assert np.array_equal(reference.distance_map(maps), halves)


def test_it_is_the_textbook_distance() -> None:
    """Mahalanobis: the same as with the inverse of the covariance that the whitening stands for."""
    rng = np.random.default_rng(3)
    mean, root = rng.normal(0, 9, 32), rng.normal(0, 1, (32, 32))
    inverse = np.linalg.inv(root @ root.T + np.eye(32))
    values = random_maps(2, 5)["map"]
    off = values.astype(float) - mean
    plain = np.sqrt(np.einsum("nijd,de,nije->nij", off, inverse, off))

    assert PlaceSpace("map", mean, np.linalg.cholesky(inverse), 1.0)(values) == pytest.approx(plain, rel=1e-9)


def test_a_large_map_is_taken_row_by_row() -> None:
    """A map whose tile would wake BLAS threads gives the same distances, piece by piece."""
    rng = np.random.default_rng(4)
    values = rng.integers(-128, 128, (2, 20, 20, 64), np.int8)
    space = PlaceSpace("map", rng.normal(0, 9, 64), rng.normal(0, 0.1, (64, 64)), 1.0)
    plain = np.linalg.norm((values.astype(float) - space.mean) @ space.whitening, axis=3)

    assert space(values) == pytest.approx(plain, rel=1e-12)


def test_no_tiles_have_no_distances() -> None:
    """A frame without tiles gives an empty row, not an error."""
    assert random_reference(1).distance(random_maps(0, 1)).shape == (0,)


def test_messages_carry_the_head_of_its_hash() -> None:
    """`short` is the first 12 hex digits."""
    assert a_reference().short == "0123456789ab"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"role": ""}, "role", id="no role"),
        pytest.param({"mean": np.zeros(3)}, r"\(3,\) and \(2, 2\)", id="mean and whitening differ"),
        pytest.param({"mean": np.zeros((1, 2))}, "are expected", id="mean of two dimensions"),
        pytest.param({"whitening": np.zeros((2, 0))}, "are expected", id="a whitening to nothing"),
        pytest.param({"mean": np.array([0, np.nan])}, "finite", id="a mean that is no number"),
        pytest.param({"whitening": np.full((2, 2), np.inf)}, "finite", id="an infinite whitening"),
        pytest.param({"scale": 0.0}, "above 0: 0.0", id="no scale"),
        pytest.param({"scale": float("nan")}, "above 0: nan", id="a scale that is no number"),
    ],
)
def test_a_space_that_cannot_be_is_refused(changes: dict[str, Any], text: str) -> None:
    """An invalid space cannot be made: what is wrong is named."""
    with pytest.raises(ValueError, match=text):
        a_space(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({"sha256": "abc"}, "64 hex digits: 'abc'", id="no hash"),
        pytest.param({"spaces": ()}, "one space", id="no space"),
        pytest.param({"spaces": (a_space(), a_space())}, r"\['map', 'map'\]", id="two spaces of one map"),
        pytest.param({"defect_threshold": -1.0}, r"\(-1.0, 4.0\)", id="below 0"),
        pytest.param({"unclassified_threshold": -0.1}, r"\(3.0, -0.1\)", id="unclassified below 0"),
        pytest.param({"unclassified_threshold": float("inf")}, "inf", id="not finite"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(changes: dict[str, Any], text: str) -> None:
    """An invalid reference cannot be made: what is wrong is named."""
    parts: dict[str, Any] = {"sha256": HASH, "spaces": (a_space(),), "defect_threshold": 3.0,
                             "unclassified_threshold": 4.0, **changes}  # fmt: skip
    with pytest.raises(ValueError, match=text):
        SiteReference(**parts)


@pytest.mark.parametrize(
    ("maps", "text"),
    [
        pytest.param({}, "needs the map 'map', there are: ", id="no map"),
        pytest.param({"map": np.zeros((1, 8, 8, 3), np.int8)}, r"map: a map \(N, h, w, 2\) .*3\)", id="another depth"),
    ],
)
def test_maps_of_another_bundle_are_refused(maps: dict[str, Any], text: str) -> None:
    """A map that is missing or of another depth is an error that names it, never a wrong distance."""
    with pytest.raises(ValueError, match=text):
        a_reference().distance(maps)


def test_maps_belong_to_the_tiles() -> None:
    """Predictions with maps of another number of tiles cannot be made."""
    with pytest.raises(ValueError, match=r"map must be \(2, h, w, D\): \(1, 8, 8, 2\)"):
        Predictions(np.zeros((2, 4)), maps={"map": np.zeros((1, 8, 8, 2), np.int8)})


def test_workers_put_the_maps_back_in_order() -> None:
    """The maps of a frame whose tiles several workers shared are those of its tiles, in order."""

    def classify(tiles: Any) -> Predictions:
        firsts = np.array([tile[0, 0] for tile in tiles], np.int8)
        return Predictions(np.zeros((len(tiles), 4)), maps={"map": firsts[:, None, None, None]})

    pool = WorkerPool([classify, classify, classify])
    try:
        maps = pool([np.full((4, 4), number, np.uint8) for number in range(7)]).maps
    finally:
        pool.close()

    assert maps["map"][:, 0, 0, 0].tolist() == list(range(7))
