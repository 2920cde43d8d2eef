"""How fast this machine inspects, beside the bare interpreter in the same run: on noisy machines the ratio counts.

Both sides score the same generated tiles from memory. "End to end" is `inspect_frame` over whole frames, as many in
flight as a station has: cutting, preprocessing, network, softmax, merging; what it adds to the interpreter is our own
cost. The frame shows steel whose tiles are scored once, like nearly all tiles of a line; the slowest frame, all of it
defects, is reported as well. What store, evidence and a broker add, `chain` measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np

from inspector.frame import Frame, Pixels
from inspector.inspection.one_frame import InspectRules, inspect_frame
from inspector.inspection.predictions import Predictions
from inspector.inspection.reference import Maps, SiteReference
from inspector.inspection.second_look import find_doubtful
from inspector.inspection.tiling import STREAM_OVERLAP
from inspector.model.bundle import Bundle
from inspector.model.classifier import Classifier
from inspector.model.pool import WorkerPool, frames_in_flight
from inspector.teach.fit import fit_space

GRID = (5, 8)
"""Tiles of the bench frame: rows, columns."""
ROUNDS = 5
"""Alternating measurements of each side; the median counts."""


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What was measured.

    Attributes:
        workers: Interpreters.
        tiles_per_s: End to end, all workers.
        ms_per_tile: End to end, per worker.
        mpx_per_s: New pixels of a stream per second, millions: its tiles overlap by an eighth of their side.
        line_m_per_s: Speed of a strip 1 m wide at 0.5 mm/px that this keeps up with.
        bare_tiles_per_s: The interpreters alone, all workers, inputs prepared beforehand.
        ratio: `tiles_per_s / bare_tiles_per_s`.
        defects_tiles_per_s: As `tiles_per_s`, of a frame all of whose tiles may be defects.
        taught_ratio: `tiles_per_s` with a site's reference, of that without one; None where the bundle gives no places.
        at_once_ratio: What a frame costs its thread tile by tile, of what it costs resized at once.
    """

    bundle: str
    workers: int
    tiles_per_s: float
    ms_per_tile: float
    mpx_per_s: float
    line_m_per_s: float
    bare_tiles_per_s: float
    ratio: float
    defects_tiles_per_s: float
    taught_ratio: float | None
    at_once_ratio: float

    def as_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return asdict(self)


def run_bench(bundle: Bundle, rules: InspectRules, workers: int, seconds: float) -> BenchResult:
    """Measure for about `seconds`, alternating between both sides.

    Args:
        bundle: A proven bundle.
        rules: As the daemon would use them.
        workers: Interpreters on each side.
        seconds: Time in all.
    """
    classifiers = [Classifier(bundle, maps=rules.decision.box_from == "cam") for _ in range(workers)]
    frame, worst = bench_frames(bundle, classifiers[0])
    tiles = GRID[0] * GRID[1]
    prepared = [np.ascontiguousarray(frame.pixels[: bundle.card.input_px, : bundle.card.input_px])] * (tiles // workers)
    share = seconds / (5 * ROUNDS)
    singly = replace(rules, input_px=None)
    bare, whole, slow, taught = list[float](), list[float](), list[float](), list[float]()
    pool = WorkerPool(classifiers)
    with_places = [Classifier(bundle, maps=rules.decision.box_from == "cam", places=True) for _ in range(workers)]
    taught_pool, taught_rules = WorkerPool(with_places), _taught(rules, with_places[0](list(bundle.golden.tiles)).maps)
    bare_pool = WorkerPool([_Bare(classifier) for classifier in classifiers])
    flying = frames_in_flight(workers)
    threads = ThreadPoolExecutor(flying)

    def inspect(seen: Frame, by: WorkerPool, under: InspectRules) -> float:
        """Return the rate of frames in flight, as a station has them: one a thread, then the next."""
        inspect_frame(seen, by, under)
        started = time.perf_counter()

        def go_on(_: int) -> int:
            done = 0
            while done == 0 or time.perf_counter() - started < share:
                inspect_frame(seen, by, under)
                done += 1
            return done

        return sum(threads.map(go_on, range(flying))) * tiles / (time.perf_counter() - started)

    try:
        for _ in range(ROUNDS):
            bare.append(_rate(lambda: bare_pool(prepared * workers), len(prepared) * workers, share))
            whole.append(inspect(frame, pool, rules))
            slow.append(inspect(worst, pool, rules))
            if taught_rules is not None:
                taught.append(inspect(frame, taught_pool, taught_rules))
        at_once = _times_faster(
            lambda: inspect_frame(frame, classifiers[0], rules),
            lambda: inspect_frame(frame, classifiers[0], singly),
            ROUNDS * share,
        )
    finally:
        threads.shutdown()
        pool.close()
        taught_pool.close()
        bare_pool.close()
    tiles_per_s, bare_per_s = float(np.median(whole)), float(np.median(bare))
    mpx_per_s = tiles_per_s * (bundle.card.tile_px - bundle.card.tile_px // STREAM_OVERLAP) ** 2 / 1e6
    return BenchResult(
        bundle.short, workers, round(tiles_per_s, 1), round(1000 * workers / tiles_per_s, 3), round(mpx_per_s, 2),
        round(mpx_per_s * 1e6 / 2000 * 0.0005, 2), round(bare_per_s, 1),
        round(float(np.median(np.array(whole) / np.array(bare))), 3), round(float(np.median(slow)), 1),
        round(float(np.median(np.array(taught) / np.array(whole))), 3) if taught else None,
        at_once,
    )  # fmt: skip


def bare_rate(bundle: Bundle, workers: int, seconds: float) -> float:
    """Return tiles a second of the interpreters alone, all workers, inputs prepared beforehand."""
    classifiers = [Classifier(bundle) for _ in range(workers)]
    frame, _ = bench_frames(bundle, classifiers[0])
    prepared = [np.ascontiguousarray(frame.pixels[: bundle.card.input_px, : bundle.card.input_px])] * GRID[1]
    pool = WorkerPool([_Bare(classifier) for classifier in classifiers])
    try:
        return _rate(lambda: pool(prepared * workers), len(prepared) * workers, seconds)
    finally:
        pool.close()


def bench_frames(bundle: Bundle, classifier: Classifier) -> tuple[Frame, Frame]:
    """Return two stills of `GRID` golden tiles: none may show a defect, and each may."""
    golden = bundle.golden.tiles
    doubtful = find_doubtful(classifier(list(golden)).logits, bundle.card.labels, bundle.card.temperature)
    quiet = np.isin(np.arange(len(golden)), doubtful, invert=True)
    clean, worst = (_frame(some if len(some) else golden) for some in (golden[quiet], golden[~quiet]))
    return clean, worst


def _taught(rules: InspectRules, maps: Maps) -> InspectRules | None:
    """Return the rules with a reference of these places, which finds all near; None without places."""
    if not maps:
        return None
    spaces = tuple(fit_space(role, values)[0] for role, values in sorted(maps.items()))
    return replace(rules, decision=replace(rules.decision, reference=SiteReference("0" * 64, spaces, 1e9, 1e9)))


class _Bare:
    """The interpreter alone: bytes in, invoke, logits out."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def __call__(self, tiles: Sequence[Pixels]) -> Predictions:
        return self._classifier.invoke_only(tiles)


def _rate(work: Callable[[], object], tiles: int, seconds: float) -> float:
    work()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds or done == 0:
        work()
        done += tiles
    return done / (time.perf_counter() - started)


def _times_faster(one: Callable[[], object], other: Callable[[], object], seconds: float) -> float:
    """Return how many times the time of `one` the `other` takes: this thread's own time, in turn, lower quartiles."""
    spent: tuple[list[int], list[int]] = ([], [])
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or not spent[0]:
        for work, times in zip((one, other), spent, strict=True):
            begun = time.thread_time_ns()
            work()
            times.append(time.thread_time_ns() - begun)
    first, second = (float(np.quantile(times, 0.25)) for times in spent)
    return round(second / first, 3)


def _frame(tiles: Pixels) -> Frame:
    """Return a frame of (N, S, S) tiles side by side."""
    rows = [[tiles[(row * GRID[1] + column) % len(tiles)] for column in range(GRID[1])] for row in range(GRID[0])]
    pixels = np.block(rows).astype(np.uint8)  # a still: tiles are cut where they were laid, none shows a seam
    return Frame(pixels, 1, 0, datetime.now(UTC), 0.0, "bench", simulated=True, independent=True)
