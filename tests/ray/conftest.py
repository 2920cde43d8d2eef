"""Tests of what runs on Ray: `scripts/test-ray` has it, `scripts/test` has not and collects nothing here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from foreign_warnings import FOREIGN_WARNINGS

_RAY = find_spec("ray")  # this folder is found under that name, too: only a package has a file of its own
collect_ignore_glob = [] if _RAY is not None and _RAY.origin is not None else ["test_*.py"]
RAY_WARNINGS = (
    "ignore:unclosed:ResourceWarning",  # its sockets and the standard output of its processes
    "ignore:subprocess .* is still running:ResourceWarning",
    "ignore::FutureWarning:ray",
    "ignore::DeprecationWarning:ray",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in (*FOREIGN_WARNINGS, *RAY_WARNINGS):
                item.add_marker(pytest.mark.filterwarnings(warning))
