"""Mutated pictures through the decoder, in a process that may die: pixels or a refusal, soon and in bounds."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as Late
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np

from inspector.errors import PictureError
from inspector.pictures.decode import decode_picture
from inspector.pictures.limits import MAX_FRAME_PX
from tests.faults.row import Plan, Point, Row
from tests.faults.spoilt import mutated, whole_files

BATCH = 500
HANG_S, MORE_BYTES = 2.0, 256 << 20
BATCH_S = 120.0


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _decode(numbers: Sequence[int], seed: int, planted: bool) -> list[Point]:
    """Decode a batch; runs in a process of its own. The planted fault is a picture that kills it."""
    whole_files()
    before_bytes = _peak_bytes()
    points = []
    for number in numbers:
        data = mutated(random.Random(f"{seed}-{number}"))
        misses, taken = [], 0
        started_s = time.process_time()
        try:
            pixels = decode_picture(data, name=str(number), max_px=MAX_FRAME_PX)
            taken = 1
            if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
                misses.append(f"no picture came: {pixels.dtype} {pixels.shape}")
        except PictureError as refusal:
            if not str(refusal).startswith(f"{number}: "):
                misses.append(f"a refusal without its name: {refusal}")
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is what the row looks for
            misses.append(f"{type(fault).__name__}: {fault}")
        if planted and number == numbers[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
        slowest_s, more_bytes = time.process_time() - started_s, _peak_bytes() - before_bytes
        if slowest_s > HANG_S:
            misses.append(f"took {slowest_s:.1f} s")
        if more_bytes > MORE_BYTES:
            misses.append(f"took {more_bytes >> 20} MB")
        facts = {"decoded": taken, "refused": 1 - taken, "max_s": slowest_s, "max_more_mb": more_bytes >> 20}
        points.append(Point(number, tuple(misses), facts))
    return points


def _run(plan: Plan) -> Iterator[Point]:
    for numbers in plan.sessions(BATCH):
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        future = pool.submit(_decode, numbers, plan.seed, plan.planted)
        try:
            yield from future.result(BATCH_S)
        except (BrokenProcessPool, Late) as died:
            for process in (pool._processes or {}).values():
                process.kill()
            if len(numbers) == 1 or plan.planted:
                yield Point(numbers[0], (f"the decoder's process ended or hung ({type(died).__name__})",))
            else:
                for number in numbers:  # which one was it
                    yield from _run(Plan(plan.folder, [number], plan.seed))
        finally:
            pool.shutdown(wait=True)


ROW = Row(
    fault="mutated JPEG, PNG, BMP and TIFF through the decoder: bits, bytes, numbers, cut, doubled, mixed",
    figure="0 crashes, 0 hangs > 2 s, at most +256 MB, each decoded or refused by name",
    n=100_000,
    core=500,
    judges=("pictures",),
    run=_run,
)
