"""Why a tile got its label: Grad-CAM of the float network beside the class activation map of the int8 one.

With global average pooling and a linear head, Grad-CAM's weights are the head's kernel, so both maps show the same
thing up to a bias, the rounding to int8 and what `locate` adds (Selvaraju et al., ICCV 2017; Zhou et al., CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from inspector.frame import Pixels
from inspector.model.interpreter import Int8Network
from training.data.dataset import decode
from training.errors import DataError
from training.files import write_picture
from training.network.feed import stacked_input
from training.network.network import FINAL_MAP, float_input
from training.network.train import load_run
from training.recipe import Recipe

_Floats = npt.NDArray[np.float64]
PANEL_PX = 400


def grad_cam(network: Any, recipe: Recipe, tile: Pixels, label_index: int) -> _Floats:
    """Return (h, w): the final map weighted by the mean gradient of the label's logit, not cut at zero."""
    model = keras.Model(network.input, [network.get_layer(FINAL_MAP).output, network.output])
    batch = tf.constant(float_input(stacked_input([tile], recipe.input_px), recipe))
    with tf.GradientTape() as tape:
        final, logits = model(batch, training=False)
        tape.watch(final)
        score = network.get_layer("logits")(network.get_layer("pool")(final))[:, label_index]
    weights = tf.reduce_mean(tape.gradient(score, final), axis=(1, 2), keepdims=True)
    del logits
    return np.asarray(tf.reduce_sum(final * weights, axis=-1)[0], np.float64)


def agreement(first: _Floats, second: _Floats) -> float:
    """Return the correlation of two maps; the second one may be finer: its cells are averaged."""
    if first.shape != second.shape:
        second = np.asarray(cv2.resize(second, first.shape[::-1], interpolation=cv2.INTER_AREA), np.float64)
    a, b = first.ravel() - first.mean(), second.ravel() - second.mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / power) if power else 0.0


def overlay(tile: Pixels, heat: _Floats) -> Pixels:
    """Return (PANEL_PX, PANEL_PX, 3) BGR: the tile with its heat map over it."""
    grey = cv2.resize(tile, (PANEL_PX, PANEL_PX), interpolation=cv2.INTER_LINEAR)
    grown = cv2.resize(heat.astype(np.float32), (PANEL_PX, PANEL_PX), interpolation=cv2.INTER_CUBIC)
    span = max(float(grown.max() - grown.min()), 1e-9)
    level = np.asarray(255 * (grown - grown.min()) / span, np.uint8)
    colour = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), 0.55, colour, 0.45, 0), np.uint8)


def explain_picture(picture: Path, run: Path, output: Path, label: str | None) -> str:
    """Write tile, Grad-CAM and int8 CAM side by side, and return in a line what leads and how well the maps agree.

    Raises:
        DataError: The picture does not decode, or the run does not have the label.
    """
    recipe, labels, network = load_run(run)
    try:
        tile, model = decode(picture.read_bytes(), str(picture)), (run / "model.tflite").read_bytes()
    except OSError as exc:
        raise DataError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc
    outputs = Int8Network(model)([tile])
    leading = labels[int(outputs["logits"][0].argmax())]
    if label is not None and label not in labels:
        raise DataError(f"explain: no label of this run ({', '.join(labels)}): {label}")
    index = labels.index(label or leading)
    floats, ints = grad_cam(network, recipe, tile, index), outputs["cam"][0][:, :, index]
    panels = [overlay(tile, np.zeros((2, 2))), overlay(tile, floats), overlay(tile, ints)]
    write_picture(output, _captioned(panels, (f"{picture.name}: {leading}", f"Grad-CAM {labels[index]}", "int8 CAM")))
    return f"{output}: {leading} leads; maps of {labels[index]} agree by {agreement(floats, ints):.3f}"


def _captioned(panels: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    sheet = np.full((PANEL_PX + 24, PANEL_PX * len(panels), 3), 255, np.uint8)
    for number, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        sheet[24:, number * PANEL_PX : (number + 1) * PANEL_PX] = panel
        place = (number * PANEL_PX + 4, 17)
        cv2.putText(sheet, caption[:48], place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet
