"""The way of a tile as a table: microseconds of each stage, one thread, in turn in one run.

Times are this thread's own (`CLOCK_THREAD_CPUTIME_ID`), lower quartiles of many rounds: what else runs on the machine
lengthens all of them alike, so that the shares hold where the times do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from inspector.bench.inspecting import bench_frames
from inspector.inspection.decision import hear_bundle
from inspector.inspection.merge import merge_pieces
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.pieces import find_pieces
from inspector.inspection.predictions import Predictions
from inspector.inspection.preprocess import cut_inputs, to_grey, to_input
from inspector.inspection.quality import judge_quality
from inspector.inspection.second_look import find_doubtful
from inspector.inspection.tiling import plan_tiles
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the way.

    Attributes:
        stage: What is done.
        us_per_tile: Microseconds of this thread.
        of_bare: Share of what the bare interpreter takes: set the input, invoke, read the logits.
    """

    stage: str
    us_per_tile: float
    of_bare: float

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return asdict(self)


def time_stages(bundle: Bundle, rules: InspectRules, seconds: float) -> list[Stage]:
    """Return the stages of a clean frame, then whole frames: clean, and one that is all defects.

    Args:
        bundle: A proven bundle.
        rules: As the daemon would use them.
        seconds: Time in all.
    """
    classifier = Classifier(bundle, maps=rules.decision.box_from == "cam")
    frame, worst = bench_frames(bundle, classifier)
    decision, side = rules.decision, bundle.card.input_px
    grey = to_grey(frame.pixels)
    boxes = plan_tiles(frame.height_px, frame.width_px, rules.tiling, frame.independent)
    tiles = cut_inputs(grey, boxes, side)
    prepared = [np.ascontiguousarray(to_input(tile, side)) for tile in tiles]
    predictions = classifier(tiles)
    verdicts = hear_bundle(predictions, decision)
    features, far = predictions.features, decision.distance
    network, roles = classifier.network, classifier.decisive

    def invoke() -> None:
        for tensor in prepared:
            network.invoke(tensor)

    def read() -> None:
        for _ in prepared:
            for name in roles.values():
                network.read(name)

    alone = Predictions(predictions.logits)
    ways: dict[str, Callable[[], object]] = {
        "bare": lambda: classifier.invoke_only(prepared),
        "judge the picture": lambda: judge_quality(grey, rules.quality),
        "cut and resize": lambda: [to_input(tile, side) for tile in cut_inputs(grey, boxes, side)],
        "set and invoke": invoke,
        "read outputs": read,
        "score (all four)": lambda: classifier(cut_inputs(grey, boxes, side)),
        "decide": lambda: hear_bundle(alone, decision),
        "distance": lambda: far(features) if far is not None and features is not None else None,
        "look for doubt": lambda: find_doubtful(predictions.logits, decision.labels, decision.temperature),
        "pieces and merge": lambda: merge_pieces(find_pieces(boxes, verdicts, decision, predictions.cam), decision),
        "clean frame": lambda: inspect_frame(frame, classifier, rules),
        "frame of defects": lambda: inspect_frame(worst, classifier, rules),
    }
    spent = _in_turn(ways, seconds)
    bare = spent["bare"]
    return [Stage(name, round(value / len(boxes), 2), round(value / bare, 4)) for name, value in spent.items()]


def _in_turn(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the lower quartile of each way's thread time, microseconds."""
    times: dict[str, list[int]] = {name: [] for name in ways}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or not all(times.values()):
        for name, way in ways.items():
            begun = time.thread_time_ns()
            way()
            times[name].append(time.thread_time_ns() - begun)
    return {name: float(np.quantile(values, 0.25)) / 1e3 for name, values in times.items()}
