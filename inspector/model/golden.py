"""The proof of a bundle on this machine: its golden tiles must score as its card says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inspector.errors import BundleError
from inspector.inspection.preprocess import to_input
from inspector.model.classifier import Classifier

MAX_LOGIT_STEPS = 8
"""Golden logits may differ by this many int8 steps on kernels other than XNNPACK on x86 (measured: at most 5)."""


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How this machine scores the golden tiles: `exact`, or within `MAX_LOGIT_STEPS` with equal decisions."""

    agreement: Literal["exact", "tolerated"]
    max_steps: int
    tiles: int


def check_golden(classifier: Classifier) -> GoldenResult:
    """Score the bundle's golden tiles and compare.

    Raises:
        BundleError: Preprocessing gives other bytes, a logit is more than `MAX_LOGIT_STEPS` off, or a decision differs.
    """
    bundle = classifier.bundle
    golden, path = bundle.golden, bundle.root / bundle.card.golden
    for number, (tile, expected) in enumerate(zip(golden.tiles, golden.input_sha256, strict=True)):
        actual = hashlib.sha256(to_input(tile, bundle.card.input_px).tobytes()).hexdigest()
        if actual != str(expected):
            raise BundleError(f"{path}: tile {number} is preprocessed to other bytes on this machine: {actual}")
    logits = classifier.raw_outputs(list(golden.tiles))["logits"].astype(np.int16)
    steps = np.abs(logits - golden.logits)
    worst = int(steps.max())
    if worst > MAX_LOGIT_STEPS:
        raise BundleError(f"{path}: golden scores do not hold on this machine, {worst} steps off in tile "
                          f"{int(steps.max(axis=1).argmax())} (at most {MAX_LOGIT_STEPS})")  # fmt: skip
    if (logits.argmax(axis=1) != golden.logits.argmax(axis=1)).any():
        raise BundleError(f"{path}: golden tiles are decided differently on this machine")
    return GoldenResult("exact" if worst == 0 else "tolerated", worst, len(golden.tiles))
