"""`inspector.store.set_aside`: what a broker does not take survives, is tried again, and is reported by count."""

from __future__ import annotations

from fakes import FakeClock, entry
from stores import reopened

from inspector.store.backup import begin_anew
from inspector.store.database import DATABASE
from inspector.store.entries import OutboxRow
from inspector.store.forget import forget
from inspector.store.rows import SHIFT, TRIED_VALUE, is_whole_value
from inspector.store.set_aside import AsideReport, SetAside
from inspector.store.store import Store


def row(seq: int, size: int = 2) -> OutboxRow:
    return OutboxRow(seq, "defect", b"x" * size, 5)


def test_what_was_set_aside_survives_a_death(store: Store, clock: FakeClock) -> None:
    """Each sink has its own; what has arrived goes."""
    aside = SetAside(store.database, clock, "mqtt")
    for seq in (7, 3, 9):
        aside.add(row(seq), "too long")
    SetAside(store.database, clock, "other").add(row(1), "refused")
    aside.remove(3)
    again = reopened(store, clean=False)
    found = SetAside(again.database, clock, "mqtt").count(), SetAside(again.database, clock, "other").count()
    again.close()

    assert found == (2, 1)


def test_each_is_tried_once_in_a_round(store: Store, clock: FakeClock) -> None:
    """In their order, with the bytes that they had; a round that a death cuts off goes on behind the one it was at."""
    aside = SetAside(store.database, clock, "mqtt")
    for seq in (7, 3, 9):
        aside.add(row(seq), "too long")
    round_ms = 1 << 50
    tried = [aside.next_to_try(round_ms), aside.next_to_try(round_ms)]
    later = SetAside(store.database, clock, "mqtt")
    tried += [later.next_to_try(round_ms), later.next_to_try(round_ms)]

    assert tried == [row(3), row(7), row(9), None]
    assert later.next_to_try(round_ms + 1) == row(3)


def test_it_is_reported_once_by_count(store: Store, clock: FakeClock) -> None:
    """First and last number, the count, and the last reason; a report of a loss is not reported itself."""
    aside = SetAside(store.database, clock, "mqtt")
    for seq in (4, 5, 8):
        aside.add(row(seq), f"reason {seq}")
    aside.add(row(9), "refused", reported=True)
    reports = [aside.take_report(), aside.take_report()]
    aside.add(row(5), "again")

    assert reports == [AsideReport(4, 8, 3, "reason 8"), None]
    assert aside.take_report() is None


def test_the_oldest_go_when_there_are_too_many(store: Store, clock: FakeClock) -> None:
    """The list is bounded by bytes; what goes stays in the records."""
    aside = SetAside(store.database, clock, "mqtt", limit_bytes=1000)
    for seq in range(1, 8):
        aside.add(row(seq, 300), "too long")

    assert aside.count() == 3
    assert aside.next_to_try(1 << 50) == row(5, 300)


def test_what_is_forgotten_is_forgotten_here_too(store: Store, clock: FakeClock) -> None:
    """`forget` reaches the list."""
    aside = SetAside(store.database, clock, "mqtt")
    bodies = store.commit([entry(0, "crack")])
    aside.add(row(bodies[0].seq), "too long")
    aside.add(row(bodies[-1].seq + 1), "of another time")
    forget(store.database, 0, 1 << 50, bodies[-1].seq)

    assert aside.count() == 1


def test_it_keeps_apart_from_the_numbers_of_a_restored_store(store: Store, clock: FakeClock) -> None:
    """A store that counts anew after a restore gives its numbers to other messages: the list has none of them."""
    SetAside(store.database, clock, "mqtt").add(row(3), "too long")
    store.close()
    begin_anew(store.folder / DATABASE)
    again = Store(store.folder, clock)
    found = SetAside(again.database, clock, "mqtt").next_to_try(1 << 50)
    again.close()

    assert found == OutboxRow(3 - SHIFT, "defect", b"xx", 5)


def test_when_it_was_tried_is_no_damage() -> None:
    """The value in which that is kept is saved from a broken store like others."""
    values = [is_whole_value((f"mqtt{TRIED_VALUE}", value)) for value in ('{"at_ms": 5, "key": "k"}', "[", 7)]

    assert values == [True, False, False]
