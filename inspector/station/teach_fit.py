"""The process that fits a lesson or refits a reference beside a station: of low priority, with its own memory.

What it does is in `teach_child`; here it is started, asked after, and ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inspector.model.bundle import Bundle
from inspector.settings.sections import Settings
from inspector.teach.teach_in import TeachIn


@dataclass(frozen=True, slots=True)
class FitResult:
    """What came of it.

    Attributes:
        reference: Hash of the reference as messages carry it, or None where it was refused.
        text: For a person.
        refused: Why it should not count although it was fitted, or None.
        counts: It counts already: a refit that is as good as the one before.
    """

    reference: str | None
    text: str
    refused: str | None = None
    counts: bool = False


class Fit(Protocol):
    """Something that fits; a child process, or a stub in tests."""

    def result(self) -> FitResult | None:
        """Return what came of it, or None while it works."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


def fit_order(
    settings: Settings, bundle: Bundle, folder: Path, teach_in: TeachIn | None, *, quietly: bool = True
) -> dict[str, Any]:
    """Return what a child is asked to do: fit the tiles of a teach-in, or without one refit the accepted reference.

    Args:
        settings: Of the station.
        bundle: The one that runs.
        folder: Of the references.
        teach_in: Whose tiles, or None.
        quietly: At the lowest priority, because a station inspects meanwhile.
    """
    return {
        "settings": settings.model_dump(mode="json"),
        "bundle": str(bundle.root.absolute()),
        "fingerprint": bundle.fingerprint,
        "folder": str(folder.absolute()),
        "quietly": quietly,
        "teach_in": None if teach_in is None else teach_in.model_dump(mode="json", by_alias=True),
    }


class ChildFit:
    """A child at work.

    Args:
        order: What to do, as JSON values.

    Raises:
        OSError: No process can be started.
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("INSPECTOR_")}
        environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inspector.station.teach_child"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
        assert self._process.stdin is not None  # noqa: S101 - a pipe, as asked for
        try:
            self._process.stdin.write(json.dumps(dict(order)).encode() + b"\n")
            self._process.stdin.close()
        except BrokenPipeError:
            return  # it has ended already: `result` says how

    def result(self) -> FitResult | None:
        """Return what came of it, or None while it works."""
        if self._process.poll() is None:
            return None
        assert self._process.stdout is not None  # noqa: S101 - a pipe, as asked for
        with self._process.stdout as out:
            return read_answer(out.read(), self._process.returncode)

    def stop(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def read_answer(answer: bytes, code: int) -> FitResult:
    """Return what the child's answer says."""
    try:
        found = json.loads(answer.splitlines()[-1])
        return FitResult(found["reference"], str(found["text"]), found.get("refused"), bool(found.get("counts")))
    except (ValueError, LookupError, TypeError):
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        return FitResult(None, f"the process that fits has ended without an answer ({why})")
