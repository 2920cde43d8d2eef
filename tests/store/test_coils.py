"""`inspector.store.coils`: which coils ran, over restarts and programs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from fakes import NOON
from stores import reopened

from inspector.clock import to_timestamp_ms
from inspector.items import CoilFacts
from inspector.store.coils import Coil
from inspector.store.entries import Entry
from inspector.store.store import Store
from inspector.strip.record import CoilRecord, Stretch


def test_each_coil_has_its_begin_and_end(store: Store) -> None:
    """A coil ends where the next begins, or where none does; the newest come first, over a restart."""
    store.coils.change("A", 1000, {"grade": "DC04"})
    store.coils.change("B", 2000)
    store.coils.change(None, 3000)
    store.coils.change("A", 4000)
    again = reopened(store)
    found, current = again.coils.recent(9), again.coils.current()
    again.close()

    assert found == [Coil("A", 4000, None, {}), Coil("B", 2000, 3000, {}), Coil("A", 1000, 2000, {"grade": "DC04"})]
    assert current == ("A", 4000)


def test_without_a_word_there_is_none(store: Store) -> None:
    """A new store knows of no coil."""
    assert (store.coils.current(), store.coils.recent(9)) == ((None, 0), [])


def test_a_coil_that_a_previous_program_began_is_in_the_list(store: Store) -> None:
    """It keeps only the coil that runs: that one ends with the next, and what it began itself is ended."""
    store.coils.change("A", 1000)
    store.database.set_meta("coil", json.dumps(["B", 2000]))
    store.coils.change("C", 3000)

    assert [(coil.coil_id, coil.began_ms, coil.ended_ms) for coil in store.coils.recent(9)] == [
        ("C", 3000, None), ("B", 2000, 3000), ("A", 1000, 2000),
    ]  # fmt: skip


def test_a_coil_that_a_previous_program_ended_is_ended(store: Store) -> None:
    """It wrote only that none runs, and since when."""
    store.coils.change("A", 1000)
    store.database.set_meta("coil", json.dumps([None, 2000]))
    store.coils.change("C", 3000)

    assert [(coil.coil_id, coil.began_ms, coil.ended_ms) for coil in store.coils.recent(9)] == [
        ("C", 3000, None), ("A", 1000, 2000),
    ]  # fmt: skip


def test_a_record_grows_in_one_row_for_each_run(store: Store) -> None:
    """However often it is put, a run has one record; a coil that comes twice has two, the newest first."""
    first = CoilRecord("A", NOON)
    again = CoilRecord("A", NOON + timedelta(hours=1), facts=CoilFacts(grade="DC04"))
    ended = replace(first, ended_at=NOON + timedelta(minutes=5), length_m=9.0).with_gap(Stretch(1.0, 2.0, "blank", 1))
    store.coils.change("A", to_timestamp_ms(NOON))
    for records in ([first], [replace(first, length_m=4.0)], [ended, again]):
        store.commit([Entry((), {}, coils=records)])

    assert [run.record for run in store.reader.coil_runs("A")] == [again, ended]
    assert [run.record.coil_id for run in store.reader.coil_runs()] == ["A", "A"]
    assert store.reader.coil_runs("B") == []
    assert store.coils.current() == ("A", to_timestamp_ms(again.began_at))
    assert store.coils.facts() == CoilFacts(grade="DC04")


def test_a_run_without_a_record_has_its_times(store: Store) -> None:
    """A previous program kept no record, and a damaged one is none: the run stays in the list, not assessed."""
    store.coils.change("A", 1000)
    store.coils.change("B", 2000, {"probes_shown": 7, "probes_found": 6})
    with store.database.transaction() as db:
        db.execute("UPDATE coils SET record = '{' WHERE coil_id = 'B'")
    (b, a) = (run.record for run in store.reader.coil_runs())

    assert (a.ended_at, a.assessed, a.length_m) == (NOON.fromtimestamp(2, NOON.tzinfo), False, None)
    assert (b.probes_shown, b.probes_found, b.ended_at) == (7, 6, None)
