"""`inspector.store.coils`: which coils ran, over restarts and programs."""

from __future__ import annotations

import json

from stores import reopened

from inspector.store.coils import Coil
from inspector.store.store import Store


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
