"""`inspector bench`: the yardstick stays what it is, and each stage of a tile's way is measured."""

from __future__ import annotations

import hashlib
import inspect

import pytest

from inspector.bench import inspecting
from inspector.bench.stages import time_stages
from inspector.inspection.one_frame import inspect_frame
from inspector.model.bundle import find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.interpreter import Int8Network
from inspector.settings.sections import Decision, Tiling
from inspector.station.wiring import inspect_rules

YARDSTICK = "dc4c3d765986ef8b839530b2eb63d660a4e4bb2c7833e113db4a56630e668ddb"


def test_the_bare_interpreter_is_the_one_that_every_ratio_was_taken_against() -> None:
    """Set the input, invoke, read the logits: a change of this makes all published ratios worthless."""
    parts = (inspecting._Bare.__call__, Classifier.invoke_only, Int8Network.invoke, Int8Network.read)
    source = "".join(inspect.getsource(part) for part in parts)

    assert hashlib.sha256(source.encode()).hexdigest() == YARDSTICK


@pytest.mark.parametrize("name", ["neu-fast"])
def test_the_bench_measures_what_it_says(name: str) -> None:
    """Tiles of the clean frame are scored once, nearly all of the other again; no stage exceeds what it is part of."""
    bundle = load_bundle(find_bundle(name))
    rules = inspect_rules(Tiling(), Decision(), bundle)
    clean, worst = inspecting.bench_frames(bundle, Classifier(bundle))
    scored: list[int] = []
    classifier = Classifier(bundle)

    def classify(tiles):  # type: ignore[no-untyped-def]
        scored.append(len(tiles))
        return classifier(tiles)

    inspect_frame(clean, classify, rules)
    once, scored[:] = list(scored), []
    inspect_frame(worst, classify, rules)
    stages = {row.stage: row.us_per_tile for row in time_stages(bundle, rules, 0.1)}

    tiles = inspecting.GRID[0] * inspecting.GRID[1]
    assert once == [tiles]
    assert scored[0] == tiles
    assert scored[1] > 2.5 * tiles  # its mirror images, but for tiles that are like nothing known
    assert stages["cut and resize"] + stages["set and invoke"] < stages["clean frame"] < stages["frame of defects"]
