"""Detection against size and contrast: defects of 4 to 128 px on a strip, matched one to one, chance beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from inspector.inspection.tiling import TilingRules
from inspector.model.bundle import Bundle
from inspector.model.pool import open_model
from inspector.score.plot import Series, draw_detection, save
from inspector.score.reading import hear, truth_of
from inspector.score.report import Given, score
from inspector.settings.sections import Tiling
from inspector.simulate.order import Order
from inspector.simulate.strip import SimulatedStrip
from training.files import write_json
from training.int8.places import measured_sha256
from training.judge.line_station import LineStation, Seen
from training.judge.origin import code_and_date

SIZES_PX = (4, 128)
CONTRASTS = (0.15, 0.35, 0.7)
WIDTH_PX, MM_PER_PX, DEFECTS_PER_M = 600, 0.5, 3.3
SEED = 450_000
PROTOCOL = (
    f"strip of {WIDTH_PX} px at {MM_PER_PX} mm/px with a defect of {SIZES_PX[0]} to {SIZES_PX[1]} px every"
    f" {1000 / DEFECTS_PER_M:.0f} mm, each octave as often as another, at random places: tile edges cut them; lines"
    " through inspect_frame and track at the shipped default, untaught, mode alarm; found: an event's box shares a"
    " pixel, one event for one defect (docs/decisions/0044); by_chance: the same against the truth shifted along"
    " the strip; a90 by a logistic curve over the logarithm of the longer side, 95 % bound by likelihood ratio; drawn:"
    " pieces of the generator's defects at a contrast; neu: boxed defects of NEU's official test pictures, made smaller"
    " (or larger), at their own contrast, faded into the generated ground"
)


def measure_detection(
    bundle: Bundle, data: Path, defects: int, output: Path, plot: Path | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the figures of each series, written to `output` after each; those that are there already are kept.

    Args:
        bundle: Whose.
        data: Folder that holds neu-det.
        defects: In each series.
        output: JSON file; figures of another network, number or protocol in it are replaced.
        plot: Where the plot is drawn; None: nowhere.
        say: Told how far it is.
    """
    identity = {
        "bundle": f"{bundle.card.name}@{bundle.card.version}",
        "model_sha256": measured_sha256(bundle.model_path().read_bytes()),
        "protocol": PROTOCOL,
        "defects": defects,
        "overlap_px": TilingRules(bundle.card.tile_px, Tiling().overlap_px).overlap_of(still=False),
        "command": f"python -m training detection --data DATA --bundle {bundle.card.name} --defects {defects}",
    }
    results: dict[str, Any] = {**identity, "series": {}}
    if output.is_file():
        before = json.loads(output.read_text("utf-8"))
        if all(before.get(key) == value for key, value in identity.items()):
            results = before
    metres = defects / DEFECTS_PER_M
    plain = Order(SEED, metres, WIDTH_PX, MM_PER_PX, DEFECTS_PER_M, SIZES_PX)
    orders = {
        f"drawn, contrast {contrast}": replace(plain, seed=SEED + number, contrast=contrast)
        for number, contrast in enumerate(CONTRASTS)
    }
    neu = data / "neu-det" / "NEU-DET" / "validation"
    orders["neu, scaled"] = replace(plain, seed=SEED + 9, images=neu)
    pool, _ = open_model(bundle, os.cpu_count() or 1, places=True)
    try:
        for name, order in orders.items():
            if name in results["series"]:
                say(f"{name}: measured already, in {output}")
                continue
            seen = Seen()
            bodies = list(LineStation.of(bundle, order).publish(SimulatedStrip(order), pool, seen))
            truth = truth_of(seen.rows, {"lines": order.lines, "mm_per_px": MM_PER_PX})
            report = score(truth, hear(name, bodies, truth), Given(speed_m_s=2.0))
            results["series"][name] = report | {"provenance": code_and_date()}
            write_json(output, results)
            say(f"{name}: {report['recall']['k']} of {report['defects']} found, a90 {report['a90']}")
    finally:
        pool.close()
    if plot is not None:
        drawn = [Series(name, row["by_size_px"], row["a90"]) for name, row in results["series"].items()]
        save(draw_detection(drawn, f"{bundle.card.name}: found by size"), plot)
    return results
