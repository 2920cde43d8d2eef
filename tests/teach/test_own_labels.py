"""Labels from a few pictures: fitted, kept whole on the disk, and refused by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inspector.errors import LessonError, SiteReferenceError
from inspector.frame import Pixels
from inspector.inspection.predictions import Predictions
from inspector.teach.own_labels import (
    Bounded,
    LabelPixels,
    as_pixels,
    check_name,
    fit_label,
    forget_label,
    read_label,
    read_labels,
    require_no_contradiction,
    wilson,
    write_label,
)


def classify(tiles: Sequence[Pixels]) -> Predictions:
    """The first two pixels of a tile are where it lies among all tiles."""
    return Predictions(np.zeros((len(tiles), 3)), np.array([tile[0, :2].astype(float) - 128 for tile in tiles]))


def pictures(count: int, x: int = 228, y: int = 128, spread: int = 9, seed: int = 1) -> list[Pixels]:
    random = np.random.default_rng(seed)
    tiles = random.integers(0, 255, (count, 16, 16)).astype(np.uint8)
    tiles[:, 0, 0], tiles[:, 0, 1] = x, y + random.integers(-spread, spread + 1, count)
    return list(tiles)


def named(tiles: Sequence[Pixels]) -> dict[str, Pixels]:
    return {f"{number}.png": tile for number, tile in enumerate(tiles)}


PIXELS = as_pixels("punched", named(pictures(20)), pictures(40, 128, 228, seed=2), 16)


def test_the_threshold_comes_from_tiles_that_it_is_not_fitted_to() -> None:
    """Each example is judged by the others; clean tiles that are as near raise it; both are counted, with bounds."""
    apart = fit_label(PIXELS, classify)
    mixed = fit_label(LabelPixels("punched", PIXELS.examples, np.stack(pictures(40, 228, 128, 30, 3))), classify)

    assert (apart.found.of, apart.clean) == (20, Bounded(0, 40))
    assert apart.found.count >= 18
    assert mixed.label.threshold >= apart.label.threshold
    assert mixed.clean.count <= 1
    assert mixed.label.threshold <= mixed.label.sure


@pytest.mark.parametrize(
    ("count", "of", "low", "high"), [(20, 20, 0.8389, 1.0), (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (0, 0, 0, 1)]
)
def test_bounds(count: int, of: int, low: float, high: float) -> None:
    """Wilson's, at 95 %: the figures are those of scipy's binomtest."""
    assert wilson(count, of) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("crack", "the bundle has this label already"),
        ("clean", "another meaning"),
        ("unknown", "another meaning"),
        ("unclassified", "another meaning"),
        ("overruled", "another meaning"),
        ("../x", "a label of a-z"),
        ("Hole", "a label of a-z"),
        ("", "a label of a-z"),
        ("a" * 49, "a label of a-z"),
        ("a.b", "a label of a-z"),
    ],
)
def test_names_that_are_refused(name: str, why: str) -> None:
    """A name is a word in topics, metrics and files, and stands for one thing."""
    with pytest.raises(LessonError, match=why):
        check_name(name, ("crack", "clean"))


@pytest.mark.parametrize("count", [0, 4, 51])
def test_too_few_and_too_many_are_refused(count: int) -> None:
    """5 to 50 different pictures: the same one twice counts once."""
    given = named([*pictures(count), *(pictures(count)[:1])])
    with pytest.raises(LessonError, match=rf"5 to 50 different pictures of punched are expected: {count}"):
        as_pixels("punched", given, [], 16)


def test_a_picture_of_two_labels_is_refused_by_name() -> None:
    """One picture cannot be an example of both; the label itself may be taught again with it."""
    shown = {"a/7.png": PIXELS.examples[3]}
    require_no_contradiction("punched", shown, [PIXELS])
    with pytest.raises(LessonError, match=r"a/7\.png: an example of punched already, and now of oiled"):
        require_no_contradiction("oiled", shown, [PIXELS])


def kept(folder: Path) -> Path:
    write_label(folder, PIXELS, fit_label(PIXELS, classify), {"by": "me"})
    return folder / "punched.json"


def test_a_label_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And decides the same, because it is fitted anew from its pixels; taught again, it replaces the first."""
    path = kept(tmp_path)
    again = read_label(path)
    one, two = (fit_label(pixels, classify).label for pixels in (PIXELS, again))
    write_label(tmp_path, as_pixels("punched", named(pictures(7)), [], 16), fit_label(PIXELS, classify), {})

    assert one.short == two.short
    assert read_labels(tmp_path, ())[0][0].examples.shape == (7, 16, 16)
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    """A cut file, another byte or an edited number: refused with the file's name, and other labels stay."""
    path = kept(tmp_path)
    arrays = next(tmp_path.glob("*.npz"))
    good = {file: file.read_bytes() for file in (path, arrays)}
    spoilt = [
        (path, json.dumps({**json.loads(good[path]), "threshold": 0.1}).encode()),
        (path, good[path][:100]),
        (path, b""),
        (arrays, good[arrays][:-9]),
        (arrays, good[arrays][:500] + bytes([good[arrays][500] ^ 1]) + good[arrays][501:]),
    ]
    for file, data in spoilt:
        for each, whole in good.items():
            each.write_bytes(whole)
        file.write_bytes(data)
        with pytest.raises(SiteReferenceError, match=file.name):
            read_label(path)
        assert read_labels(tmp_path, ())[0] == []
        assert file.name in read_labels(tmp_path, ())[1][0]
    arrays.unlink()
    with pytest.raises(SiteReferenceError, match=arrays.name):
        read_label(path)


def test_a_label_that_a_new_bundle_has_itself_is_left_out(tmp_path: Path) -> None:
    """The bundle's own counts then, and the station says so."""
    kept(tmp_path)

    assert read_labels(tmp_path, ("punched",)) == ([], ["the bundle has this label already: punched"])


def test_a_label_is_forgotten_with_its_pixels(tmp_path: Path) -> None:
    """Nothing of it stays; one that is not there is refused, and those that are there are named."""
    kept(tmp_path)
    with pytest.raises(LessonError, match=r"\(punched\): oiled"):
        forget_label(tmp_path, "oiled")
    forget_label(tmp_path, "punched")

    assert list(tmp_path.iterdir()) == []
