"""How much work costs beside other work in the same process: a busy machine slows both, so the ratio holds."""

from __future__ import annotations

import time
from collections.abc import Callable


def cost_ratio(work: Callable[[], object], yardstick: Callable[[], object], rounds: int = 5) -> float:
    """Return the CPU time of `work` over that of `yardstick`: of each the least of several rounds, taken in turns.

    Both must run on the calling thread; what other threads and processes do meanwhile is not counted.
    """
    costs = [(_spent_s(work), _spent_s(yardstick)) for _ in range(rounds)]
    return min(cost for cost, _ in costs) / min(cost for _, cost in costs)


def _spent_s(work: Callable[[], object]) -> float:
    started_s = time.thread_time()
    work()
    return time.thread_time() - started_s


def slowness(cpu_s: float = 0.02) -> float:
    """Return how many times longer work takes here now than on a machine that has nothing else to do, at least 1."""
    started_s, begun_s = time.perf_counter(), time.thread_time()
    while time.thread_time() - begun_s < cpu_s:
        pass
    return max(1.0, (time.perf_counter() - started_s) / cpu_s)
