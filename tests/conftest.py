"""Fixtures that several test files share; everything else is made where it is used, from `fakes`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import FakeClock
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Two busy cores make any deadline flaky, and the examples of a run are the same on every machine.
settings.register_profile("inspector", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("inspector")


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
