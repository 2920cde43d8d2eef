"""A small generated data set in NEU-DET's layout, and the warnings of foreign packages that are not ours to mend."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from drawn_pictures import write_neu_layout
from foreign_warnings import FOREIGN_WARNINGS

from inspector.drawn import golden

if TYPE_CHECKING:
    from small_run import Trained

HERE = Path(__file__).parent
THERE = all(find_spec(name) for name in ("tensorflow", "sklearn", "matplotlib"))
collect_ignore_glob = [] if THERE else ["*test_*.py"]

NETWORKS = ("bundle", "int8", "judge", "network", "test_own.py")
"""Where networks learn: a few steps each, for which building a graph takes longer than computing without one."""


def pytest_report_header() -> str | None:
    return None if THERE else "training: left out, TensorFlow, scikit-learn or matplotlib is not installed"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.training)
            if item.get_closest_marker("timeout") is None:  # building graphs takes minutes on a busy machine
                item.add_marker(pytest.mark.timeout(900))
            for warning in FOREIGN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@cache
def _compute_without_graphs() -> None:
    import tensorflow

    tensorflow.config.run_functions_eagerly(True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path.relative_to(HERE).parts[0] in NETWORKS:
        _compute_without_graphs()


@pytest.fixture(scope="session", autouse=True)
def _golden_tiles_are_drawn_once() -> Iterator[None]:
    """Each bundle is proven by the same drawn tiles, of which a process draws each once; they are never written to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_tile", "draw_cut_tile"):
            patch.setattr(golden, name, cache(getattr(golden, name)))
        yield


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labels of ten generated pictures, eight for training."""
    return write_neu_layout(tmp_path_factory.mktemp("data"), per_label=18, held=4)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone's weights, random; see `small_run.random_weights`."""
    from small_run import random_weights

    return random_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def trained(small_data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run and its bundle; see `small_run.train_small`."""
    from small_run import train_small

    return train_small(small_data, weights, tmp_path_factory.mktemp("runs"))
