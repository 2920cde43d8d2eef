"""False calls on clean strip, by the 10 km, with the alarm limiter as good as off.

Each row is a ground, untaught or taught. It is inspected in stretches, each another seed; the file is written after
each, and a run that is started again goes on, to any length.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2  # type: ignore[import-untyped]

from inspector.frame import Pixels
from inspector.inspection.predictions import Classify
from inspector.inspection.tiling import TilingRules
from inspector.labels import UNCLASSIFIED
from inspector.model.bundle import Bundle
from inspector.model.pool import open_model
from inspector.settings.sections import Tiling
from inspector.simulate.ground import (
    BLOCK_PX,
    MAX_PICTURES,
    RIM_PX,
    QuiltedGround,
    open_ground,
    quilt_rows,
    read_surfaces,
)
from inspector.simulate.order import Order
from inspector.simulate.strip import SimulatedStrip
from training.files import write_json
from training.int8.places import measured_sha256
from training.judge.intervals import share
from training.judge.line_station import LineStation, Seen, alarm_share, cut
from training.judge.origin import code_and_date
from training.tiles.clean_ground import GROUNDS, CleanPicture, clean_pictures, halves, write_pictures

ROWS = tuple(f"{ground}/{state}" for ground in ("generated", *GROUNDS) for state in ("untaught", "taught"))
WIDTH_PX, MM_PER_PX = 400, 0.5
STRETCH_M = 50.0
"""Of strip that is inspected in one go."""
TEST_SEEDS, LESSON_SEEDS = 430_000, 440_000
LESSON_COILS, LESSON_FIELD_PX = 40, 600
SEAM_TILES, SEAM_SEED = 1000, 43
PROTOCOL = (
    f"clean strip of {WIDTH_PX} px at {MM_PER_PX} mm/px ({WIDTH_PX * MM_PER_PX / 1000} m wide), in stretches of"
    f" {STRETCH_M:g} m, each another seed; lines through inspect_frame and track at the shipped default, mode alarm,"
    " limiter off; calls: alarms; generated: the generator's own surface, taught on other seeds; others: quilted from"
    " stretches without a mark of half of the groups (docs/decisions/0043), taught on fields grown from pictures of the"
    " other half, one coil a picture, aim 0.5 false calls a km; per_10_km with the 95 % Poisson interval (Garwood),"
    " upper_95: one-sided; seams: of tiles, how many alarm untaught"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    bundle: Bundle
    classify: Classify
    data: Path
    folder: Path
    say: Callable[[str], None]


def measure_clean_strip(
    bundle: Bundle, data: Path, rows: Sequence[str], metres: float, output: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the figures of rows of `ROWS`, inspecting until each has so many metres; written after each stretch.

    Args:
        bundle: It must give places.
        data: Folder that holds the data sets.
        rows: Which.
        metres: Of each.
        output: JSON file; figures of another network or protocol in it are replaced.
        say: Told how far it is.
    """
    identity = {
        "bundle": f"{bundle.card.name}@{bundle.card.version}",
        "model_sha256": measured_sha256(bundle.model_path().read_bytes()),
        "protocol": PROTOCOL,
        "overlap_px": TilingRules(bundle.card.tile_px, Tiling().overlap_px).overlap_of(still=False),
        "command": f"python -m training clean-strip --data DATA --bundle {bundle.card.name} --metres METRES",
    }
    results: dict[str, Any] = {**identity, "rows": {}, "seams": {}}
    if output.is_file():
        before = json.loads(output.read_text("utf-8"))
        if all(before.get(key) == value for key, value in identity.items()):
            results = before
    pool, _ = open_model(bundle, os.cpu_count() or 1, places=True)
    work = _Work(bundle, pool, data, output.parent / "clean-strip", say)
    try:
        for ground in dict.fromkeys(name.partition("/")[0] for name in rows):
            _measure_ground(ground, [name for name in rows if name.startswith(f"{ground}/")], metres, output, results,
                            work)  # fmt: skip
    finally:
        pool.close()
    return results


def _measure_ground(
    ground: str, rows: Sequence[str], metres: float, output: Path, results: dict[str, Any], work: _Work
) -> None:
    if all(results["rows"].get(name, {}).get("metres", 0) >= metres for name in rows):
        work.say(f"{ground}: measured already, in {output}")
        return
    folder: Path | None = None
    teaching: list[tuple[Pixels, str]] = []
    if ground == "generated":
        for seed in range(LESSON_SEEDS, LESSON_SEEDS + LESSON_COILS):
            teaching.append((open_ground(_order(seed, None)).take(LESSON_FIELD_PX), str(seed)))
    else:
        quilted, others = halves(clean_pictures(ground, work.data))
        folder = work.folder / ground
        if not folder.is_dir():
            write_pictures(quilted, folder)
        teaching = _lesson_fields(others, work.folder / f"{ground}-lesson")
        if ground not in results["seams"]:
            results["seams"][ground] = _seams(folder, work)
            write_json(output, results)
            work.say(f"{ground}: seams {results['seams'][ground]}")
    for name in rows:
        row = results["rows"].setdefault(name, _empty())
        station = LineStation.of(work.bundle, _order(0, folder))
        if name.endswith("/taught"):
            reference, row["taught_on"] = station.teach(teaching, work.classify, work.bundle)
            station = LineStation.of(work.bundle, _order(0, folder), reference)
        while row["metres"] < metres:
            started = time.monotonic()
            _add_stretch(row, _order(TEST_SEEDS + row["stretches"], folder), station, work.classify)
            row["seconds"] = round(row["seconds"] + time.monotonic() - started, 1)
            row["provenance"] = code_and_date()
            row |= poisson(row["calls"], row["metres"])
            write_json(output, results)
            work.say(f"{name}: {row['metres']:g} m, {row['calls']} calls, {row['unclassified']} unclassified")


def _empty() -> dict[str, Any]:
    return {
        "metres": 0.0, "stretches": 0, "calls": 0, "unclassified": 0, "seconds": 0.0, "calls_by_stretch": [],
        "tiles": {},
    }  # fmt: skip


def _order(seed: int, ground: Path | None) -> Order:
    return Order(seed, STRETCH_M, WIDTH_PX, MM_PER_PX, ground=ground)


def _add_stretch(row: dict[str, Any], order: Order, station: LineStation, classify: Classify) -> None:
    seen, calls, unclassified = Seen(), 0, set()
    for body in station.publish(SimulatedStrip(order), classify, seen):
        calls += body["schema"].startswith("inspector/alarm/") and body["kind"] == "defect"
        if body["schema"].startswith("inspector/defect/") and body["label"] == UNCLASSIFIED:
            unclassified.add(body["defect_id"])
    row["metres"] += order.metres
    row["stretches"] += 1
    row["calls"] += calls
    row["calls_by_stretch"].append(calls)
    row["unclassified"] += len(unclassified)
    for label, count in seen.verdicts.items():
        row["tiles"][label] = row["tiles"].get(label, 0) + count


def poisson(calls: int, metres: float) -> dict[str, Any]:
    """Return calls per 10 km with their 95 % interval, and the one-sided upper bound (Garwood, Biometrika 28, 1936)."""
    in_10_km = metres / 10_000
    low = chi2.ppf(0.025, 2 * calls) / 2 if calls else 0.0
    return {
        "per_10_km": round(calls / in_10_km, 3),
        "low": round(float(low) / in_10_km, 3),
        "high": round(float(chi2.ppf(0.975, 2 * calls + 2)) / 2 / in_10_km, 3),
        "upper_95": round(float(chi2.ppf(0.95, 2 * calls + 2)) / 2 / in_10_km, 3),
    }


def _lesson_fields(pictures: Sequence[CleanPicture], folder: Path) -> list[tuple[Pixels, str]]:
    """Return a field grown from each of some pictures, one of a group."""
    one_each = {picture.group: picture for picture in reversed(pictures)}
    groups = sorted(one_each)
    chosen = np.random.default_rng(LESSON_SEEDS).permutation(len(groups))[: 2 * LESSON_COILS]
    fields = []
    for number in chosen:
        group = groups[int(number)]
        place = folder / f"{number:05d}"
        write_pictures([one_each[group]], place)
        order = Order(LESSON_SEEDS + int(number), 10.0, LESSON_FIELD_PX, MM_PER_PX, ground=place)
        fields.append((QuiltedGround(order, place).take(LESSON_FIELD_PX), group))
    return fields


def _seams(folder: Path, work: _Work) -> dict[str, Any]:
    """Return how many tiles alarm, untaught: of the pictures, of these in even light, and of what is quilted of them.

    Tiles are as large as the pictures are high, at most as the bundle's: the same for all. `quilted` is grown from
    each picture alone, `strip` is the strip that is inspected, with the places where one picture follows another.
    """
    import cv2

    rules = LineStation.of(work.bundle, _order(0, folder)).inspect.decision
    paths = sorted(folder.glob("*.png"))
    raw = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8) for path in paths]
    raw = raw[:: -(-len(raw) // MAX_PICTURES)]  # as `read_surfaces` takes them
    side = min(work.bundle.card.tile_px, min(min(pixels.shape) for pixels in raw))
    surfaces = read_surfaces(folder)
    rng = np.random.default_rng(SEAM_SEED)
    columns = -(-(2 * side - RIM_PX) // (BLOCK_PX - RIM_PX))
    fields = [quilt_rows(surface, -(-side // (BLOCK_PX - RIM_PX)), columns, rng)[:side] for surface in surfaces]
    ground = QuiltedGround(_order(TEST_SEEDS - 1, folder), folder)
    strip = [ground.take(side) for _ in range(3 * SEAM_TILES // (WIDTH_PX // side))]
    found: dict[str, Any] = {"tile_px": side, "pictures": len(raw), "used": len(surfaces)}
    kinds = (("source", raw), ("even_light", [surface.pixels for surface in surfaces]), ("quilted", fields))
    for name, pictures in (*kinds, ("strip", strip)):
        tiles = [tile for pixels in pictures for tile in cut(pixels, side)]
        order = np.random.default_rng(0).permutation(len(tiles))[: 3 * SEAM_TILES if name == "strip" else SEAM_TILES]
        found[name] = share(*alarm_share([tiles[int(i)] for i in order], work.classify, rules))
    return found
