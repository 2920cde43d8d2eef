"""The same functions on other processors: `--ray` runs them as tasks of Ray, on this machine or on many.

What is sent is a function of this package and its arguments, so every machine needs the same version of it, which is
checked before the first task, and the files at the same paths. Nothing here knows what the functions do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.archive.order import digest_of_code
from training.errors import ClusterError

CPUS_A_TASK = 1.0
AHEAD = 2
"""Tasks asked for, for each that the cluster can run at once: none waits for us, and few results wait for theirs."""
TRIES = 3
"""Times that a task is begun again elsewhere when its machine or process dies."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running Ray.

    Attributes:
        cpus: Of all machines together.
        cpus_a_task: What one task takes of them.
    """

    cpus: float
    cpus_a_task: float = CPUS_A_TASK

    def mapped(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Call a function with each tuple of arguments, somewhere, and yield what it returns, in order.

        Raises:
            ClusterError: As `finished`.
            Exception: As the function raises them.
        """
        waiting: dict[int, Any] = {}
        wanted = 0
        for number, found in self.finished(function, arguments):
            waiting[number] = found
            while wanted in waiting:
                yield waiting.pop(wanted)
                wanted += 1

    def finished(self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Call a function with each tuple of arguments and yield which has finished, and what it returned.

        Each call has a process of its own: TensorFlow gives no memory back before its process ends.

        Raises:
            ClusterError: A task's machine died time and again, or has another version of this code.
            Exception: As the function raises them.
        """
        import ray

        task = ray.remote(num_cpus=self.cpus_a_task, max_retries=TRIES, max_calls=1)(_call)
        most = max(1, AHEAD * int(self.cpus / self.cpus_a_task))
        running: dict[Any, int] = {}
        for number, each in enumerate(arguments):
            running[task.remote(own_digest(), function, each)] = number
            if len(running) >= most:
                yield _next(running)
        while running:
            yield _next(running)


@contextmanager
def open_cluster(address: str | None, cpus_a_task: float = CPUS_A_TASK) -> Iterator[Cluster]:
    """Yield the Ray at an address, or one of this machine's own that ends with the block.

    Args:
        address: As `auto` or `HOST:PORT`; None: start one here.
        cpus_a_task: What one task takes.

    Raises:
        ClusterError: Ray is not installed, no cluster answers, or it has fewer processors than a task takes.
    """
    try:
        import ray
    except ModuleNotFoundError as exc:
        raise ClusterError(f"--ray needs Ray: pip install 'inspector[ray]' ({exc})") from exc
    options: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**options, log_to_driver=False, logging_level="error", namespace="inspector")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as exc:
        raise ClusterError(f"--ray: no cluster at {address or 'this machine'}: {exc}") from exc
    try:
        cpus = float(ray.cluster_resources().get("CPU", 0))
        if cpus < cpus_a_task:
            raise ClusterError(f"--ray: the cluster has {cpus:g} processors, a task takes {cpus_a_task:g}")
        yield Cluster(cpus, cpus_a_task)
    finally:
        ray.shutdown()


def own_digest() -> str:
    """Return the hash of this package's code and of `inspector`'s, as it lies on this machine."""
    global _digest
    if not _digest:
        here = Path(__file__).resolve().parent
        _digest = digest_of_code(here, here.parent / "inspector")
    return _digest


_digest = ""


def _call(digest: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Run on a machine of the cluster: refuse where another version of the code lies."""
    if digest != own_digest():
        raise ClusterError(
            f"--ray: {os.uname().nodename} has another version of inspector ({own_digest()[:12]}) than the one that"
            f" asks ({digest[:12]}): install the same on every machine"
        )
    return function(*arguments)


def _next(running: dict[Any, int]) -> tuple[int, Any]:
    """Wait for any of the tasks, take it out, and return its number and what it returned."""
    import ray

    (reference,), _ = ray.wait(list(running), num_returns=1)
    number = running.pop(reference)
    try:
        return number, ray.get(reference)
    except ray.exceptions.RayTaskError as exc:
        raise (exc.cause or exc) from exc
    except ray.exceptions.RayError as exc:
        raise ClusterError(f"--ray: a task was lost: {str(exc).strip().splitlines()[-1]}") from exc
