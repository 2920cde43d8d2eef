"""The commands that need no peer: what they print, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile

PROGRAM = (sys.executable, "-m", "inspector")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        pytest.param(["--version"], 0, "inspector ", id="version"),
        pytest.param(["run"], 2, "--config", id="missing option"),
        pytest.param(["inspect"], 2, "inspect", id="unknown command"),
        pytest.param(["run", "--config", "/nowhere.toml"], 78, "/nowhere.toml", id="no configuration"),
        pytest.param(["classify", "--model", "/nowhere", "x.png"], 78, "/nowhere", id="no bundle"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, named: str) -> None:
    """0 is good, 2 a wrong command line, 78 a refused file; each says what it means."""
    done = run(*arguments)

    assert code == done.returncode
    assert named in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_to_do_is_no_success(tmp_path: Path) -> None:
    """A folder without pictures, and an output that cannot be written, are said in one line and exit 1."""
    (tmp_path / "notes.txt").write_text("no picture")
    cv2.imwrite(str(tmp_path / "frame.png"), draw_tile("clean", 3))
    config = tmp_path / "station.toml"
    config.write_text('[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n')
    empty = tmp_path / "empty"
    empty.mkdir()
    calls = [
        (run("classify", empty), "no pictures in"),
        (
            run("replay", empty, "--config", config, "--output", tmp_path / "out.jsonl"),
            "nothing to replay: no frame in",
        ),
        (run("replay", tmp_path, "--config", config, "--output", "/nowhere/out.jsonl"), "/nowhere/out.jsonl"),
        (run("replay", tmp_path, "--config", config, "-o", tmp_path), f"inspector: {tmp_path}: is a folder, the name"),
        (run("replay", tmp_path, "--config", config, "-o", config / "x"), f"inspector: {config / 'x'}: Not a direct"),
    ]

    for done, named in calls:
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert named in done.stderr
        assert "Traceback" not in done.stderr
        assert ".partial" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_classify_prints_a_row_per_picture_and_fails_at_the_end(tmp_path: Path) -> None:
    """Directories expand sorted, `path` is the argument verbatim, a refused file is a row, the exit code is then 1."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number, label in enumerate(KINDS):
        cv2.imwrite(str(folder / f"{number}.png"), draw_tile(label, 77))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    wide = tmp_path / "wide.png"
    cv2.imwrite(str(wide), np.hstack([draw_tile("clean", 5), draw_tile("clean", 6), draw_tile("clean", 7)]))
    done = run("classify", folder, wide)
    rows = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 1
    assert [*(str(folder / f"{n}.png") for n in range(6)), str(folder / "broken.jpg"), str(wide)] == [
        row["path"] for row in rows
    ]
    assert {"path", "error", "reason"} == set(rows[6])
    assert rows[6]["reason"] == "unreadable"
    for row in (*rows[:6], rows[7]):
        assert {"path", "label", "top", "score", "scores", "box_px", "reference", "tiles"} == set(row)
        assert row["score"] == row["scores"][row["top"]] == max(row["scores"].values())
        assert abs(sum(row["scores"].values()) - 1) < 0.001
    assert [len(row["tiles"]) for row in rows[:6]] == [1] * 6
    assert len(rows[7]["tiles"]) == 3


def test_probe_shows_what_a_folder_delivers(tmp_path: Path) -> None:
    """Size, channels and number of frames; the files stay, and nothing is stored."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for seed in range(3):
        cv2.imwrite(str(folder / f"{seed}.png"), draw_tile("clean", seed))
    config = tmp_path / "station.toml"
    config.write_text(
        f'[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "{folder}"\nsettle_s = 0\n'
    )
    done = run("probe", "--config", config, "--seconds", "3", "--json")
    result = json.loads(done.stdout)

    assert done.returncode == 0
    assert tuple(result[key] for key in ("frames", "sizes_px", "channels", "policy")) == (
        3,
        "200x200",
        "grey",
        "lossless",
    )
    assert len(list(folder.iterdir())) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "station.toml"]


def test_bench_stands_beside_the_bare_interpreter() -> None:
    """Both rates come from one run, and the ratio is what is to be compared."""
    result = json.loads(run("bench", "--seconds", "2", "--workers", "1", "--json").stdout)

    assert result["tiles_per_s"] > 0
    assert 0 < result["defects_tiles_per_s"] < result["tiles_per_s"]
    assert result["taught_ratio"] > 0
    assert result["at_once_ratio"] > 0.9
    assert 0.1 < result["ratio"] < 1.3
    assert result["line_m_per_s"] == pytest.approx(result["mpx_per_s"] / 4, rel=0.02)
