"""Fixtures that several test files share; everything else is made where it is used, from `fakes`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Two busy cores make any deadline flaky, and the examples of a run are the same on every machine.
settings.register_profile("inspector", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("inspector")

COMPUTING = ("trained", "tests/training/int8", "tests/model/test_other_processors.py", "tests/training")
"""Parts of the suite that keep a core busy, the longest first."""
WAITING = ("package", "tests/e2e", "tests/deploy", "tests/faults", "tests/sinks")
"""Parts that wait for a peer most of the time, the longest first."""
TRAINED = frozenset(
    path.relative_to(REPOSITORY).as_posix()
    for path in (REPOSITORY / "tests" / "training").rglob("test_*.py")
    if "trained: Trained" in path.read_text("utf-8")
)
"""Where the fixture `trained` is used: a small training of a minute."""


def part_of(nodeid: str) -> str:
    """Return the name of the tests that one process runs in a row: a file, or all that share what is dear to make."""
    file = nodeid.partition("::")[0]
    if file.startswith(("tests/systemd", "tests/test_deb.py")):
        return "package"  # built once
    if file == "tests/faults/test_core.py":
        return nodeid  # each row for itself
    return "trained" if file in TRAINED else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole parts of the suite."""
    from xdist.scheduler import LoadScopeScheduling

    class PartScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return part_of(nodeid)

    return PartScheduling(config, log)


def in_turns(parts: Sequence[str]) -> list[str]:
    """Return the names of parts as they begin: long ones that compute and that wait in turns, then all others.

    So that cores are busy while others wait, and no process works on alone at the end. Among equals the order stays.
    """

    def beginning(with_one_of: Sequence[str]) -> list[str]:
        return [part for start in with_one_of for part in parts if part.startswith(start)]

    both = zip_longest(beginning(COMPUTING), beginning(WAITING))
    return list(dict.fromkeys([part for pair in both for part in pair if part is not None] + [*parts]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest parts; the rest stays in its random order."""
    parts = [part_of(item.nodeid) for item in items]
    places = {part: place for place, part in enumerate(in_turns(list(dict.fromkeys(parts))))}
    items.sort(key=lambda item: places[part_of(item.nodeid)])


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the public data sets (neu-det, mobilenetv2, ...): the one setting that test data needs."""
    given = os.environ.get("INSPECTOR_TEST_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not (folder / "neu-det").is_dir():
        pytest.skip(f"no test data: set INSPECTOR_TEST_DATA to a folder that holds neu-det (now: {given or 'unset'})")
    return folder


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
