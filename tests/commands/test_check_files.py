"""`inspector check` and the message files: where they would lie, and whether they could be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.commands.check import check_files


def write_station(folder: Path, name: str, jsonl: str) -> Path:
    """A station of its own without a broker and a listener."""
    path = folder / f"{name}.toml"
    path.write_text(
        f'[station]\nsite = "s"\nline = "l"\nname = "{name}"\n[source]\nkind = "demo"\n[mqtt]\nenabled = false\n'
        f'[http]\nenabled = false\n[store]\npath = "{folder / name}"\n[jsonl]\n{jsonl}\n'
    )
    return path


@pytest.mark.parametrize(
    ("jsonl", "code", "said"),
    [
        pytest.param("", 0, None, id="switched off"),
        pytest.param("enabled = true", 0, "jsonl: files in {folder}/cam/jsonl", id="in the store's folder"),
        pytest.param(
            'enabled = true\npath = "{folder}/out/lines"',
            0,
            "jsonl: files in {folder}/out/lines",
            id="a folder to make",
        ),
        pytest.param(
            'enabled = true\npath = "{folder}/file/lines"',
            1,
            "jsonl.path: {folder}/file/lines cannot be written: {folder}/file is not writable for this user",
            id="below a file",
        ),
    ],
)
def test_the_folder_of_the_files_is_checked(tmp_path: Path, jsonl: str, code: int, said: str | None) -> None:
    """Where the files would lie is said; where they could not, the station would start and wait: exit 1."""
    (tmp_path / "file").write_text("")
    (report,) = check_files([write_station(tmp_path, "cam", jsonl.format(folder=tmp_path))])
    found = [line for line in (*report.good, *report.unreachable) if line.startswith("jsonl")]

    assert (report.exit_code, found) == (code, [] if said is None else [said.format(folder=tmp_path)])


def test_two_stations_share_no_folder_of_files(tmp_path: Path) -> None:
    """Each would delete and continue the other's."""
    jsonl = f'enabled = true\npath = "{tmp_path / "lines"}"'
    reports = check_files([write_station(tmp_path, name, jsonl) for name in ("a", "b")])

    assert [report.exit_code for report in reports] == [0, 78]
    assert reports[1].refused == [
        f"{tmp_path / 'b.toml'}: the same folder of message files as {tmp_path / 'a.toml'}: {tmp_path / 'lines'}"
    ]
