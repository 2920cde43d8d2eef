"""Committed figures are of today's code or say that they are not, and the page shows them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults import results
from tests.faults.results import hash_of_code, sum_up
from tests.faults.row import Point
from tests.faults.rows import NAMES, load_row


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_of_todays_code(name: str) -> None:
    """The code that a row's figure was measured on is today's, or the figure is marked as older."""
    run = results.shown_run(name)

    assert not results.is_stale(name), (
        f"the code has changed since; run: {run and run['again']}, or: python -m tests.faults --older"
    )


def test_the_page_shows_the_figures() -> None:
    """Writing the table anew would change nothing."""
    text = results.PAGE.read_text("utf-8")

    assert results.written_page(text) == text, "run: python -m tests.faults --table"


def test_every_row_judges_code_that_is_there() -> None:
    """Places that a row judges exist, and its figures are stored under its name alone."""
    for name in NAMES:
        assert hash_of_code(load_row(name).judges)
    assert {path.stem for path in results.RESULTS.glob("*.json")} <= set(NAMES)


def test_the_hash_is_of_the_code_alone(tmp_path: Path) -> None:
    """A comment, a docstring or a blank line changes nothing; a number does, and so does a file's name."""
    module = tmp_path / "one.py"
    module.write_text("def wait() -> int:\n    return 1\n")
    before = hash_of_code(["one.py"], tmp_path)
    module.write_text('"""Says more."""\n\n# why\ndef wait() -> int:\n    """Wait."""\n    return 1\n')

    assert hash_of_code(["one.py"], tmp_path) == before
    module.write_text("def wait() -> int:\n    return 2\n")
    assert hash_of_code(["one.py"], tmp_path) != before
    shutil.move(module, tmp_path / "two.py")
    assert hash_of_code(["two.py"], tmp_path) != before


def test_skipped_points_are_misses() -> None:
    """Asked for five, tried three, one in vain: three misses. Extremes are kept, other facts summed."""
    points = [Point(0, (), {"files": 2, "max_s": 3}), Point(1, ("1 lost: a", "1 phantom: b"), {"files": 2, "max_s": 1})]
    record = sum_up("random_kill", load_row("random_kill"), [*points, Point(2)], 5, 7, 0.0)

    assert (record["misses"], record["skipped"]) == (3, 2)
    assert record["facts"] == {"files": 4, "max_s": 3}
    assert record["missed"] == {"1": ["1 lost: a", "1 phantom: b"]}
    assert record["again"] == "python -m tests.faults random_kill --n 5 --seed 7"


def test_runs_are_appended(tmp_path: Path) -> None:
    """A second run stands behind the first."""
    row = load_row("random_kill")
    for seed in (1, 2):
        results.append(sum_up("random_kill", row, [Point(0)], 1, seed, 0.0), tmp_path)

    assert [run["seed"] for run in results.runs_of("random_kill", tmp_path)] == [1, 2]
