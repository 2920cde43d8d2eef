"""A bundle that knows its labels as a rough line shows them, and the figures in its card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from spoilt_bundles import copy_bundle

import training
from inspector.model.bundle import SHIPPED, load_bundle
from training.bundle.bundle import card_figures
from training.bundle.figures import put_figures
from training.bundle.rough import know_rough_pictures
from training.errors import DataError
from training.int8.unknown import MAX_PLACES

RESULTS = Path(training.__file__).parent / "results"


@pytest.mark.parametrize("name", ["neu-fast"])
def test_a_shipped_bundle_knows_rough_pictures_and_says_how_well(name: str) -> None:
    """It has as many places as fit, and its card carries the committed figures."""
    loaded = load_bundle(SHIPPED / name)
    assert loaded.distance is not None

    assert 200 < len(loaded.distance.spaces[0].means) <= MAX_PLACES
    row = json.loads((RESULTS / f"evaluate-{name}.json").read_text())
    assert loaded.card.metrics == json.loads(json.dumps(card_figures(row)))
    assert row["bundle"].startswith(f"{name}@{loaded.card.version}+")


def test_a_bundle_that_has_no_room_for_more_is_refused(tmp_path: Path) -> None:
    """Done twice it would forget nothing and know nothing more: it is refused by name."""
    root = copy_bundle(tmp_path / "bundle")
    with pytest.raises(DataError, match=r"bundle knows \d+ places already"):
        know_rough_pictures(str(root), tmp_path, "9.9")


def test_figures_of_another_bundle_are_refused(tmp_path: Path) -> None:
    """The name of the results and of the bundle that they are of."""
    root = copy_bundle(tmp_path / "bundle")
    other = tmp_path / "other.json"
    shutil.copyfile(RESULTS / "evaluate-neu-224.json", other)

    with pytest.raises(DataError, match="figures of another model: neu-224"):
        put_figures(str(root), other)


def test_figures_go_into_the_card_and_nowhere_else(tmp_path: Path) -> None:
    """Another figure is another card; what decides stays as it is."""
    root = copy_bundle(tmp_path / "bundle")
    before = load_bundle(root)
    row = json.loads((RESULTS / "evaluate-neu-fast.json").read_text())
    row["corruption"]["mean"] = 0.5
    (tmp_path / "results.json").write_text(json.dumps(row))
    card = put_figures(str(root), tmp_path / "results.json")

    assert card.metrics["corruption"]["mean"] == 0.5
    assert {**card.model_dump(), **dict.fromkeys(("metrics", "sha256", "files"))} == {
        **before.card.model_dump(), **dict.fromkeys(("metrics", "sha256", "files")),
    }  # fmt: skip
    assert np.array_equal(load_bundle(root).golden.logits, before.golden.logits)
