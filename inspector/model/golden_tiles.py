"""Golden tiles as a bundle carries them: generated tiles, what the network gave for them, and what was decided.

The decisions bind the card: whoever swaps its labels, or changes its temperature, thresholds, tile or rule for
`unknown`, decides these tiles otherwise, whatever hashes are written anew.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.box import Box
from inspector.errors import BundleError
from inspector.frame import Frame, Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.predictions import Classify
from inspector.inspection.quality import QualityRules
from inspector.inspection.tiling import TilingRules
from inspector.labels import UNKNOWN
from inspector.model.arrays import array_names, read_arrays
from inspector.model.card import Card

MIN_TILES = 2
"""Golden tiles of each label at least, `clean` among them, and of `unknown` where the bundle has a rule for it."""
MAX_OUTPUT_BYTES = 4096
"""An output of more bytes a tile is proven by a hash of them: neu-224's places would be half as large as all else."""


@dataclass(frozen=True, slots=True)
class GoldenDecision:
    """What the daemon decides of one golden tile.

    Attributes:
        label: A defect label, `clean` or `unknown`, by name.
        score: Of the leading label, rounded to four decimals.
        top: The leading label.
        runner_up: The next one.
        severity: Of a defect; empty otherwise.
        box: Of a defect, in the tile's pixels; None otherwise.
        distance: From everything known; None without a rule for `unknown`.
    """

    label: str
    score: float
    top: str
    runner_up: str
    severity: str
    box: Box | None
    distance: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Generated tiles with what the model must give and decide for them.

    Attributes:
        tiles: (N, tile_px, tile_px) uint8.
        input_sha256: (N,) text, sha256 of each preprocessed tile's bytes.
        logits: (N, C) int8, as the runtime that made the bundle gave them.
        outputs: The other outputs by role, (N, ...) int8; format 1 has none.
        output_sha256: (N,) text of outputs that are too large to be kept, by role: sha256 of each tile's bytes.
        decisions: N; format 1 has none.
        card_sha256: Of the card under which they were decided (see `Card.golden_sha256`); format 1 has none.
        made_with: Runtime and processor that gave the outputs, as `ai_edge_litert x86_64`.
    """

    tiles: Pixels
    input_sha256: npt.NDArray[np.str_]
    logits: npt.NDArray[np.int8]
    outputs: Mapping[str, npt.NDArray[np.int8]] = field(default_factory=dict)
    decisions: tuple[GoldenDecision, ...] = ()
    card_sha256: str = ""
    made_with: str = "ai_edge_litert x86_64"
    output_sha256: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)


_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_ANYTHING = QualityRules(blank_std=0.0, overexposed_share=1.0, underexposed_share=1.0)
_TEXTS = ("label", "top", "runner_up", "severity")
_DECISIONS: dict[str, type[np.generic]] = {
    "label": np.str_, "top": np.str_, "runner_up": np.str_, "severity": np.str_, "score": np.float64,
    "distance": np.float64, "box_xywh": np.int32,
}  # fmt: skip
_BASE: Mapping[str, type[np.generic]] = {"tiles": np.uint8, "input_sha256": np.str_, "logits": np.int8}
_BOUND: dict[str, type[np.generic]] = {"card_sha256": np.str_, "made_with": np.str_}
_PROOFS: Mapping[str, type[np.generic]] = {"output": np.int8, "sha256": np.str_}


def decide_tiles(tiles: Sequence[Pixels], classify: Classify, rules: DecisionRules) -> list[GoldenDecision]:
    """Return what the daemon decides of each tile, as of a frame that is this tile and no more."""
    return [_decide(tile, classify, rules) for tile in tiles]


def _decide(tile: Pixels, classify: Classify, rules: DecisionRules) -> GoldenDecision:
    frame = Frame(tile, epoch=0, frame_id=0, captured_at=_NO_TIME, captured_mono_s=0.0, identity="golden")
    inspection = inspect_frame(frame, classify, InspectRules(TilingRules(tile.shape[0]), rules, _ANYTHING))
    (verdict,) = inspection.verdicts
    box = inspection.published[0].box if inspection.published else None
    severity = rules.severity[verdict.label] if verdict.is_defect else ""
    return GoldenDecision(verdict.label, verdict.score, verdict.top, verdict.runner_up, severity, box, verdict.distance)


def hash_rows(values: npt.NDArray[np.int8]) -> npt.NDArray[np.str_]:
    """Return the sha256 of each tile's bytes of an output."""
    return np.array([hashlib.sha256(row.tobytes()).hexdigest() for row in values], np.str_)


def write_golden(path: Path, golden: Golden) -> None:
    """Write golden tiles of format 2; of outputs beyond `MAX_OUTPUT_BYTES` a tile only the hashes."""
    rows = golden.decisions
    large = {role for role, values in golden.outputs.items() if values[:1].nbytes > MAX_OUTPUT_BYTES}
    arrays: dict[str, Any] = {
        "tiles": golden.tiles, "input_sha256": golden.input_sha256, "logits": golden.logits,
        **{name: np.array([getattr(row, name) for row in rows], np.str_) for name in _TEXTS},
        "score": np.array([row.score for row in rows]),
        "distance": np.array([np.nan if row.distance is None else row.distance for row in rows]),
        "box_xywh": np.array(
            [(0, 0, 0, 0) if (box := row.box) is None else (box.x, box.y, box.width, box.height) for row in rows],
            np.int32,
        ),
        "card_sha256": np.array(golden.card_sha256), "made_with": np.array(golden.made_with),
        **{f"output_{role}": values for role, values in golden.outputs.items() if role not in large},
        **{f"sha256_{role}": hash_rows(golden.outputs[role]) for role in sorted(large)},
        **{f"sha256_{role}": hashes for role, hashes in golden.output_sha256.items()},
    }  # fmt: skip
    np.savez_compressed(path, **arrays)


def read_golden(path: Path, card: Card) -> Golden:
    """Return the golden tiles of a bundle.

    Raises:
        BundleError: Arrays are missing or do not belong together, they are of another card, or of too few tiles a
            label.
    """
    arrays = read_arrays(path, {**_BASE, **(_DECISIONS | _BOUND if card.format == 2 else {})})
    tiles, hashes, logits = arrays["tiles"], arrays["input_sha256"], arrays["logits"]
    count = len(tiles) if tiles.ndim == 3 else 0
    if count == 0 or logits.shape != (count, len(card.labels)) or hashes.shape != (count,):
        raise BundleError(
            f"{path}: {tiles.shape} tiles, {hashes.shape} hashes and {logits.shape} logits do not belong together"
            f" (labels: {len(card.labels)})"
        )
    if card.format == 1:
        if "card_sha256" in array_names(path):
            raise BundleError(f"{path}: golden tiles of format 2 under a card of format 1")
        return Golden(tiles, hashes, logits)
    proofs = _proofs(path, card)
    arrays |= read_arrays(path, {name: _PROOFS[name.partition("_")[0]] for name in proofs.values()})
    if tiles.shape[1:] != (card.tile_px, card.tile_px):
        raise BundleError(f"{path}: golden tiles of {tiles.shape[1]} px, the card's tile_px is {card.tile_px}")
    for name in (*_DECISIONS, *proofs.values()):
        shape = (count, 4) if name == "box_xywh" else (count,)
        if (arrays[name].shape[:1] if name.startswith("output_") else arrays[name].shape) != shape:
            raise BundleError(f"{path}: {name} has shape {arrays[name].shape} for {count} tiles")
    bound, made_with = str(arrays["card_sha256"]), str(arrays["made_with"])
    if bound != card.golden_sha256:
        raise BundleError(
            f"{path}: the golden tiles were decided under another card; who has edited this one on purpose proves it"
            f" anew with `inspector card {path.parent} --accept`"
        )
    outputs, sums = ({role: arrays[name] for role, name in proofs.items() if name.startswith(kind)} for kind in _PROOFS)
    golden = Golden(tiles, hashes, logits, outputs, _decisions(arrays), bound, made_with, sums)
    _refuse_few(path, golden, card)
    return golden


def _proofs(path: Path, card: Card) -> dict[str, str]:
    """Return by role the array that proves each output but the logits: its values, or hashes of them."""
    names = array_names(path)
    roles = [role for role in sorted(card.main.outputs) if role != "logits"]
    return {role: hashed if (hashed := f"sha256_{role}") in names else f"output_{role}" for role in roles}


def first_difference(expected: GoldenDecision, actual: GoldenDecision) -> str:
    """Return the first fact in which two decisions differ, as `label is 'crazing' instead of 'patches'`, or nothing."""
    for fact in (each.name for each in fields(GoldenDecision)):
        was, now = getattr(expected, fact), getattr(actual, fact)
        if isinstance(was, float) and isinstance(now, float):
            same = abs(was - now) <= 1e-6 * max(1.0, abs(was))
        else:
            same = was == now
        if not same:
            return f"{fact} is {now!r} instead of {was!r}"
    return ""


def _decisions(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[GoldenDecision, ...]:
    rows = []
    for number in range(len(arrays["tiles"])):
        x, y, width, height = (int(value) for value in arrays["box_xywh"][number])
        distance = float(arrays["distance"][number])
        rows.append(
            GoldenDecision(
                score=float(arrays["score"][number]),
                box=Box(x, y, width, height) if width > 0 and height > 0 else None,
                distance=None if np.isnan(distance) else distance,
                **{name: str(arrays[name][number]) for name in _TEXTS},
            )
        )
    return tuple(rows)


def _refuse_few(path: Path, golden: Golden, card: Card) -> None:
    counts = Counter(decision.label for decision in golden.decisions)
    for label in (*card.labels, *((UNKNOWN,) if card.unknown else ())):
        if counts[label] < MIN_TILES and label not in card.golden_unreached:
            raise BundleError(
                f"{path}: {counts[label]} golden tiles are decided {label!r}, at least {MIN_TILES} must be"
            )
