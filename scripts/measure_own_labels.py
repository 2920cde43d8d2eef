"""Measure labels that a site teaches itself, on classes of two foreign mills that the shipped network never saw.

    python scripts/measure_own_labels.py DATA > training/results/own-labels.json

DATA holds `x-sdd`, `cr7-det` and `neu-det`. For each class a label is fitted from 8 and from 20 pictures, against 60
clear tiles of the cold strip, and asked about the class's other pictures, other classes, other clear tiles, and NEU's
own defects. Groups of CR7 stay whole; X-SDD names none, so pictures that share surface may stand on both sides there.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspector.frame import Pixels
from inspector.inspection.decision import hear_bundle
from inspector.inspection.own_labels import embed
from inspector.inspection.predictions import Classify
from inspector.inspection.preprocess import resize_tile
from inspector.model.bundle import DEFAULT_BUNDLE, find_bundle, load_bundle
from inspector.model.classifier import Classifier
from inspector.model.rules import decision_rules
from inspector.teach.own_labels import LabelPixels, fit_label, wilson

CR7 = ("inclusions", "dents", "oil spots", "pits", "punching", "linear", "macular")
EACH, ROUNDS, PX = 50, 3, 200


def grey(path: Path) -> Pixels:
    """Return a picture, (H, W) uint8."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def read_x_sdd(folder: Path, random: np.random.Generator) -> dict[str, list[Pixels]]:
    """Return up to `EACH` pictures of each class."""
    classes = {}
    for place in sorted(path for path in (folder / "images").iterdir() if path.is_dir()):
        files = sorted(place.iterdir())
        classes[place.name] = [grey(files[n]) for n in random.permutation(len(files))[:EACH]]
    return classes


def read_cr7(folder: Path, random: np.random.Generator) -> tuple[dict[str, list[Pixels]], list[Pixels]]:
    """Return one 128 px tile around a marked place of up to `EACH` groups of each class, and clear tiles of others."""
    marked: dict[int, dict[str, tuple[str, float]]] = defaultdict(dict)
    clear: dict[str, Pixels] = {}
    for row in csv.DictReader((folder / "groups.csv").open(encoding="utf-8")):
        name, group = row["image"].split(".")[0], row["group"]
        boxes = [[float(word) for word in line.split()] for line in (folder / f"labels/{name}.txt").open()]
        for number, x, y, *_ in boxes:
            if 10 < y * 400 - 136 < 118:
                marked[int(number)].setdefault(group, (name, x * 400))
        if group not in clear and len(clear) < 400:
            band = grey(folder / f"images/{name}.jpg")[136:264]
            for left in (0, 136, 272):
                part = band[:, left : left + 128]
                if (
                    all(abs(x * 400 - left - 64) >= 64 + w * 200 for _, x, _, w, _ in boxes)
                    and (part < 8).mean() < 0.005
                ):
                    clear[group] = part
                    break
    classes: dict[str, list[Pixels]] = {}
    for number, places in sorted(marked.items()):
        groups = sorted(places)
        for n in random.permutation(len(groups))[:EACH]:
            name, x = places[groups[n]]
            left = int(min(max(x - 64, 0), 272))
            band = grey(folder / f"images/{name}.jpg")[136:264]
            classes.setdefault(CR7[number], []).append(band[:, left : left + 128])
    return classes, list(clear.values())


def share(counts: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return a share with its bounds; rounds repeat pictures, so the bounds count one round's."""
    count, of = (sum(each[n] for each in counts) for n in (0, 1))
    low, high = wilson(round(count / ROUNDS), max(1, round(of / ROUNDS)))
    return {"share": round(count / max(1, of), 4), "wilson95": [round(low, 4), round(high, 4)], "of": of}


def measure(classes: Mapping[str, Sequence[Pixels]], clear: Sequence[Pixels], neu: Any, shown: int,
            classify: Classify, random: np.random.Generator) -> dict[str, Any]:  # fmt: skip
    """Return the shares of one domain with `shown` pictures a label, one label at a time."""
    tally: dict[str, list[tuple[int, int]]] = defaultdict(list)
    rows = {name: embed(classify(pictures)) for name, pictures in classes.items()}
    clear_rows = embed(classify(clear))
    usable = [name for name, pictures in classes.items() if len(pictures) >= shown + 5]
    for _ in range(ROUNDS):
        order = random.permutation(len(clear))
        kept, held = order[:60], order[60:]
        for name in usable:
            mixed = random.permutation(len(classes[name]))
            tiles = np.stack([resize_tile(classes[name][n], PX) for n in mixed[:shown]])
            clean = np.stack([resize_tile(clear[n], PX) for n in kept])
            label = fit_label(LabelPixels(name, tiles, clean), classify).label
            near = label.similarity(rows[name][mixed[shown:]])
            tally["own, of what nothing names"].append((int((near >= label.threshold).sum()), len(near)))
            tally["own, surely"].append((int((near >= label.sure).sum()), len(near)))
            others = np.concatenate([rows[other] for other in classes if other != name])
            tally["of other classes, of what nothing names"].append(
                (int((label.similarity(others) >= label.threshold).sum()), len(others))
            )
            tally["of other classes, surely"].append((int((label.similarity(others) >= label.sure).sum()), len(others)))
            tally["clear tiles"].append((int((label.similarity(clear_rows[held]) >= label.threshold).sum()), len(held)))
            tally["NEU defects renamed, surely"].append((int((label.similarity(neu) >= label.sure).sum()), len(neu)))
    return {name: share(counts) for name, counts in tally.items()}


def main(data: Path) -> None:
    """Print the figures as JSON."""
    bundle = load_bundle(find_bundle(DEFAULT_BUNDLE))
    classify, random = Classifier(bundle, places=True), np.random.default_rng(0)
    rules = replace(decision_rules(bundle, {}, {}, 0.2), looks=1)
    files = sorted((data / "neu-det").rglob("*.jpg"))
    predictions = classify([grey(files[n]) for n in random.permutation(len(files))[:300]])
    known = [n for n, verdict in enumerate(hear_bundle(predictions, rules)) if verdict.is_defect]
    cr7, clear = read_cr7(data / "cr7-det", random)
    domains = {"x-sdd": read_x_sdd(data / "x-sdd", random), "cr7": cr7}
    results = {
        f"{domain}, {shown} pictures": measure(classes, clear[:200], embed(predictions)[known], shown, classify, random)
        for domain, classes in domains.items()
        for shown in (8, 20)
    }
    given = {"command": "python scripts/measure_own_labels.py DATA", "bundle": bundle.short, "seed": 0}
    sys.stdout.write(json.dumps({**given, "rounds": ROUNDS, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
