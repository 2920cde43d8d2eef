"""The checker finds each kind of fault that is planted into a run without one, and nothing in that run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import check, unaccounted_frames, unaccounted_metres
from tests.faults.consumer import Received

FED = [f"{number}.jpg" for number in range(5)]


def arrival(n: int, seq: int, name: str, **body: object) -> Received:
    whole = {"frame": {"source_key": name}, "verdict": "pass", "reason": None, **body}
    return Received(n, "inspector/a/b/c/frame", "frame", f"id-{name}-{seq}", "store", seq, json.dumps(whole).encode())


def whole_run() -> list[Received]:
    return [arrival(n + 1, n + 1, name) for n, name in enumerate(FED)]


def told(seq: int, lost: int) -> Received:
    body = {"cause": "messages_lost", "sink": "mqtt", "lost": lost}
    return Received(99, "inspector/a/b/c/coverage", "coverage", f"told-{seq}", "store", seq, json.dumps(body).encode())


def test_a_run_without_fault_has_no_miss() -> None:
    """Repeats by id are no miss; they are counted."""
    run = whole_run()

    assert check(FED, run).misses() == ()
    assert check(FED, [*run, run[2], run[2]]).facts() == {"raw_repeats": 2, "max_repeats_of_one": 2, "told_lost": 0}
    assert check(FED, [*run, run[2], run[2]]).misses() == ()


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        pytest.param(lambda run: run[:4], ["1 lost: 4.jpg"], id="lost"),
        pytest.param(lambda run: [*run, arrival(6, 6, "9.jpg")], ["1 phantom: 9.jpg"], id="phantom"),
        pytest.param(lambda run: [*run, arrival(6, 6, "2.jpg")], ["1 repeated after dedup: 2.jpg"], id="repeated"),
        pytest.param(lambda run: [run[1], run[0], *run[2:]], ["1 out of order: 1"], id="order"),
        pytest.param(
            lambda run: [*run, replace(run[0], payload=run[1].payload)],
            ["1 same id, other bytes: id-0.jpg-1"],
            id="altered",
        ),
        pytest.param(
            lambda run: [*run[:4], arrival(5, 5, "4.jpg", verdict="not_inspected", reason="deadly")],
            ["1 good file given up: 4.jpg (deadly)"],
            id="given up",
        ),
        pytest.param(
            lambda run: [*run[:4], arrival(5, 6, "4.jpg")], ["1 seq missing, 0 told as lost: store:5"], id="hole"
        ),
        pytest.param(lambda run: [*run, told(6, 1)], ["0 seq missing, 1 told as lost: "], id="told, not lost"),
    ],
)
def test_each_planted_fault_is_found(plant: Callable[[list[Received]], list[Received]], found: list[str]) -> None:
    """One fault, one miss, with its example."""
    assert list(check(FED, plant(whole_run())).misses()) == found


def test_what_was_told_as_lost_is_no_hole() -> None:
    """A number that is missing and that `coverage` counts is accounted for."""
    run = [*whole_run(), told(7, 1)]

    assert check(FED, run).misses() == ()


def test_frames_are_accounted_for() -> None:
    """Inspected and reported ones make up what was fed."""
    assert unaccounted_frames(10, 7, 3) == 0
    assert unaccounted_frames(10, 7, 2) == 1


@pytest.mark.parametrize(
    ("inspected", "gaps", "bare"),
    [
        pytest.param([(0, 10)], [], 0.0, id="all inspected"),
        pytest.param([(0, 4), (3, 6)], [(6, 10)], 0.0, id="overlapping, with a gap"),
        pytest.param([(0, 4)], [(5, 10)], 1.0, id="a metre between"),
        pytest.param([(2, 9)], [], 3.0, id="head and tail"),
        pytest.param([(0, 12)], [], 0.0, id="more than was fed"),
    ],
)
def test_metres_are_accounted_for(
    inspected: list[tuple[float, float]], gaps: list[tuple[float, float]], bare: float
) -> None:
    """A metre that neither was inspected nor is in a gap is unaccounted for."""
    assert unaccounted_metres((0, 10), inspected, gaps) == bare
