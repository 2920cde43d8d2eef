"""`inspector.sinks.line_files`: whole lines in numbered files, whatever becomes of the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inspector.sinks.line_files import LineFiles


def lines(first: int, last: int) -> list[bytes]:
    """Lines of ten bytes."""
    return [b"line %04d\n" % number for number in range(first, last + 1)]


def append(files: LineFiles, content: list[bytes]) -> None:
    """Append all of them, however many files that takes."""
    while content:
        content = content[files.append(content) :]


def there(folder: Path) -> dict[str, int]:
    """Names in the folder, each with its number of lines."""
    return {path.name: path.read_bytes().count(b"\n") for path in sorted(folder.iterdir())}


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@pytest.mark.parametrize(
    ("rotate_bytes", "keep_files", "found"),
    [
        pytest.param(1000, 3, {"messages-000000001.jsonl": 9}, id="one file"),
        pytest.param(
            40, 3, {"messages-000000001.jsonl": 4, "messages-000000002.jsonl": 4, "messages-000000003.jsonl": 1},
            id="the next file begins where a line would not fit",
        ),
        pytest.param(40, 2, {"messages-000000002.jsonl": 4, "messages-000000003.jsonl": 1}, id="the oldest goes"),
        pytest.param(20, 1, {"messages-000000005.jsonl": 1}, id="only the newest stays"),
        pytest.param(
            5, 2, {"messages-000000008.jsonl": 1, "messages-000000009.jsonl": 1},
            id="a line that fits no file has one of its own",
        ),
    ],
)  # fmt: skip
def test_files_are_rotated_by_size(tmp_path: Path, rotate_bytes: int, keep_files: int, found: dict[str, int]) -> None:
    """No file grows beyond its size, and no more are kept than asked for; nothing else lies in the folder."""
    files = LineFiles(tmp_path / "a" / "b", rotate_bytes, keep_files)
    append(files, lines(1, 5))
    append(files, lines(6, 9))

    assert there(tmp_path / "a" / "b") == found


def test_what_lies_in_the_folder_beside_its_files_stays(tmp_path: Path) -> None:
    """Files of other names are neither counted, nor written, nor deleted."""
    for name in ("notes.jsonl", "messages-1.jsonl", "messages-000000001.jsonl.gz", "messages-000000007.json"):
        (tmp_path / name).write_bytes(b"mine\n")
    files = LineFiles(tmp_path, 20, 1)
    append(files, lines(1, 5))

    assert set(there(tmp_path)) == {
        "notes.jsonl", "messages-1.jsonl", "messages-000000001.jsonl.gz", "messages-000000007.json",
        "messages-000000003.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        pytest.param(b"", b"", id="an empty file"),
        pytest.param(b"whole\n", b"whole\n", id="whole lines"),
        pytest.param(b"whole\nhal", b"whole\n", id="half a line at the end"),
        pytest.param(b"hal", b"", id="half a line only"),
        pytest.param(b"whole\n" + b"x" * 200_000, b"whole\n", id="a long half"),
        pytest.param(b"whole\n" + b"\0" * 5000, b"whole\n", id="what a power cut leaves of a file that grew"),
    ],
)
def test_half_a_line_is_cut_off(tmp_path: Path, left: bytes, kept: bytes) -> None:
    """A machine that died while it wrote leaves whole lines: the rest is written again by whoever knows it."""
    (tmp_path / "messages-000000004.jsonl").write_bytes(left)
    LineFiles(tmp_path, 1 << 20, 5).append(lines(1, 2))

    assert (tmp_path / "messages-000000004.jsonl").read_bytes() == kept + b"".join(lines(1, 2))


@pytest.mark.parametrize("gone", ["file", "folder", "moved", "emptied"])
def test_files_that_are_taken_away_are_begun_anew(tmp_path: Path, gone: str) -> None:
    """Whoever deletes or moves a file, or the folder, gets the next lines in a new one."""
    folder = tmp_path / "messages"
    files = LineFiles(folder, 1000, 5)
    append(files, lines(1, 2))
    path = folder / "messages-000000001.jsonl"
    if gone == "moved":
        path.rename(tmp_path / "archived")
    elif gone == "emptied":
        os.truncate(path, 0)
    else:
        path.unlink()
        if gone == "folder":
            folder.rmdir()
    append(files, lines(3, 4))

    assert content(folder) == b"".join(lines(3, 4))


def test_a_failed_append_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk nothing of the batch stays, so that tries without success take no room; then all is written."""
    files = LineFiles(tmp_path, 1000, 5)
    append(files, lines(1, 2))
    write = os.write
    room = [15]

    def full(fd: int, data: bytes) -> int:
        count = min(room[0], len(data))
        room[0] -= count
        if not count:
            raise OSError(28, "No space left on device")
        return write(fd, data[:count])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        files.append(lines(3, 9))
    after = content(tmp_path)
    room[0] = 1000
    append(files, lines(3, 9))

    assert (after, content(tmp_path)) == (b"".join(lines(1, 2)), b"".join(lines(1, 9)))
