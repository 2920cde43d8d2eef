"""`inspector.store.ledger`: which files are finished, and which the process died over."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import STAMP, FakeClock, entry
from stores import reopened

from inspector.store.entries import DoneMark, Entry
from inspector.store.store import Store
from inspector.store.work_list import WorkList


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(("0.jpg", STAMP.size_bytes, STAMP.mtime_ns), True, id="the same file"),
        pytest.param(("0.jpg", STAMP.size_bytes + 1, STAMP.mtime_ns), False, id="another size"),
        pytest.param(("0.jpg", STAMP.size_bytes, STAMP.mtime_ns + 1), False, id="another time"),
        pytest.param(("1.jpg", STAMP.size_bytes, STAMP.mtime_ns), False, id="another file"),
    ],
)
def test_ledger(store: Store, asked: tuple[str, int, int], expected: bool) -> None:
    """A file is done at the size and time at which it was committed, over restarts, and not otherwise."""
    store.commit([entry(0)])
    again = reopened(store)
    done = again.ledger.is_done(*asked)
    again.close()

    assert expected is done


def test_files_in_work_at_a_death_are_suspects(store: Store, tmp_path: Path) -> None:
    """What was in work when the process died is counted per death; what was finished before is not."""
    for name in ("a", "b", "c"):
        store.ledger.starting(name)
    store.commit([Entry([], {}, DoneMark("a", STAMP, "clean"))])
    once = reopened(store, clean=False)
    after_one = once.ledger.suspects()
    once.ledger.starting("b")
    twice = reopened(once, clean=False)
    after_two = twice.ledger.suspects()
    twice.commit([Entry([], {}, DoneMark("b", STAMP, "deadly"))])
    clean = reopened(twice)
    finally_ = clean.ledger.suspects()
    clean.close()

    assert (after_one, after_two, finally_) == ({"b": 1, "c": 1}, {"b": 2, "c": 1}, {"c": 1})


def test_a_clean_end_blames_nobody(store: Store) -> None:
    """A process that ends on purpose leaves no suspects, whatever it had begun."""
    store.ledger.starting("a")
    again = reopened(store, clean=True)
    suspects = again.ledger.suspects()
    again.close()

    assert suspects == {}


def test_a_torn_list_of_files_in_work_is_read_as_far_as_it_goes(store: Store) -> None:
    """A half-written last line, as a death leaves it, hides no other file."""
    store.ledger.starting("a")
    store.close(clean=False)
    with (store.folder / "in-work").open("ab") as file:
        file.write(b'+["b", 17')
    again = Store(store.folder, FakeClock())
    suspects = again.ledger.suspects()
    again.close()

    assert suspects == {"a": 1}


@pytest.mark.parametrize(
    ("worked_on_later", "expected"),
    [
        pytest.param(False, {}, id="died before it was struck off"),
        pytest.param(True, {"0.jpg": 1}, id="came again later"),
    ],
)
def test_a_committed_file_is_not_blamed(
    store: Store, clock: FakeClock, worked_on_later: bool, expected: dict[str, int]
) -> None:
    """A death between the commit and the list of files in work blames nobody; a new file of that name is blamed."""
    path = store.folder / "in-work"
    store.ledger.starting("0.jpg")
    as_it_was = path.read_bytes()
    clock.advance(1)
    store.commit([entry(0)])
    if worked_on_later:
        clock.advance(1)
        store.ledger.starting("0.jpg")
        as_it_was = path.read_bytes()
    store.close(clean=False)
    path.write_bytes(as_it_was)
    again = Store(store.folder, clock)
    suspects = again.ledger.suspects()
    again.close()

    assert expected == suspects


def test_the_list_of_files_in_work_stays_small(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With always a file in work, as in a long backlog, the list does not grow, and a death finds that file alone."""
    monkeypatch.setattr(WorkList, "MAX_BYTES", 2000)
    largest = 0
    for number in range(300):
        store.ledger.starting(f"{number + 1}.jpg")
        store.commit([Entry([], {}, DoneMark(f"{number}.jpg", STAMP, "clean"))])
        largest = max(largest, (store.folder / "in-work").stat().st_size)
    again = reopened(store, clean=False)
    suspects = again.ledger.suspects()
    again.close()

    assert largest < 2200
    assert suspects == {"300.jpg": 1}
