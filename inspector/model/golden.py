"""The proof of a bundle on this machine: its golden tiles must score, and be decided, as when it was written."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.errors import BundleError
from inspector.inspection.preprocess import to_input
from inspector.model.classifier import Classifier
from inspector.model.golden_tiles import GoldenDecision, decide_tiles, first_difference, hash_rows
from inspector.model.rules import decision_rules

MAX_LOGIT_STEPS = 8
"""Golden logits may differ by this many int8 steps on kernels other than XNNPACK on x86 (measured: at most 5)."""
MAX_SCORE_SHIFT = 0.15
"""As far may the score of a golden tile differ there: what that many steps change near 0.5."""
MIN_BOX_SHARE = 0.5
"""This share of the area that either box covers must lie in both there."""

_SAME_MACHINES = {"x86_64": "x86_64", "AMD64": "x86_64"}


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """How this machine scores the golden tiles: `exact`, or within `MAX_LOGIT_STEPS` with equal decisions."""

    agreement: Literal["exact", "tolerated"]
    max_steps: int
    tiles: int


def kernels_of(runtime: str) -> str:
    """Return what computes here, as `ai_edge_litert x86_64`: LiteRT's kernels give the same bits on every x86-64."""
    machine = platform.machine()
    return f"{runtime} {_SAME_MACHINES.get(machine, machine)}"


def check_golden(classifier: Classifier) -> GoldenResult:
    """Score and decide the bundle's golden tiles and compare.

    With LiteRT on x86-64 every output and every decision is the same, bit for bit; elsewhere logits may be
    `MAX_LOGIT_STEPS` off, and what is decided must be the same.

    Raises:
        BundleError: Preprocessing gives other bytes, an output is further off, or a decision differs.
    """
    bundle = classifier.bundle
    golden, path = bundle.golden, bundle.root / bundle.card.golden
    for number, (tile, expected) in enumerate(zip(golden.tiles, golden.input_sha256, strict=True)):
        actual = hashlib.sha256(to_input(tile, bundle.card.input_px).tobytes()).hexdigest()
        if actual != str(expected):
            raise BundleError(f"{path}: tile {number} is preprocessed to other bytes on this machine: {actual}")
    kernels = kernels_of(classifier.runtime)
    exact = kernels == golden.made_with == "ai_edge_litert x86_64"
    outputs = classifier.raw_outputs(list(golden.tiles))
    logits, most = outputs["logits"], 0 if exact else MAX_LOGIT_STEPS
    steps = _steps(logits, golden.logits)
    worst = int(steps.max())
    if worst > most:
        raise BundleError(f"{path}: golden scores do not hold on this machine, {worst} steps off in tile "
                          f"{int(steps.argmax())} (at most {most} with {kernels})")  # fmt: skip
    if (logits.argmax(axis=1) != golden.logits.argmax(axis=1)).any():
        raise BundleError(f"{path}: golden tiles are decided differently on this machine")
    for role, values in golden.outputs.items():
        if outputs[role].shape != values.shape:
            raise BundleError(f"{path}: output {role} has shape {outputs[role].shape}, golden {values.shape}")
        if exact and (off := _steps(outputs[role], values)).any():
            raise BundleError(f"{path}: golden output {role} does not hold on this machine, {int(off.max())} steps off"
                              f" in tile {int(off.argmax())}")  # fmt: skip
    for role, hashes in golden.output_sha256.items():
        if exact and (other := np.flatnonzero(hash_rows(outputs[role]) != hashes)).size:
            raise BundleError(f"{path}: golden output {role} does not hold on this machine in tile {int(other[0])}")
    _check_decisions(classifier, exact)
    return GoldenResult("exact" if exact or worst == 0 else "tolerated", worst, len(golden.tiles))


def _steps(values: npt.NDArray[np.int8], expected: npt.NDArray[np.int8]) -> npt.NDArray[np.int16]:
    """Return the largest difference of each row, in steps."""
    off = np.abs(values.astype(np.int16) - expected)
    return np.asarray(off.reshape(len(off), -1).max(axis=1), np.int16)


def _check_decisions(classifier: Classifier, exact: bool) -> None:
    bundle = classifier.bundle
    if not bundle.golden.decisions:
        return
    now = decide_tiles(list(bundle.golden.tiles), classifier, decision_rules(bundle, {}, {}, record_floor=1.0))
    for number, (expected, actual) in enumerate(zip(bundle.golden.decisions, now, strict=True)):
        if difference := first_difference(expected, actual if exact else _near(expected, actual)):
            raise BundleError(f"{bundle.root / bundle.card.golden}: golden tile {number} is decided differently:"
                              f" {difference}")  # fmt: skip


def _near(expected: GoldenDecision, actual: GoldenDecision) -> GoldenDecision:
    """Return the decision of other kernels, with what they may change as it was expected where it is near enough."""
    near = abs(actual.score - expected.score) <= MAX_SCORE_SHIFT
    box = expected.box if _shared(expected.box, actual.box) >= MIN_BOX_SHARE else actual.box
    return GoldenDecision(
        label=actual.label,
        score=expected.score if near else actual.score,
        top=actual.top if actual.label == actual.top else expected.top,
        runner_up=expected.runner_up,
        severity=actual.severity,
        box=box,
        distance=expected.distance if actual.distance is not None else None,
    )


def _shared(one: Box | None, other: Box | None) -> float:
    """Return the share of what two boxes cover that lies in both."""
    if one is None or other is None:
        return 1.0 if one is other else 0.0
    shared = one.shared_px(other)
    return shared / (one.area_px + other.area_px - shared)
