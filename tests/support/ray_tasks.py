"""What tests have done on Ray: a module that its processes can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from training.data.dataset import DataSet
from training.data.manifest import Manifest
from training.errors import DataError
from training.recipe import Recipe


def slow_first(number: int, folder: str) -> tuple[int, int]:
    """Return the number and the process; the first call ends after the last one."""
    mark = Path(folder) / "last"
    if number == 3:
        mark.touch()
    while number == 0 and not mark.exists():
        os.sched_yield()
    return number, os.getpid()


def die_once(folder: str) -> str:
    mark = Path(folder) / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def refuse(path: str) -> None:
    raise DataError(f"{path}: not a picture")


def wait_for_the_loss(number: int, folder: str) -> int:
    """Return the number, once a node was lost; the first two wait for that, and each beginning leaves a file."""
    (Path(folder) / f"begun-{number}-{os.getpid()}").touch()
    while number < 2 and not (Path(folder) / "lost").exists():
        os.sched_yield()
    return number


def scored_fold(recipe: Recipe, data: Path, manifest: Manifest, *rest: Any) -> dict[str, Any]:
    """A fold that trains nothing and calls every held-out picture by its first label, as `run_fold` would report it."""
    _, _, _, held, _ = rest
    assert DataSet(data).read(manifest.pictures[held[0]].path)
    truth = [manifest.pictures[i].label for i in held]
    called = [manifest.labels[0]] * len(held)
    right = sum(a == b for a, b in zip(called, truth, strict=True))
    tops = dict.fromkeys(("float", "int8", "int8_four_looks"), called)
    counts = {f"{kind}_correct": right for kind in tops}
    names = [manifest.pictures[i].name for i in held]
    return {"n": len(held), "labels": list(manifest.labels), "truth": truth, "pictures": names, "disagreements": 0,
            **tops, **counts, "seed_of_recipe": recipe.seed}  # fmt: skip
