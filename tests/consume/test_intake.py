"""`inspector.consume.intake`: what is new, what is missing, what the station itself reported as lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.consume.intake import Arrival, Hole, Intake, Spans, read_arrival


def arrival(seq: int, store_id: str = "s", root: str = "r", lost: tuple[int, int] | None = None) -> Arrival:
    return Arrival(root, "defect", f"{store_id}{seq}", store_id, seq, b"{}", lost)


def body(**changes: Any) -> bytes:
    return json.dumps({"id": "i", "store_id": "s", "seq": 7} | changes).encode()


@pytest.mark.parametrize(
    ("topic", "payload", "seq"),
    [
        pytest.param("a/b/defect", body(), 7, id="a defect"),
        pytest.param("a/b/health", body(), None, id="state"),
        pytest.param("a/b/defect", b"online", None, id="no JSON"),
        pytest.param("a/b/defect", b"[]", None, id="no object"),
        pytest.param("a/b/defect", b"[" * 200_000, None, id="brackets without end"),
        pytest.param("a/b/defect", json.dumps({"seq": 1}).encode("utf-16"), None, id="not UTF-8"),
        pytest.param("a/b/defect", body(seq="7"), None, id="a number as text"),
        pytest.param("a/b/defect", body(seq=True), None, id="no number"),
        pytest.param("a/b/defect", body(seq=1 << 60), None, id="a number beyond all"),
        pytest.param("a/b/defect", body(id="\ud800"), None, id="half a character"),
        pytest.param("a/b/defect", body(id="x" * 129), None, id="an id without end"),
        pytest.param("a/b/defect", body(store_id=None), None, id="no store"),
    ],
)
def test_only_what_a_station_numbered_is_taken(topic: str, payload: bytes, seq: int | None) -> None:
    """Whatever somebody publishes on a topic, it is a numbered message or nothing."""
    found = read_arrival(topic, payload)

    assert seq == (found.seq if found else None)


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        pytest.param({"cause": "messages_lost", "sink": "mqtt", "first_seq": 2, "last_seq": 5}, (2, 5), id="lost"),
        pytest.param({"cause": "messages_lost", "sink": None, "first_seq": 2, "last_seq": 5}, (2, 5), id="version 1"),
        pytest.param({"cause": "messages_lost", "sink": "jsonl", "first_seq": 2, "last_seq": 5}, None, id="files"),
        pytest.param({"cause": "messages_unheard", "sink": "mqtt", "first_seq": 2, "last_seq": 5}, None, id="unheard"),
        pytest.param({"cause": "messages_lost", "sink": "mqtt", "first_seq": 5, "last_seq": 2}, None, id="backwards"),
        pytest.param({"cause": "dropped", "first_seq": None, "last_seq": None}, None, id="another cause"),
    ],
)
def test_what_the_station_lost_is_read(changes: dict[str, Any], lost: tuple[int, int] | None) -> None:
    """A `coverage` message names what will never come over the broker; what was unheard can still be asked for."""
    found = read_arrival("r/coverage", body(**changes))

    assert found is not None
    assert lost == found.lost


def test_a_repeat_is_counted_and_changes_nothing() -> None:
    """The id decides, not the number: a new store may number the same message anew."""
    intake = Intake()
    new = [intake.take(arrival(seq), known) for seq, known in [(1, False), (2, False), (2, True), (1, True)]]

    assert (new, intake.taken, intake.repeats, intake.missing) == ([True, True, False, False], 2, 2, 0)


def test_what_lies_between_is_missing_until_it_comes_or_is_reported_as_lost() -> None:
    """Numbers before the first message of a store are not missing; those between the messages are."""
    intake = Intake()
    for seq in (10, 11, 15, 20):
        intake.take(arrival(seq), known=False)
    before = intake.holes()
    intake.take(arrival(21, lost=(12, 13)), known=False)
    intake.take(arrival(16), known=False)

    assert before == [Hole("r", "s", 12, 14), Hole("r", "s", 16, 19)]
    assert intake.holes() == [Hole("r", "s", 14, 14), Hole("r", "s", 17, 19)]
    assert (intake.missing, intake.reported_lost) == (4, 2)


def test_an_old_store_is_not_asked() -> None:
    """A station numbers from one store at a time; what an older one has not sent stays missing."""
    intake = Intake()
    for one in (arrival(1), arrival(3), arrival(1, "t"), arrival(4, "t"), arrival(1, root="q"), arrival(3, root="q")):
        intake.take(one, known=False)

    assert [(hole.root, hole.store_id, intake.can_be_asked(hole)) for hole in intake.holes()] == [
        ("q", "s", True),
        ("r", "s", False),
        ("r", "t", True),
    ]


def test_a_run_goes_on_where_the_one_before_it_ended() -> None:
    """What is kept is known again, with its holes and the reported losses."""
    intake = Intake()
    intake.restore([("r", "old", 1, 4), ("r", "s", 1, 3), ("r", "s", 8, 9)], [arrival(9, lost=(5, 5))])

    assert intake.holes() == [Hole("r", "s", 4, 4), Hole("r", "s", 6, 7)]
    assert not intake.can_be_asked(Hole("r", "old", 5, 5))
    assert (intake.taken, intake.reported_lost) == (0, 1)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6))), st.integers(1, 40), st.integers(0, 20))
def test_stretches_are_a_set_of_numbers(added: list[tuple[int, int]], first: int, length: int) -> None:
    """Whatever is added in whatever order, membership, holes and differences are those of a set."""
    spans, numbers = Spans(), set[int]()
    for start, more in added:
        spans.add(start, start + more)
        numbers |= set(range(start, start + more + 1))
    inside = set(range(min(numbers), max(numbers))) - numbers if numbers else set()
    asked = set(range(first, first + length + 1))

    assert {number for number in range(60) if number in spans} == numbers
    assert {n for low, high in spans.holes() for n in range(low, high + 1)} == inside
    assert {n for low, high in spans.without(first, first + length) for n in range(low, high + 1)} == asked - numbers
