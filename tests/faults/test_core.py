"""The core of the fault suite: every row with a few tries, and every row with its planted fault."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.row import Plan, Row
from tests.faults.rows import NAMES, load_row

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(params=NAMES)
def row(request: pytest.FixtureRequest) -> Row:
    for program in ("mosquitto", "strace"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
            pytest.skip(f"{program} is not installed: sudo apt-get install {program}")
    return load_row(request.param)


def test_a_few_tries_have_no_miss(row: Row, tmp_path: Path) -> None:
    """As many tries as the core has, and nothing is lost, invented, repeated or given up."""
    points = list(row.run(Plan(tmp_path, range(row.core), seed=1)))
    misses = [miss for point in points for miss in point.misses]

    assert sorted(point.number for point in points) == list(range(row.core))
    assert [miss for miss in misses if not row.known_miss or row.known_miss not in miss] == []
    if misses:
        pytest.xfail(row.known)


def test_a_planted_fault_is_found(row: Row, tmp_path: Path) -> None:
    """With one thing spoilt behind the station's back the row has a miss, after as few tries as it says."""
    points = list(row.run(Plan(tmp_path, range(row.planted), seed=1, planted=True)))

    assert any(point.misses for point in points)
