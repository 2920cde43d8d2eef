"""Archives of pictures inspected again: what a replay says, every picture once whatever dies, and two runs compared."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import duckdb
import pyarrow.parquet
import pytest
from peers import wait_for
from ray.cluster_utils import Cluster as Nodes
from typer.testing import CliRunner

from inspector.archive.compare import compare_archives
from inspector.archive.files import ArchivedFile, Place
from inspector.archive.order import Order, open_order
from inspector.archive.run import inspect_archive
from inspector.archive.worker import BlockInspector
from inspector.cli import app
from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile
from inspector.errors import ConfigError, SourceError, StoreError, WorkerError
from inspector.frame import Frame, Pixels
from inspector.inspection.one_frame import inspect_frame
from inspector.pictures.decode import decode_picture
from inspector.pictures.limits import MAX_FRAME_PX
from inspector.years.tables import SCHEMA_KEY

PROGRAM = [sys.executable, "-m", "inspector", "archive"]


def draw_archive(folder: Path, each: int) -> Path:
    """So many pictures a kind, each kind in a folder of its own, and one that is none."""
    for label in ("clean", *KINDS):
        (folder / label).mkdir(parents=True)
        for seed in range(each):
            cv2.imwrite(str(folder / label / f"{seed:03d}.png"), draw_tile(label, 300 + seed))
    (folder / "half.jpg").write_bytes(b"\xff\xd8\xff\xe0half a picture")
    return folder


def rows_of(output: Path, table: str) -> list[dict[str, Any]]:
    files = sorted(output.glob(f"{table}/station=*/day=*/*.parquet"))
    return [row for file in files for row in pyarrow.parquet.read_table(file, partitioning=None).to_pylist()]


def quiet(_: str) -> None:
    """Take no note of progress."""


def station_toml(folder: Path, pictures: Path, bundle: str = "neu-fast") -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'[station]\nsite = "mill"\nline = "line-1"\nname = "top"\n[source]\nkind = "folder"\npath = "{pictures}"\n'
        f'[model]\npath = "{bundle}"\n[store]\npath = "{folder / "state"}"\n'
    )
    return path


@pytest.mark.timeout(300)
def test_the_tables_say_what_a_replay_says(tmp_path: Path) -> None:
    """Ids, verdicts, labels, scores and boxes; a refused picture is a row with its reason, and the exit code 1."""
    pictures = draw_archive(tmp_path / "pictures", 3)
    config, output, replayed = station_toml(tmp_path, pictures), tmp_path / "out", tmp_path / "replay.jsonl"
    runner = CliRunner()
    options = ["--output", str(output), "--config", str(config), "--tiles"]
    done = runner.invoke(app, ["archive", "inspect", str(pictures), *options])
    assert runner.invoke(app, ["replay", str(pictures), "--config", str(config), "-o", str(replayed)]).exit_code == 0
    messages = [json.loads(line) for line in replayed.read_text("utf-8").splitlines()]

    assert done.exit_code == 1, done.output
    assert json.loads(done.stdout)["refused"] == 1
    frames = {row["id"]: row for row in rows_of(output, "frames")}
    said = {one["id"]: one for one in messages if one["schema"] == "inspector/frame/2"}
    keys = ("verdict", "reason", "label", "score", "defects", "tiles", "unknown_tiles", "bundle")
    assert {name: [row[key] for key in keys] for name, row in frames.items()} == {
        name: [one[key] for key in keys] for name, one in said.items()
    }
    defects = {row["id"]: row for row in rows_of(output, "defects")}
    found = {one["id"]: one for one in messages if one["schema"] == "inspector/defect/2"}
    assert len(found) >= 3 * (len(KINDS) - 1)
    box = ("x", "y", "width", "height")
    assert {name: ([row[key] for key in box], row["label"], row["score"]) for name, row in defects.items()} == {
        name: ([one["box_px"][key] for key in box], one["label"], one["score"]) for name, one in found.items()
    }
    assert len(rows_of(output, "tiles")) == sum(row["tiles"] for row in frames.values())
    (half,) = [row for row in frames.values() if row["verdict"] == "not_inspected"]
    assert (half["source_key"], half["reason"]) == ("half.jpg", "unreadable")
    assert {path.name for path in (output / "frames").iterdir()} == {"station=mill%2Fline-1%2Ftop"}


@pytest.mark.timeout(300)
def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """SIGKILL of the driver: finished blocks stay as they are, and in the end each picture is there once."""
    pictures, output = draw_archive(tmp_path / "pictures", 24), tmp_path / "out"
    command = [*PROGRAM, "inspect", str(pictures), "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as ran:
        wait_for(lambda: len(list(output.glob("_blocks/*.json"))) >= 2, "two blocks", 120)
        os.killpg(ran.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in output.glob("_blocks/*.json")}
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)

    assert (refused.returncode, "--resume goes on with it" in refused.stderr) == (78, True)
    assert resumed.returncode == 1, resumed.stderr  # one picture is none
    done = json.loads(resumed.stdout)
    assert done["found_done"] >= len(finished) >= 2
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    keys = sorted(row["source_key"] for row in rows_of(output, "frames"))
    assert keys == sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.*"))


@pytest.mark.timeout(300)
def test_a_node_that_is_lost_costs_nothing(tmp_path: Path) -> None:
    """Two nodes, the second one killed in the middle: every picture once, as a plain loop says it."""
    pictures, output = draw_archive(tmp_path / "pictures", 24), tmp_path / "out"
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)

    def lose_one() -> None:
        wait_for(lambda: len(list(output.glob("_blocks/*.json"))) >= 2, "two blocks", 120)
        nodes.remove_node(second, allow_graceful=False)

    loser = threading.Thread(target=lose_one)
    order = Order(str(output), None, "neu-fast", False)
    try:
        loser.start()
        done = inspect_archive([str(pictures)], order, nodes.address, False, quiet)
        loser.join()
    finally:
        nodes.shutdown()

    frames = {row["source_key"]: row for row in rows_of(output, "frames")}
    assert len(rows_of(output, "frames")) == len(frames) == done.frames == done.files
    opened = open_order(order)
    for key, row in frames.items():
        if key != "half.jpg":
            pixels = decode_picture((pictures / key).read_bytes(), name=key, max_px=MAX_FRAME_PX)
            plain = inspect_frame(_frame(pixels, key), opened.model.pool, opened.model.rules)
            assert [row["label"] or row["verdict"], row["defects"]] == [
                plain.published[0].label if plain.published else {"clean": "pass"}.get(plain.decision, plain.decision),
                len(plain.published),
            ]
    opened.model.pool.close()


def _frame(pixels: Pixels, key: str) -> Frame:
    return Frame(pixels, 1, 0, datetime.now(UTC), 0.0, key, key, independent=True)


def test_a_machine_with_another_bundle_is_refused(tmp_path: Path) -> None:
    """What is here differs from what the driver has: named, before anything is inspected."""
    order = Order(str(tmp_path), None, "neu-fast", False)
    opened = open_order(order)
    opened.model.pool.close()

    with pytest.raises(WorkerError, match=r"bundle [0-9a-f]{64} instead of ffff"):
        BlockInspector(order, dataclasses.replace(opened.prints, bundle="ffff"))


def test_a_block_over_which_a_worker_died_is_decoded_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker does not decode in its own process; the tables are those of any other block."""
    from inspector.archive import worker

    pictures = draw_archive(tmp_path / "pictures", 1)
    inspect = BlockInspector(Order(str(tmp_path / "out"), None, "neu-fast", False))
    (tmp_path / "out/_work").mkdir(parents=True)
    (tmp_path / "out/_work/block-000000.json").write_text("{}\n")
    monkeypatch.delattr(worker, "decode_picture")
    summary = inspect(0, list(Place(str(pictures)).pictures()))
    inspect.close()

    assert (summary["frames"], summary["refused"]) == (len(KINDS) + 2, 1)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("nowhere", "no such file, folder or bucket"),
        ("empty", "no picture in"),
        ("odd://bucket/key", "odd://bucket/key"),
    ],
)
def test_nothing_to_inspect_is_named(tmp_path: Path, path: str, error: str) -> None:
    """A folder that is not there, one without a picture, and an address of no file system."""
    (tmp_path / "empty").mkdir()
    given = path if "://" in path else str(tmp_path / path)

    with pytest.raises(SourceError, match=error):
        inspect_archive([given], Order(str(tmp_path / "out"), None, "neu-fast", False), None, False, quiet)


def test_a_full_disk_is_named_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that cannot be written leaves no summary and no half file."""
    pictures = draw_archive(tmp_path / "pictures", 1)
    files = list(Place(str(pictures)).pictures())
    inspect = BlockInspector(Order(str(tmp_path / "out"), None, "neu-fast", False))
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            inspect(0, files)
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    summary = inspect(0, files)
    inspect.close()

    assert left == []
    assert summary["frames"] == len(files)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The same pictures by two bundles, without a cluster."""
    folder = tmp_path_factory.mktemp("compared")
    pictures = draw_archive(folder / "pictures", 4)
    files = list(Place(str(pictures)).pictures())
    for bundle in ("neu-fast", "open-fast"):
        inspect = BlockInspector(Order(str(folder / bundle), None, bundle, True))
        inspect(0, files)
        inspect.close()
    return pictures, folder / "neu-fast", folder / "open-fast"


def test_what_another_bundle_changes_is_counted(two_runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Gained, lost and renamed are what a loop over both tables counts; the page shows the pictures."""
    _, first, second = two_runs
    page, report = tmp_path / "page.html", tmp_path / "report.json"
    done = CliRunner().invoke(
        app, ["archive", "compare", str(first), str(second), "--html", str(page), "--json", str(report)]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(report.read_text("utf-8"))
    a, b = ({row["source_key"]: row["label"] for row in rows_of(one, "frames")} for one in (first, second))

    assert found["pictures"] == len(a)
    assert found["gained"] == sum(b[key] is not None and a[key] is None for key in a)
    assert found["lost"] == sum(a[key] is not None and b[key] is None for key in a)
    assert found["renamed"] == sum(None not in (a[key], b[key]) and a[key] != b[key] for key in a)
    assert found["gained"] + found["lost"] + found["renamed"] > 0
    assert sum(row["before"] for row in found["labels"]) == sum(label is not None for label in a.values())
    text = page.read_text("utf-8")
    assert text.count("<figure>") == text.count("data:image/jpeg") == len(found["disagreements"])
    assert compare_archives(first, first).changes == []


def test_tables_of_another_version_are_refused(two_runs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """By the file's name; and a folder that holds none."""
    _, first, _ = two_runs
    other = tmp_path / "frames/station=none/day=2026-01-01"
    other.mkdir(parents=True)
    (file,) = first.glob("frames/station=*/day=*/*.parquet")
    table = pyarrow.parquet.read_table(file, partitioning=None)
    named = table.replace_schema_metadata({SCHEMA_KEY: "inspector/inspected/9"})
    pyarrow.parquet.write_table(named, other / "block-000000.parquet")

    with pytest.raises(StoreError, match=r"block-000000.parquet: not inspector/inspected/1"):
        compare_archives(first, tmp_path)
    with pytest.raises(ConfigError, match="no frames in it"):
        compare_archives(first, tmp_path / "empty")


def test_duckdb_reads_the_tables_by_station_and_day(two_runs: tuple[Path, Path, Path]) -> None:
    """As any program would: partitions are columns."""
    _, first, _ = two_runs
    query = f"SELECT DISTINCT station, typeof(day) FROM read_parquet('{first}/tiles/**/*.parquet')"

    assert duckdb.sql(query).fetchall() == [("none", "DATE")]


def test_a_strip_is_one_unit_in_its_order(tmp_path: Path) -> None:
    """A file of lines gives the frames and defects that `inspector replay` gives of it."""
    from inspector.box import Box
    from inspector.drawn.spec import StripSpec
    from inspector.drawn.strip import Strip

    lines, config, replayed = tmp_path / "strip.raw", tmp_path / "lines.toml", tmp_path / "replay.jsonl"
    lines.write_bytes(Strip(StripSpec(3, 800, defects_per_m=2.0)).region(Box(0, 0, 800, 2000)).tobytes())
    config.write_text(
        f'[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "lines"\npath = "{lines}"\nwidth_px = 800\n'
        f'[store]\npath = "{tmp_path / "state"}"\n[events]\nframe_messages = true\n'
    )
    assert CliRunner().invoke(app, ["replay", str(lines), "--config", str(config), "-o", str(replayed)]).exit_code == 0
    messages = [json.loads(line) for line in replayed.read_text("utf-8").splitlines()]
    found = lines.stat()
    inspect = BlockInspector(Order(str(tmp_path / "out"), str(config), "neu-fast", False))
    inspect(0, [ArchivedFile(str(lines), lines.name, found.st_size, found.st_mtime_ns)])
    inspect.close()

    last = {one["defect_id"]: one for one in messages if one["schema"] == "inspector/defect/2"}
    rows = {row["defect_id"]: row for row in rows_of(tmp_path / "out", "defects")}
    assert {key: (row["label"], row["score"], row["line"]) for key, row in rows.items()} == {
        key: (one["label"], one["score"], one["line"]) for key, one in last.items()
    }
    assert len(rows) > 0
    assert len(rows_of(tmp_path / "out", "frames")) == sum(one["schema"] == "inspector/frame/2" for one in messages)
