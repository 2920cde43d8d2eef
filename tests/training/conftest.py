"""A small generated data set in NEU-DET's layout, and the warnings of foreign packages that are not ours to mend."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from inspector.drawn import golden
from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile

if TYPE_CHECKING:
    from small_run import Trained

HERE = Path(__file__).parent
THERE = all(find_spec(name) for name in ("tensorflow", "sklearn", "matplotlib"))
collect_ignore_glob = [] if THERE else ["*test_*.py"]

FOREIGN_WARNINGS = (
    # TensorFlow's converter calls its own interpreter, which it announces to move to LiteRT.
    r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning",
    # protobuf, absl and the converter's bindings, seen with TensorFlow 2.21 on Python 3.11 to 3.13.
    "ignore:.*Swig.*:DeprecationWarning",
    "ignore:.*google._upb.*:DeprecationWarning",
    "ignore:.*ml_dtypes.*:DeprecationWarning",
    # Keras 3.15 converts arrays by a NumPy call that NumPy 2.x deprecates.
    "ignore:.*__array__.*copy.*:DeprecationWarning",
    "ignore:.*np.object.*:FutureWarning",
    # gast and astunparse, inside AutoGraph.
    "ignore:.*ast\\..*:DeprecationWarning",
    # Said of each pipeline of tf.data, which is a graph all the same.
    "ignore:Even though the .tf.config.experimental_run_functions_eagerly.*:UserWarning",
)
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


ANNOTATION = """<annotation><filename>{name}.jpg</filename>
<size><width>{side}</width><height>{side}</height><depth>1</depth></size>
<object><name>{label}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>
</object></annotation>
"""


def write_neu_layout(root: Path, *, per_label: int, held: int, side: int = 200) -> Path:
    """Write `per_label` generated pictures a label, the last `held` of them as validation, and return `root`."""
    for place, label in enumerate(KINDS):
        for number in range(1, per_label + 1):
            split = "validation" if number > per_label - held else "train"
            pictures, notes = root / split / "images" / label, root / split / "annotations"
            pictures.mkdir(parents=True, exist_ok=True)
            notes.mkdir(parents=True, exist_ok=True)
            name = f"{label}_{number}"
            cv2.imwrite(str(pictures / f"{name}.jpg"), draw_tile(label, 10_000 * place + number, side))
            box = {"x": 60, "y": 60, "right": side - 10, "bottom": side - 10}
            (notes / f"{name}.xml").write_text(ANNOTATION.format(name=name, side=side, label=label, **box))
    return root


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
