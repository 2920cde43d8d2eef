"""`inspector.store.store`: one transaction per commit, numbers without gaps, and a death loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import STAMP, FakeClock, entry
from stores import reopened

import inspector
from inspector.drafts import Draft
from inspector.errors import StoreBusyError
from inspector.faults import CRASH_POINTS
from inspector.frame import FinishedFile
from inspector.messages import Evidence
from inspector.store.entries import Candidate, DoneMark, Entry
from inspector.store.store import Store

SINK = "mqtt"


def test_a_commit_leaves_messages_outbox_and_ledger(store: Store) -> None:
    """Messages come back numbered from 1, wait in the outbox as the same bytes, and their file is done."""
    bodies = store.commit([entry(0, "crack"), entry(1)])
    rows = store.outbox.pending(0, 10)

    assert [row.topic for row in rows] == ["defect", "alarm", "frame", "frame"]
    assert [1, 2, 3, 4] == [body.seq for body in bodies] == [row.seq for row in rows]
    assert {store.store_id} == {body.store_id for body in bodies}
    assert [json.loads(row.payload) for row in rows] == [body.model_dump(mode="json", by_alias=True) for body in bodies]
    assert store.ledger.find("0.jpg") == FinishedFile(STAMP, None, refused=False)
    assert store.reader.counts() == {"defect": 1, "alarm": 1, "frame": 2}


def test_a_message_is_stored_once(store: Store) -> None:
    """A message whose id is known is left out, in the same commit and in a later one; numbers stay without gaps."""
    first = store.commit([entry(0, "crack"), entry(0, "crack")])
    again = store.commit([entry(0, "crack"), entry(1)])

    assert ([body.seq for body in first], [body.seq for body in again]) == ([1, 2, 3], [4])
    assert store.reader.counts() == {"defect": 1, "alarm": 1, "frame": 2}


def test_evidence_is_written_into_the_message(store: Store) -> None:
    """A defect message carries the evidence that was kept under its id, and only that one."""
    one = entry(0, "crack", "hole")
    wanted = one.drafts[0].body.id
    bodies = store.commit([Entry(one.drafts, {wanted: Evidence(sha256="ab", url="/evidence/x.jpg")})])
    expected = {"sha256": "ab", "url": "/evidence/x.jpg"}

    assert [expected, {"sha256": None, "url": None}] == [
        json.loads(row.payload)["evidence"] for row in store.outbox.pending(0, 9) if row.topic == "defect"
    ]
    assert wanted == bodies[0].id


def test_a_fault_in_the_middle_leaves_nothing(store: Store) -> None:
    """When one message of a commit cannot be stored, none of it is: no message, no number, no done-mark."""
    good = entry(0, "crack")
    bad = Draft(entry(1).drafts[0].body.model_copy(update={"score": float("nan")}))
    state = store.outbox.outbox_state(SINK)
    with pytest.raises(ValueError, match="JSON compliant"):
        store.commit([good, Entry([bad], {}, DoneMark("1.jpg", STAMP, "clean"))])

    assert (store.outbox.pending(0, 9), store.reader.counts(), store.ledger.find("0.jpg")) == (
        [],
        {},
        None,
    )
    assert state == store.outbox.outbox_state(SINK)
    assert [body.seq for body in store.commit([good])] == [1, 2, 3]


def test_a_full_disk_leaves_nothing_and_passes(store: Store) -> None:
    """A disk that is full refuses the whole commit with StoreBusyError; with room again, the same commit works."""
    pages = store.database.connection.execute("PRAGMA page_count").fetchone()[0]
    store.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [entry(number, "crack", "hole", "rust") for number in range(40)]
    with pytest.raises(StoreBusyError, match="full"):
        store.commit(many)
    empty = (store.outbox.pending(0, 9), store.outbox.outbox_state(SINK).messages)
    store.database.connection.execute("PRAGMA max_page_count = 100000")
    bodies = store.commit(many)

    assert empty == ([], 0)
    assert list(range(1, len(bodies) + 1)) == [body.seq for body in bodies]


def test_numbers_and_epochs_go_on_after_a_restart(store: Store) -> None:
    """One store numbers its messages without gaps and never gives an epoch twice, over any number of starts."""
    seqs, epochs, ids = list[int](), list[int](), set[str]()
    for number in range(4):
        epochs += [store.notes.next_epoch(), store.notes.next_epoch()]
        seqs += [body.seq for body in store.commit([entry(number, "crack")])]
        ids.add(store.store_id)
        store = reopened(store, clean=bool(number % 2))
    store.close()

    assert list(range(1, 13)) == seqs
    assert list(range(1, 9)) == epochs
    assert len(ids) == 1


def test_candidates_are_kept(store: Store) -> None:
    """Findings under their thresholds are stored, and are nobody's message."""
    store.commit([entry(0, candidates=[Candidate(1, 1, 0, "0.jpg", "crack", 0.4, 0, 0, 9, 9, "b")])])

    assert store.database.connection.execute("SELECT label, score FROM candidates").fetchall() == [("crack", 0.4)]
    assert store.reader.counts() == {"frame": 1}


def test_closing_twice_is_closing_once(store: Store) -> None:
    """A second close touches nothing: its lock's number may belong to another file by then."""
    store.close()
    other = os.open(store.folder, os.O_RDONLY)
    store.close()
    os.close(other)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fakes import FakeClock, entry
from inspector.errors import StoreBusyError
from inspector.faults import crash_point
from inspector.store.store import Store
from inspector.store.work_list import WorkList
store = Store(Path(sys.argv[1]), FakeClock())
for number in range(10):
    if store.ledger.find(f"{number}.jpg"):
        continue
    store.ledger.starting(f"{number}.jpg")
    one = entry(number, "crack")
    crash_point("commit.before")
    store.commit([one])
    crash_point("commit.after")
    print(number, flush=True)
store.close()
"""


def run_child(folder: Path, crash_at: str | None) -> subprocess.CompletedProcess[str]:
    """Ten stills in a process of their own, which dies at a point, or does not."""
    environ = {name: value for name, value in os.environ.items() if name != "INSPECTOR_CRASH_AT"}
    if crash_at:
        environ["INSPECTOR_CRASH_AT"] = crash_at
    arguments = [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parents[1] / "support")]
    return subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=60, check=False)


def expected_messages() -> list[str]:
    return sorted(draft.body.id for number in range(10) for draft in entry(number, "crack").drafts)


@pytest.mark.parametrize(
    ("point", "blamed"),
    [
        pytest.param("commit.before", True, id="before the commit"),
        pytest.param("commit.inside", True, id="inside the transaction"),
        pytest.param("commit.after", False, id="after the commit"),
    ],
)
def test_a_kill_at_any_point_loses_and_repeats_nothing(tmp_path: Path, point: str, blamed: bool) -> None:
    """Killed at a commit and started again: every message once, numbers without gaps, and the file in work blamed."""
    died = run_child(tmp_path, f"{point}:3")
    store = Store(tmp_path, FakeClock())
    suspects = store.ledger.suspects()
    store.close()
    lived = run_child(tmp_path, None)
    store = Store(tmp_path, FakeClock())
    rows, after = store.outbox.pending(0, 99), store.ledger.suspects()
    store.close()

    assert (died.returncode, lived.returncode) == (-signal.SIGKILL, 0)
    assert ({"2.jpg": 1} if blamed else {}) == suspects
    assert expected_messages() == sorted(json.loads(row.payload)["id"] for row in rows)
    assert list(range(1, 31)) == [row.seq for row in rows]
    assert after == {}


def test_a_strange_crash_point_is_refused(tmp_path: Path) -> None:
    """A fault test that names a point that is not there fails at once instead of testing nothing."""
    done = run_child(tmp_path, "commit.somewhere")

    assert done.returncode == 1
    assert "INSPECTOR_CRASH_AT: unknown crash point: commit.somewhere" in done.stderr


def test_every_crash_point_is_somewhere() -> None:
    """The points that the code passes are exactly the ones that are declared, each at one place."""
    package = Path(inspector.__file__).parent
    found = [
        name
        for path in sorted(package.rglob("*.py"))
        for name in re.findall(r'^ +crash_point\("([^"]+)"\)', path.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert sorted(CRASH_POINTS) == sorted(found)
