"""`inspector.store.coil_material`: what a report is made of, each defect once, and of the right run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from coil_reports import record_of
from coil_rows import phase_of, placed, placed_defect
from fakes import NOON

from inspector.clock import to_timestamp_ms
from inspector.reports.found import Material
from inspector.store.coil_material import CoilRows, read_material
from inspector.store.entries import Entry
from inspector.store.reviews import Review
from inspector.store.store import Store

RECORD = replace(record_of(), began_at=NOON, ended_at=NOON + timedelta(seconds=5))


def material(store: Store, number: int = 0, **changes: object) -> Material:
    run = store.reader.coil_runs("7731")[number]
    values = {"station": "s", "program": "1", "made_at": "2026-03-01T13:00:00.000Z", **changes}
    return read_material(store.reader, run, **values)  # type: ignore[arg-type]


def test_each_defect_is_there_once_with_its_last_word(store: Store) -> None:
    """Of several phases the last counts, wherever it is stored; a verdict and a picture are joined to it."""
    first, second = placed_defect(1, "crack"), placed_defect(2, "hole")
    opened = phase_of(first.model_copy(update={"length_mm": 5.0}), "opened")
    store.commit([Entry([], {}, coils=[RECORD]), placed(opened, second, first)])
    store.reviews.add(Review(first.defect_id, to_timestamp_ms(NOON) + 1, "unsure"))
    store.reviews.add(Review(first.defect_id, to_timestamp_ms(NOON) + 2, "false_call"))

    found = material(store, pictures={second.defect_id}).defects

    assert [(one.label, one.length_mm, one.verdict, one.has_picture) for one in found] == [
        ("hole", 20.0, None, True), ("crack", 20.0, "false_call", False)
    ]  # fmt: skip


def test_a_coil_that_comes_twice_has_two_reports(store: Store) -> None:
    """A defect belongs to the run in which it was captured, and to no other."""
    again = replace(RECORD, began_at=NOON + timedelta(seconds=60), ended_at=None)
    late = placed_defect(601)
    store.commit([Entry([], {}, coils=[RECORD]), placed(placed_defect(1), placed_defect(2))])
    store.commit([Entry([], {}, coils=[again]), placed(late)])

    assert [len(material(store, number).defects) for number in (0, 1)] == [1, 2]


def test_a_clock_that_is_set_back_loses_no_defect(store: Store) -> None:
    """A coil that ran once has all that names it, though some was captured before it began."""
    early = placed_defect(0, timestamp_ms=to_timestamp_ms(NOON) - 3_600_000)
    store.commit([Entry([], {}, coils=[RECORD]), placed(early, placed_defect(1))])

    assert len(material(store).defects) == 2


def test_codes_on_the_strip_are_of_their_run(store: Store) -> None:
    """The last one at a place counts."""
    began_ms = to_timestamp_ms(NOON)
    store.commit([Entry([], {}, coils=[RECORD])])
    for at_ms, code, at_m in ((1, "S1", 10.0), (2, "S2", 20.0), (3, "S1b", 10.0)):
        store.sections.add("7731", began_ms, began_ms + at_ms, code, at_m)
    store.sections.add("other", began_ms, began_ms + 4, "X", 10.0)

    assert [(one.code, one.at_m) for one in material(store).sections] == [("S1b", 10.0), ("S2", 20.0)]


def test_more_defects_than_one_slice_are_all_there(store: Store) -> None:
    """However many: they are read in slices of their numbers."""
    store.commit([Entry([], {}, coils=[RECORD]), placed(*(placed_defect(number) for number in range(1001)))])

    assert len({one.defect_id for one in material(store).defects}) == 1001
    assert CoilRows(store.reader, store.reader.coil_runs("7731")[0]).count() == 1001
