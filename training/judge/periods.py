"""What finding marks of rolls gives: false periods among random defects, and repeats until a roll is found.

No picture is drawn: marks are what `inspector.track` hands to `inspector.strip.periodic`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inspector.strip.periodic import Mark, PeriodicRules, PeriodicState, Roll, pitch_of, take_mark
from training.files import write_json

WIDTH_MM = 1500.0
COIL_M = 1000.0
RULES = PeriodicRules()
ROLLS = tuple(
    Roll(f"F{stand}", side, None, pitch_of(diameter_mm, elongation))
    for stand, (diameter_mm, elongation) in enumerate(((760, 3.4), (740, 2.2), (720, 1.5), (690, 1.2), (650, 1.0)), 1)
    for side in ("top", "bottom")
)
"""A finishing mill of five stands."""
JITTER_MM = 4.0
"""Standard deviation of where the middle of a mark is seen, along and across."""


def random_marks(rng: np.random.Generator, per_m: float, metres: float, labels: int) -> Iterator[Mark]:
    """Yield defects of a strip in their order, each anywhere and of any label."""
    places = np.sort(rng.uniform(0, metres * 1000, rng.poisson(per_m * metres)))
    for number, along_mm in enumerate(places):
        label = str(rng.integers(labels))
        yield Mark(label, float(along_mm), float(rng.uniform(0, WIDTH_MM)), str(number))


def false_periods(seed: int, per_m: float, km: float, labels: int, rolls: tuple[Roll, ...]) -> dict[str, Any]:
    """Count findings where there is chance alone, in coils of a kilometre."""
    rng, state, found = np.random.default_rng(seed), PeriodicState(), 0
    begun_s, marks = time.process_time(), 0
    for _ in range(round(km * 1000 / COIL_M)):
        for mark in random_marks(rng, per_m, COIL_M, labels):
            marks += 1
            state, finding = take_mark(state, mark, RULES, rolls)
            found += finding is not None and finding.finding_id == mark.defect_id
        state = state.at_head(COIL_M * 1000)
    spent_s = time.process_time() - begun_s
    return {
        "defects_per_m": per_m, "km": km, "labels": labels, "rolls": len(rolls), "defects": marks,
        "false_periods": found, "ms_a_defect": round(1000 * spent_s / marks, 3),
    }  # fmt: skip


def repeats_needed(seed: int, per_m: float, trials: int) -> dict[str, Any]:
    """Measure after how many repeats a roll of a random pitch is found in clutter, and how right its pitch is."""
    rng, repeats = np.random.default_rng(seed), list[int]()
    at_first, at_last = list[float](), list[float]()
    for _ in range(trials):
        pitch_mm = float(np.exp(rng.uniform(np.log(200), np.log(6000))))
        across_mm = rng.uniform(50, WIDTH_MM - 50)
        clutter = list(random_marks(rng, per_m, 60 + 12 * pitch_mm / 1000, 6))
        row = [
            Mark("2", 60_000 + n * pitch_mm + rng.normal(0, JITTER_MM), across_mm + rng.normal(0, JITTER_MM), f"r{n}")
            for n in range(12)
        ]
        state, errors, needed = PeriodicState(), list[float](), 99
        for mark in sorted((*clutter, *row), key=lambda one: one.along_mm):
            state, finding = take_mark(state, mark, RULES)
            if finding is not None and mark.defect_id.startswith("r"):
                needed = min(needed, int(mark.defect_id[1:]))
                errors.append(abs(finding.pitch_mm / pitch_mm - 1))
        repeats.append(needed)
        at_first += errors[:1]
        at_last += errors[-1:]
    return {
        "defects_per_m": per_m, "trials": trials, "median": float(np.median(repeats)), "worst": max(repeats),
        "found_after_4_repeats": sum(one <= 4 for one in repeats),
        "median_pitch_error_percent": round(100 * float(np.median(at_first)), 2),
        "worst_pitch_error_percent": round(100 * max(at_first), 2),
        "worst_pitch_error_after_12_percent": round(100 * max(at_last), 2),
    }  # fmt: skip


def measure_periods(seed: int, km: float, trials: int, place: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both and write them; a row is written as soon as it is there."""
    found: dict[str, Any] = {"seed": seed, "width_mm": WIDTH_MM, "chance": [], "rolls": []}
    rows: tuple[tuple[float, float, int, tuple[Roll, ...]], ...] = (
        (0.2, km, 6, ()), (1.0, km, 6, ()), (1.0, km, 6, ROLLS), (1.0, km, 1, ()), (5.0, km / 5, 6, ()),
    )  # fmt: skip
    for per_m, length_km, labels, rolls in rows:
        found["chance"].append(false_periods(seed, per_m, length_km, labels, rolls))
        say(str(found["chance"][-1]))
        write_json(place, found)
    for per_m in (0.05, 0.2, 1.0, 5.0):
        found["rolls"].append(repeats_needed(seed, per_m, trials))
        say(str(found["rolls"][-1]))
        write_json(place, found)
    return found
