"""`inspector.store.stored_commands`: an accepted command is done once, whatever dies, and those in force are known."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from fakes import NOON, entry
from stores import reopened

from inspector.clock import to_timestamp_ms
from inspector.command_table import COMMANDS, Origin
from inspector.items import Command
from inspector.messages import DefectMessage
from inspector.store.entries import Entry
from inspector.store.store import Store

NOON_MS = to_timestamp_ms(NOON)
HOUR_MS = 3_600_000


def accept(store: Store, name: str, seconds: float = 0, origin: Origin | None = None, **values: Any) -> Command:
    payload = json.dumps(COMMANDS[name].model.model_validate(values).model_dump(mode="json"))
    command = Command(NOON + timedelta(seconds=seconds), name, payload)
    return store.commands.accept(command, payload, origin or Origin(), request_id=values.get("request_id"))


def take(store: Store, *commands: Command) -> None:
    store.commit([Entry([], {}, commands=commands)], "{}")


def in_force(store: Store, seconds: float = 10) -> list[tuple[str, str]]:
    return [(one.name, one.subject) for one in store.commands.in_force(NOON_MS + round(1000 * seconds))]


def test_an_accepted_command_waits_over_a_death_and_is_taken_once(store: Store) -> None:
    """What was accepted and not committed is there at the next start, with its id; once committed it is not."""
    paused, shelved = accept(store, "pause", reason="roll change"), accept(store, "shelve", 1, label="crack")
    take(store, paused)
    again = reopened(store, clean=False)
    waiting, known = again.commands.waiting(), in_force(again)
    take(again, *waiting)
    left, both = again.commands.waiting(), in_force(again)
    again.close()

    assert (waiting, known) == ([shelved], [("pause", "")])
    assert (left, both) == ([], [("pause", ""), ("shelve", '["crack", null, null]')])
    assert len({paused.command_id, shelved.command_id}) == 2


def test_a_verdict_is_a_review_from_the_commit_of_its_place_on(store: Store) -> None:
    """`verify` becomes one review, in the transaction of its place, with who, what, and why."""
    [defect] = [body for body in store.commit([entry(0, "crack")]) if isinstance(body, DefectMessage)]
    command = accept(store, "verify", defect_id=defect.defect_id, verdict="reclassified", label="hole", person="ann",
                     reason="see the edge", request_id="r1")  # fmt: skip
    before = store.reviews.of(defect.defect_id)
    take(store, command)
    [review] = store.reviews.of(defect.defect_id)

    assert before == []
    assert (review.verdict, review.label, review.person, review.note, review.request_id) == (
        "reclassified", "hole", "ann", "see the edge", "r1",
    )  # fmt: skip
    assert in_force(store) == []


def test_a_command_holds_until_the_next_its_time_or_its_end(store: Store) -> None:
    """One pause and one shelf for each place are in force; `off` ends what it names, time ends the rest."""
    take(store, accept(store, "pause"), accept(store, "pause", 1, hours=2), accept(store, "shelve", 2, label="crack"),
         accept(store, "shelve", 3, label="rust"), accept(store, "shelve", 4, from_mm=1, to_mm=2, hours=8))  # fmt: skip
    at_once = in_force(store)
    later = in_force(store, 3600 + 2.5)
    take(store, accept(store, "shelve", 5, label="rust", off=True))
    without_rust = in_force(store)
    take(store, accept(store, "shelve", 6, off=True), accept(store, "pause", 7, off=True))

    place = ("shelve", "[null, 1.0, 2.0]")
    assert at_once == [
        ("pause", ""), ("shelve", '["crack", null, null]'), ("shelve", '["rust", null, null]'), place,
    ]  # fmt: skip
    assert later == [("pause", ""), ("shelve", '["rust", null, null]'), place]
    assert without_rust == [("pause", ""), ("shelve", '["crack", null, null]'), place]
    assert in_force(store) == []


def test_of_a_line_only_starts_and_stops_are_kept(store: Store) -> None:
    """A speed that is said again and again takes no room; when the line stopped and started stays known."""
    for second, (running, speed) in enumerate([(True, 1), (True, 2), (False, None), (True, 1), (True, 3)]):
        take(store, accept(store, "line", second, running=running, speed_m_s=speed))
    kept = store.database.all("SELECT payload FROM commands ORDER BY id")

    said = [(one["running"], one["speed_m_s"]) for (text,) in kept for one in [json.loads(text)]]
    assert said == [(True, 2), (False, None), (True, 3)]


AGAIN = Origin(packet=7, again=True)


@pytest.mark.parametrize(
    ("first", "second", "seconds", "repeated"),
    [
        pytest.param(Origin(packet=7), AGAIN, 80_000, True, id="the broker repeats its packet"),
        pytest.param(Origin(packet=7), Origin(packet=7), 5, False, id="the same packet number, not a repetition"),
        pytest.param(Origin(packet=6), AGAIN, 5, False, id="the broker repeats another packet"),
        pytest.param(Origin(), AGAIN, 5, False, id="it came another way before"),
    ],
)
def test_the_brokers_repetition_is_no_new_command(
    store: Store, first: Origin, second: Origin, seconds: float, repeated: bool
) -> None:
    """A packet that the broker sends again, unanswered by a process that died, is done once; no other is dropped."""
    accept(store, "pause", origin=first)
    payload = json.dumps(COMMANDS["pause"].model().model_dump(mode="json"))

    now_ms = NOON_MS + round(seconds * 1000)
    assert (store.commands.repeated("pause", payload, second, None, now_ms) == NOON_MS) == repeated


def test_a_request_id_repeats_only_the_last_command_under_it(store: Store) -> None:
    """The same command under the same id is one for an hour; after another under that id it is a new one."""

    def asked(running: bool) -> str:
        values = {"running": running, "request_id": "plc"}
        return json.dumps(COMMANDS["line"].model.model_validate(values).model_dump(mode="json"))

    accept(store, "line", running=True, request_id="plc")
    now_ms = NOON_MS + 1000
    soon = store.commands.repeated("line", asked(True), Origin(), "plc", now_ms)
    late = store.commands.repeated("line", asked(True), Origin(), "plc", NOON_MS + HOUR_MS)
    accept(store, "line", 1, running=False, request_id="plc")
    other = store.commands.repeated("line", asked(True), Origin(), "plc", now_ms)

    assert (soon, late, other) == (NOON_MS, None, None)
