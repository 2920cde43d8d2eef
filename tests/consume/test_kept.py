"""`inspector.consume.kept`: files that have every message once, whatever happens to the process that writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.consume.intake import Arrival, read_arrival
from inspector.consume.kept import Kept, open_kept
from inspector.errors import SourceError


def arrival(seq: int, topic: str = "defect", **more: object) -> Arrival:
    body = {"id": f"0000000{seq}-0000-5000-8000-000000000000", "store_id": "s", "seq": seq, "text": "Ω"} | more
    found = read_arrival(f"a/b/{topic}", json.dumps(body).encode())
    assert found is not None
    return found


LOSS = arrival(9, "coverage", cause="messages_lost", sink="mqtt", first_seq=3, last_seq=4)


@pytest.fixture(params=["kept.sqlite3", "kept.jsonl"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


@pytest.fixture
def kept(path: Path) -> Iterator[Kept]:
    kept = open_kept(path)
    yield kept
    kept.close()


def test_what_was_kept_is_known_again(path: Path, kept: Kept) -> None:
    """Ids, numbers and reported losses survive the process."""
    kept.add([arrival(1), arrival(2)])
    kept.add([arrival(5), LOSS])
    again = open_kept(path)
    known = [again.has(one.id) for one in (arrival(1), arrival(5), LOSS, arrival(3))]
    numbers = {seq for _, _, first, last in again.stretches() for seq in range(first, last + 1)}
    losses = [one.lost for one in again.losses()]
    again.close()

    assert (known, numbers, losses) == ([True, True, True, False], {1, 2, 5, 9}, [(3, 4)])


def test_lines_in_order_are_one_stretch(tmp_path: Path) -> None:
    """A file of very many lines is remembered by its holes, not by its lines."""
    path = tmp_path / "kept.jsonl"
    first = open_kept(path)
    first.add([arrival(seq) for seq in (1, 2, 3, 5, 6, 4, 7)])
    first.close()
    again = open_kept(path)
    again.close()

    assert [stretch[2:] for stretch in again.stretches()] == [(1, 3), (5, 6), (4, 4), (7, 7)]


def test_a_line_that_a_death_cut_off_goes(tmp_path: Path) -> None:
    """What was half written was not acknowledged: it comes again, and the file stays whole lines."""
    path = tmp_path / "kept.jsonl"
    first = open_kept(path)
    first.add([arrival(1)])
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    again = open_kept(path)
    again.add([arrival(2)])
    again.close()
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    assert [line["payload"]["seq"] for line in lines] == [1, 2]
    assert {line["topic"] for line in lines} == {"a/b/defect"}


@pytest.mark.parametrize("name", ["kept.sqlite3", "kept.jsonl"])
def test_a_file_of_something_else_is_refused_as_it_is(tmp_path: Path, name: str) -> None:
    """A wrong name on the command line costs no file."""
    path = tmp_path / name
    path.write_text("minutes of the meeting\n" * 100)
    before = path.read_bytes()
    with pytest.raises(SourceError, match=name):
        open_kept(path)

    assert path.read_bytes() == before


def test_a_payload_on_several_lines_is_one_line(tmp_path: Path) -> None:
    """A foreign publisher's line ends do not break the file."""
    path = tmp_path / "kept.jsonl"
    kept = open_kept(path)
    spread = read_arrival("a/b/defect", json.dumps({"id": "i", "store_id": "s", "seq": 1}, indent=1).encode())
    assert spread is not None
    kept.add([spread])
    kept.close()

    assert len(path.read_text().splitlines()) == 1
