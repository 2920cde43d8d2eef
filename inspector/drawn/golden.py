"""Golden tiles: generated tiles for which a network says each of its labels, and some that are like nothing it knows.

Labels that the generator draws are reached at once. For others, as those of a user's own, tiles are changed step by
step until the network says the label: that proves the network as well as a picture would, and is nobody's picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import cv2
import numpy as np

from inspector.drawn.spec import GOLDEN_SEEDS, KINDS
from inspector.drawn.tiles import draw_cut_tile, draw_tile
from inspector.frame import Pixels
from inspector.inspection.decision import DecisionRules
from inspector.inspection.predictions import Classify, Predictions
from inspector.labels import CLEAN, UNKNOWN
from inspector.model.golden_tiles import GoldenDecision, decide_tiles
from inspector.model.seal import ChosenTiles

TILES_PER_LABEL = 3
"""Of `clean`, of each defect label (two whole ones, and the least sure of those that are cut) and of `unknown`."""
DRAWN_AT_MOST = 12
DRAWN_PX = 200
"""Side of drawn tiles, which are resized to the network's: a network may take tiles that no defect can be drawn in."""
STEPS = 60
CHILDREN = 8
"""Changes that are tried for a tile of a label that nothing draws: `STEPS` times so many. The first that is not found
ends the search for its label."""
MARGIN = 0.1
"""Share of a threshold, or of what is left above it, by which golden tiles keep away from it: other kernels differ."""


def choose_golden(classify: Classify, rules: DecisionRules, tile_px: int) -> ChosenTiles:
    """Return `TILES_PER_LABEL` tiles of each label, and of `unknown` where the rules have a distance.

    The same network and rules give the same tiles.
    """
    tiles: list[Pixels] = []
    unreached = []
    pool = [next(_drawn(draw_tile, kind, tile_px)) for kind in (*KINDS, CLEAN)]
    for label in (*rules.labels, *((UNKNOWN,) if rules.distance is not None else ())):
        found = _of_label(label, classify, rules, tile_px)
        if len(found) < TILES_PER_LABEL and label != UNKNOWN:
            found += _sought(label, classify, rules, pool, TILES_PER_LABEL - len(found))
        tiles += found
        if len(found) < TILES_PER_LABEL:
            unreached.append(label)
    return ChosenTiles(tiles or pool, tuple(unreached))


def _of_label(label: str, classify: Classify, rules: DecisionRules, tile_px: int) -> list[Pixels]:
    """Return up to `TILES_PER_LABEL` drawn tiles that are firmly decided `label`."""

    def firm(candidates: Iterator[Pixels]) -> Iterator[tuple[Pixels, GoldenDecision]]:
        for tile in candidates:
            verdict = decide_tiles([tile], classify, rules)[0]
            if _is_firm(verdict, label, rules):
                yield tile, verdict

    if label == UNKNOWN:
        return [tile for tile, _ in islice(firm(_strange(tile_px)), TILES_PER_LABEL)]
    if label == CLEAN:
        return [tile for tile, _ in islice(firm(_drawn(draw_tile, label, tile_px)), TILES_PER_LABEL)]
    if label not in KINDS:
        return []
    cut = list(firm(_drawn(lambda *given: draw_cut_tile(*given)[0], label, tile_px)))
    least = [tile for tile, _ in sorted(cut, key=lambda each: each[1].score)[:1]]
    whole = [tile for tile, _ in islice(firm(_drawn(draw_tile, label, tile_px)), TILES_PER_LABEL - len(least))]
    return [*whole, *least]


def _drawn(draw: Callable[[str, int, int], Pixels], label: str, tile_px: int) -> Iterator[Pixels]:
    for number in range(DRAWN_AT_MOST):
        tile = draw(label, GOLDEN_SEEDS + number, DRAWN_PX)
        yield tile if tile_px == DRAWN_PX else _resized(tile, tile_px)


def _resized(tile: Pixels, tile_px: int) -> Pixels:
    method = cv2.INTER_AREA if tile_px < DRAWN_PX else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(tile, (tile_px, tile_px), interpolation=method), np.uint8)


def _strange(tile_px: int) -> Iterator[Pixels]:
    """Give tiles like no surface: checks, gratings, rings and noise, ever finer."""
    y, x = np.mgrid[:tile_px, :tile_px] / tile_px
    noise = np.random.default_rng(GOLDEN_SEEDS)
    for waves in (4, 8, 16, 32):
        for field in (
            np.sign(np.sin(2 * np.pi * waves * x) * np.sin(2 * np.pi * waves * y)),
            np.sin(2 * np.pi * waves * np.hypot(x - 0.5, y - 0.5)),
            np.sin(2 * np.pi * waves * (x + y)),
            noise.uniform(-1, 1, (tile_px, tile_px)),
        ):
            yield np.asarray(128 + 30 * waves**0.4 * field, np.float64).clip(0, 255).astype(np.uint8)


def _is_firm(verdict: GoldenDecision, label: str, rules: DecisionRules) -> bool:
    """Whether a verdict is that label and keeps away from every threshold."""
    limit, distance = rules.unknown_threshold, verdict.distance
    if verdict.label != label:
        return False
    if label == UNKNOWN:
        return distance is not None and distance >= (1 + MARGIN) * limit
    if distance is not None and distance > (1 - MARGIN) * limit:
        return False
    threshold = rules.thresholds.get(label, 0.5)
    return verdict.score >= threshold + MARGIN * (1 - threshold)


def _sought(label: str, classify: Classify, rules: DecisionRules, pool: Sequence[Pixels], count: int) -> list[Pixels]:
    """Return up to `count` tiles of a label that nothing draws: pool tiles, changed until the network says it."""
    found = []
    for number in range(count):
        random = np.random.default_rng((GOLDEN_SEEDS, rules.labels.index(label), number))
        parents = list(pool)
        best = parents[int(np.argmax(_fitness(label, classify(parents), rules)))]
        for _ in range(STEPS):
            children = [best, *(_changed(best, pool, random) for _ in range(CHILDREN))]
            fitness = _fitness(label, classify(children), rules)
            best = children[int(np.argmax(fitness))]
            if fitness.max() > 0 and _is_firm(decide_tiles([best], classify, rules)[0], label, rules):
                found.append(best)
                break
        else:
            break
    return found


def _fitness(label: str, predictions: Predictions, rules: DecisionRules) -> np.ndarray:
    """Return how far each tile's logit of the label leads, less for what is far from everything known."""
    index = rules.labels.index(label)
    others = np.delete(predictions.logits, index, axis=1).max(axis=1)
    lead = np.asarray((predictions.logits[:, index] - others) / rules.temperature, np.float64)
    if rules.distance is None or predictions.features is None:
        return lead.clip(max=12)
    far = rules.distance(predictions.features) / rules.unknown_threshold
    return np.asarray(lead.clip(max=12) - 20 * (far - (1 - 2 * MARGIN)).clip(min=0), np.float64)


def _changed(tile: Pixels, pool: Sequence[Pixels], random: np.random.Generator) -> Pixels:
    """Return a tile with one change: mixed with another, patched, lit unevenly, roughened, or of other contrast."""
    side, other = tile.shape[0], pool[int(random.integers(len(pool)))]
    turned = np.rot90(other, int(random.integers(4)))
    values = tile.astype(np.float64)
    match int(random.integers(5)):
        case 0:
            share = random.uniform(0.1, 0.6)
            values = (1 - share) * values + share * turned
        case 1:
            height, width = (int(size) for size in random.integers(side // 8, side // 2 + 1, 2))
            y, x = int(random.integers(side - height + 1)), int(random.integers(side - width + 1))
            values[y : y + height, x : x + width] = turned[y : y + height, x : x + width]
        case 2:
            coarse = random.normal(0, random.uniform(5, 40), (int(random.integers(2, 9)),) * 2)
            values += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        case 3:
            fine = random.normal(0, random.uniform(3, 25), (side // int(random.integers(1, 5)) + 1,) * 2)
            values += cv2.resize(fine, (side, side), interpolation=cv2.INTER_LINEAR)
        case _:
            values = 128 + random.uniform(0.6, 1.6) * (values - values.mean()) + random.uniform(-40, 40)
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)
