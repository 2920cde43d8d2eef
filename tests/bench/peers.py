"""Tiles a second beside what people would use otherwise: one command, the same tiles, the same run.

    python -m tests.bench.peers [--seconds 30] [--output FILE]

Rows whose program is not installed say so. Each is measured in turns with the bare interpreter, on one thread where it
lets itself be told so; the ratio counts, the median of the rounds. All score tiles of 200 x 200 px of the same frame:

- `bare`: our interpreter, inputs prepared: set, invoke, read.
- `inspector`: `inspect_frame` with one interpreter: cutting, quality, second looks, verdicts, merging.
- `script`: what most people write: OpenCV, Keras `predict` a tile, a message by paho. MobileNetV2 of the same width and
  input, float, random weights, for speed does not depend on them.
- `script, batched`: the same with one `predict` a frame.
- `supervision`: its `InferenceSlicer` over our interpreter.
- `openvino`: our int8 file, read by OpenVINO, one stream, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from inspector.bench.inspecting import bench_frames
from inspector.bench.peers import broker
from inspector.frame import Frame
from inspector.inspection.one_frame import inspect_frame
from inspector.inspection.preprocess import cut_inputs, to_input
from inspector.inspection.tiling import cut_tiles, plan_tiles
from inspector.model.bundle import Bundle, find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.settings.sections import Decision, Tiling
from inspector.station.wiring import inspect_rules

ROUNDS = 5
WIDTH = 0.35
"""Of neu-fast's MobileNetV2."""
Row = Callable[[], object]


def ours(bundle: Bundle, frame: Frame) -> tuple[Row, Row]:
    """Return the bare interpreter, and the whole of `inspect_frame`, over a frame."""
    rules, classifier = inspect_rules(Tiling(), Decision(), bundle), Classifier(bundle)
    boxes = plan_tiles(frame.height_px, frame.width_px, rules.tiling, frame.independent)
    side = bundle.card.input_px
    prepared = [np.ascontiguousarray(to_input(tile, side)) for tile in cut_inputs(frame.pixels, boxes, side)]
    return lambda: classifier.invoke_only(prepared), lambda: inspect_frame(frame, classifier, rules)


def script(bundle: Bundle, frame: Frame, port: int, *, batched: bool) -> Row:
    """Return what most people write.

    Raises:
        ImportError: Keras is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    side, labels = bundle.card.input_px, bundle.card.labels
    network = keras.applications.MobileNetV2(
        input_shape=(side, side, 3), alpha=WIDTH, weights=None, classes=len(labels)
    )
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    boxes = plan_tiles(frame.height_px, frame.width_px, inspect_rules(Tiling(), Decision(), bundle).tiling, True)

    def prepare(tile: Any) -> Any:
        colour = cv2.cvtColor(cv2.resize(tile, (side, side)), cv2.COLOR_GRAY2RGB)
        return keras.applications.mobilenet_v2.preprocess_input(colour.astype(np.float32))

    def say(scores: Any) -> None:
        best = int(np.argmax(scores))
        client.publish("defects", json.dumps({"label": labels[best], "score": float(scores[best])}))

    def one_by_one() -> None:
        for tile in cut_tiles(frame.pixels, boxes):
            say(network.predict(prepare(tile)[None], verbose=0)[0])

    def at_once() -> None:
        for scores in network.predict(np.stack([prepare(tile) for tile in cut_tiles(frame.pixels, boxes)]), verbose=0):
            say(scores)

    return at_once if batched else one_by_one


def slicer(bundle: Bundle, frame: Frame) -> Row:
    """Return supervision's slicer over our interpreter.

    Raises:
        ImportError: It is not installed.
    """
    import supervision

    classifier, labels = Classifier(bundle), bundle.card.labels
    picture = cv2.cvtColor(frame.pixels, cv2.COLOR_GRAY2BGR)
    side = bundle.card.tile_px

    def look(tile: Any) -> Any:
        logits = classifier([np.ascontiguousarray(tile)]).logits[0]
        best = int(np.argmax(logits))
        if labels[best] == "clean":
            return supervision.Detections.empty()
        box = np.array([[0, 0, tile.shape[1], tile.shape[0]]], np.float32)
        return supervision.Detections(xyxy=box, confidence=np.array([0.9]), class_id=np.array([best]))

    inside = supervision.InferenceSlicer(look, slice_wh=(side, side), overlap_wh=(0, 0), thread_workers=1)
    return lambda: inside(picture)


def openvino(bundle: Bundle, frame: Frame) -> Row:
    """Return OpenVINO over our int8 file, inputs prepared.

    Raises:
        ImportError: It is not installed.
    """
    import openvino as ov

    core = ov.Core()
    options = {"INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "1"}
    request = core.compile_model(core.read_model(str(bundle.model_path())), "CPU", options).create_infer_request()
    side = bundle.card.input_px
    boxes = plan_tiles(frame.height_px, frame.width_px, inspect_rules(Tiling(), Decision(), bundle).tiling, True)
    inputs = [to_input(tile, side).reshape(1, side, side, 1) for tile in cut_tiles(frame.pixels, boxes)]

    def score() -> None:
        for tile in inputs:
            request.infer([tile])

    return score


def measure(seconds: float) -> dict[str, Any]:
    """Return the rows: tiles a second, and how many times as many `inspector` scores."""
    bundle = load_bundle(find_bundle("neu-fast"))
    frame, _ = bench_frames(bundle, Classifier(bundle))
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as (port, _):
        bare, whole = ours(bundle, frame)
        rows: dict[str, Row] = {"bare": bare, "inspector": whole}
        missing = {}
        others: dict[str, Callable[[], Row]] = {
            "script": lambda: script(bundle, frame, port, batched=False),
            "script, batched": lambda: script(bundle, frame, port, batched=True),
            "supervision": lambda: slicer(bundle, frame),
            "openvino": lambda: openvino(bundle, frame),
        }
        for name, make in others.items():
            try:
                rows[name] = make()
            except ImportError as exc:
                missing[name] = str(exc)
        rates = _in_turns(rows, seconds)
    return {
        "schema": "inspector/bench-peers/1",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": bundle.short,
        "tiles_per_frame": _TILES,
        "rows": {
            name: {
                "tiles_per_s": round(float(np.median(rate)), 1),
                "inspector_is_faster": round(float(np.median(np.array(rates["inspector"]) / np.array(rate))), 2),
            }
            for name, rate in rates.items()
        },
        "not_installed": missing,
    }


_TILES = 40


def _in_turns(rows: dict[str, Row], seconds: float) -> dict[str, list[float]]:
    """Return the rates of each row by round."""
    share = seconds / (ROUNDS * len(rows))
    rates: dict[str, list[float]] = {name: [] for name in rows}
    for row in rows.values():
        row()
    for number in range(ROUNDS):
        sys.stderr.write(f"round {number + 1} of {ROUNDS}\n")
        for name, row in rows.items():
            begun_s, done = time.perf_counter(), 0
            while time.perf_counter() - begun_s < share or not done:
                row()
                done += _TILES
            rates[name].append(done / (time.perf_counter() - begun_s))
    return rates


def main() -> int:
    """Measure, and print a table or write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    result = measure(options.seconds)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", "utf-8")
    for name, row in result["rows"].items():
        sys.stdout.write(f"{name:20}{row['tiles_per_s']:>10} tiles/s   inspector: {row['inspector_is_faster']} times\n")
    for name, why in result["not_installed"].items():
        sys.stdout.write(f"{name:20}not installed: {why}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
