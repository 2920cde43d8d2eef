"""`inspector.store.ledger`: which files are finished, and which the process died over."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import STAMP, FakeClock, entry
from stores import reopened

from inspector.frame import FinishedFile
from inspector.store.entries import DoneMark, Entry
from inspector.store.store import Store
from inspector.store.work_list import WorkList


def test_a_finished_file_is_remembered(store: Store) -> None:
    """With size, times, inode, content and what became of it, over restarts."""
    stamp = STAMP._replace(inode=-7, changed_ns=8)
    store.commit([Entry([], {}, DoneMark("a", stamp, "clean", "ab")), Entry([], {}, DoneMark("b", STAMP, "deadly"))])
    again = reopened(store)
    found = [again.ledger.find(name) for name in "abc"]
    again.close()

    assert found == [FinishedFile(stamp, "ab", refused=False), FinishedFile(STAMP, None, refused=True), None]


def test_a_confirmed_file_has_its_new_stamp(store: Store) -> None:
    """Unless another picture of this name was finished meanwhile."""
    new = STAMP._replace(inode=9, changed_ns=10)
    store.commit([Entry([], {}, DoneMark(name, STAMP, "clean", "ab")) for name in "ab"])
    store.commit([Entry([], {}, DoneMark("b", STAMP._replace(mtime_ns=5), "clean", "cd"))])
    store.ledger.confirm([("a", new, "ab"), ("b", new, "ab"), ("c", new, "ab")])
    found = [store.ledger.find(name) for name in "abc"]

    assert [row and (row.stamp, row.digest) for row in found] == [
        (new, "ab"), (STAMP._replace(mtime_ns=5), "cd"), None,
    ]  # fmt: skip


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
