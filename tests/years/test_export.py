"""`inspector export`, `archive`, `pareto`: what was stored, as files, once, with what was moved away."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import NOON, FakeClock, inspected, make_defect, make_frame, track_rules

from inspector.box import Box
from inspector.clock import to_timestamp_ms
from inspector.commands.coil_reports import find_report
from inspector.commands.years import export as export_door
from inspector.errors import ConfigError, StoreBusyError
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.store.archived import delete_archived, receipts
from inspector.store.entries import Entry
from inspector.store.reviews import Review
from inspector.store.store import Store
from inspector.track.state import TrackState
from inspector.track.track import track
from inspector.years import files
from inspector.years.answers import count_defects
from inspector.years.asking import Archive
from inspector.years.export import export
from inspector.years.gather import Period
from inspector.years.mover import move_coils
from inspector.years.pareto import as_svg, as_table, pareto

NOON_MS = to_timestamp_ms(NOON)
DAY_MS = 86_400_000
ALL = Period(0, 1 << 45)
COILS = ("C1", "C2", "C3")
FRAMES, LABELS = 12, ("crack", "hole")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cam.toml"
    path.write_text(
        '[station]\nsite = "site"\nline = "line"\nname = "cam"\n[source]\nkind = "demo"\n'
        f'[store]\npath = "{tmp_path / "state"}"\narchive_after_days = 1\n[mqtt]\nenabled = false\n'
        '[plant]\ntimezone = "Europe/Berlin"\ncrews = ["A", "B"]\n'
        'shifts = {day = ["06:00", "18:00"], night = ["18:00", "06:00"]}\n'
    )
    return path


@pytest.fixture
def settings(config: Path) -> Settings:
    return load_settings(config).settings


def coil_entry(number: int, coil: str, hours: float) -> Entry:
    frame = make_frame(
        number, independent=True, source_key=f"{number}.jpg", captured_at=NOON + timedelta(hours=hours, seconds=number)
    )
    found = inspected(frame, *[make_defect(label) for label in LABELS])
    return Entry(track(TrackState(coil_id=coil), found, track_rules())[1], {})


@pytest.fixture
def store(tmp_path: Path, settings: Settings, clock: FakeClock) -> Iterator[Store]:
    """Three coils, 7 h apart, of twelve stills with a crack and a hole each; the third has not ended."""
    store = Store(tmp_path / "state", clock)
    store.outbox.enable(())
    for number, coil in enumerate(COILS):
        store.coils.change(coil, NOON_MS + number * 7 * 3_600_000, {"product": f"P{number % 2}"})
        store.commit([coil_entry(100 * number + one, coil, 7 * number) for one in range(FRAMES)])
    yield store
    store.close()


def tables_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        table: [
            row for path in sorted(folder.glob(f"{table}/*/*/*.parquet")) for row in pq.read_table(path).to_pylist()
        ]
        for table in ("frames", "defects", "coils")
    }


def test_an_export_has_a_row_each(store: Store, settings: Settings, config: Path, tmp_path: Path) -> None:
    """Frames, defects and coils by station and day, with types, coil, product, shift and crew; again gives the same."""
    done = export(settings, config, ALL, "parquet", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet")}
    again = export(settings, config, ALL, "parquet", tmp_path / "out")
    rows = tables_of(tmp_path / "out")
    days = {path.parent.name for path in (tmp_path / "out").glob("coils/station=site%2Fline%2Fcam/*/*.parquet")}

    assert (done.rows, again) == ({"frames": 36, "defects": 72, "coils": 3}, done)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet")} == before
    assert days == {"date=2026-03-01", "date=2026-03-02"}
    assert [(one["coil_id"], one["product"], one["shift"], one["crew"], one["defects"]) for one in rows["coils"]] == [
        ("C1", "P0", "day", "A", 24), ("C2", "P1", "night", "B", 24), ("C3", "P0", "night", "B", 24),
    ]  # fmt: skip
    assert {(one["label"], one["product"]) for one in rows["defects"] if one["coil_id"] == "C2"} == {
        ("crack", "P1"), ("hole", "P1"),
    }  # fmt: skip
    assert rows["defects"][0]["captured_at"] == NOON
    schema = pq.read_schema(next((tmp_path / "out").glob("defects/*/*/*.parquet")))
    assert (schema.field("position_m").type, schema.metadata[b"inspector.schema"]) == (
        pa.float64(), b"inspector/archive/1",
    )  # fmt: skip


def test_csv_needs_no_extra(store: Store, config: Path, tmp_path: Path) -> None:
    """With the library away, CSV is written and Parquet is refused with what to install."""
    code = "import sys; sys.modules['pyarrow'] = sys.modules['duckdb'] = None; from inspector.cli import main; main()"
    command = [sys.executable, "-c", code, "export", "--config", str(config), "--coil", "C2", "--from", "2026-01-01"]
    done, refused = (
        subprocess.run([*command, "--to", "2027-01-01", "--format", kind, "-o", str(tmp_path / kind)],
                       capture_output=True, text=True, check=False)
        for kind in ("csv", "parquet")
    )  # fmt: skip
    (path,) = (tmp_path / "csv").glob("defects/*/*/*.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert (done.returncode, json.loads(done.stdout)["defects"], len(rows)) == (0, 24, 24)
    assert (rows[0]["coil_id"], rows[0]["captured_at"]) == ("C2", "2026-03-01T19:01:40.000Z")
    assert (refused.returncode, "pip install 'inspector[archive]'" in refused.stderr) == (78, True)


def test_a_coil_that_nobody_kept_is_named(store: Store, config: Path, tmp_path: Path) -> None:
    """A slip in the name is no export without rows, which looks like a coil without defects."""
    with pytest.raises(ConfigError, match="nothing is kept of this coil in the period: 'C9'"):
        export_door(config, tmp_path / "out", coil="C9", kind="csv")


def test_a_defect_belongs_to_where_it_opened(store: Store, settings: Settings, config: Path, tmp_path: Path) -> None:
    """One that spans the end of a period is in the first of two exports, as it was when it closed, and not in both."""
    state, rules, entries = TrackState(coil_id="C4"), track_rules(), []
    for number, boxes in enumerate(((Box(0, 32, 32, 32),), (Box(0, 0, 32, 32),), (), (), ())):
        moment = NOON + timedelta(days=3, seconds=number)
        frame = make_frame(number, identity=f"s{number}", first_line=64 * number, captured_at=moment)
        found = inspected(frame, *[make_defect("crack", box) for box in boxes])
        state, drafts = track(state, found, rules)
        entries.append(Entry(drafts, {}))
    store.commit(entries)
    middle = NOON_MS + 3 * DAY_MS + 500
    for period in (Period(middle - 500, middle), Period(middle, middle + 60_000)):
        export(settings, config, period, "parquet", tmp_path / "out")

    assert [(one["phase"], one["captured_at"]) for one in tables_of(tmp_path / "out")["defects"]] == [
        ("closed", NOON + timedelta(days=3))
    ]


def test_nothing_is_twice_in_a_folder(store: Store, settings: Settings, config: Path, tmp_path: Path) -> None:
    """An export of a time that the folder has in another file, or a file of another version, is refused by name."""
    export(settings, config, ALL, "parquet", tmp_path / "out")
    with pytest.raises(ConfigError, match="is of the same time"):
        export(settings, config, Period(NOON_MS, NOON_MS + 1), "parquet", tmp_path / "out")
    old = next((tmp_path / "out").glob("frames/*/*/*.parquet"))
    pq.write_table(pq.read_table(old).replace_schema_metadata({"inspector.schema": "inspector/archive/9"}), old)

    with pytest.raises(ConfigError, match=r"is of inspector/archive/9, and this program writes inspector/archive/1"):
        export(settings, config, ALL, "parquet", tmp_path / "out")


def test_a_full_disk_leaves_what_was_there(
    store: Store, settings: Settings, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the previous export is as it was, and no half one is beside it."""
    export(settings, config, ALL, "parquet", tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}

    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write_parquet", full)

    with pytest.raises(StoreBusyError, match="No space left on device"):
        export(settings, config, ALL, "parquet", tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


@pytest.fixture
def later(clock: FakeClock) -> FakeClock:
    clock.advance(10 * 86400)
    return clock


def bars(config: Path, by: str) -> list[tuple[str, int]]:
    return [(bar.value, bar.defects) for bar in pareto(count_defects([config], by, ALL))]


def test_a_moved_coil_is_asked_for_as_before(
    store: Store, settings: Settings, config: Path, tmp_path: Path, later: FakeClock
) -> None:
    """The records leave the store, every stored byte is in the archive, and export and Pareto count the same."""
    stored = {row["id"]: row for row in store.reader.recent_defects(1000)}
    before = {by: bars(config, by) for by in ("class", "product", "shift", "crew", "station")}
    export(settings, config, ALL, "parquet", tmp_path / "before")
    store.coils.change(None, NOON_MS + 15 * 3_600_000)
    store.close()
    moved = move_coils(settings, config, later)
    again = move_coils(settings, config, later)
    archive = Archive(moved.folder)
    (run,) = archive.coil_runs("C2")
    export(settings, config, ALL, "parquet", tmp_path / "after")
    store = Store(tmp_path / "state", later)

    assert (moved.coils, moved.records, moved.deleted, moved.waiting) == (3, 180, 180, None)
    assert (again.coils, again.deleted, store.reader.counts(), store.coils.recent(9)) == (0, 0, {}, [])
    store.close()
    assert {by: bars(config, by) for by in before} == before
    assert before["product"] == [("P0", 48), ("P1", 24)]
    assert [json.loads(text)["id"] for kind, text in archive.coil_messages(run) if kind == "defect"] == [
        key for key, row in sorted(stored.items(), key=lambda one: int(one[1]["seq"])) if row["coil_id"] == "C2"
    ]
    assert len(archive.coil_defects(run)) == 24
    old, new = tables_of(tmp_path / "before"), tables_of(tmp_path / "after")
    assert sorted(map(str, new["defects"])) == sorted(map(str, old["defects"]))
    assert sorted(map(str, new["frames"])) == sorted(map(str, old["frames"]))


def test_a_moved_coil_is_reported_as_before(store: Store, settings: Settings, config: Path, later: FakeClock) -> None:
    """`inspector report` makes the same report of the archive; of a coil that is nowhere it says so."""
    store.coils.change(None, NOON_MS + 15 * 3_600_000)
    before = find_report(config, "C2").report.as_json()
    store.close()
    move_coils(settings, config, later)
    after = find_report(config, "C2").report.as_json()

    assert [one["count"] for one in after["defects"]] == [12, 12]
    assert after | {"made_at": before["made_at"]} == before
    with pytest.raises(ConfigError, match="C9"):
        find_report(config, "C9")


def test_a_running_station_deletes_by_receipt(store: Store, settings: Settings, config: Path, later: FakeClock) -> None:
    """Until it does nothing is counted twice; it goes in slices, and a record that came later is not deleted."""
    store.coils.change(None, NOON_MS + 15 * 3_600_000)
    before = bars(config, "class")
    moved = move_coils(settings, config, later)
    between = bars(config, "class")
    store.commit([coil_entry(900, "C3", 14)])  # a file from a camera's own disk, found after the move
    gone = delete_archived(store.database, moved.folder, 1 << 40)
    left = [coil.coil_id for _, coils in receipts(moved.folder, store.store_id) for coil in coils]

    assert (moved.deleted, moved.waiting) == (0, "the station runs: it deletes them itself")
    assert before == between == [("crack", 36), ("hole", 36)]
    assert (gone, store.reader.counts()["defect"], [one.coil_id for one in store.coils.recent(9)]) == (120, 26, ["C3"])
    assert left == ["C3"]


def test_a_move_that_died_is_done_again(
    store: Store, settings: Settings, config: Path, later: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files without their receipt are written again, or go: nothing is in the archive twice."""
    store.coils.change(None, NOON_MS + 15 * 3_600_000)
    before = bars(config, "class")
    with monkeypatch.context() as patched:
        patched.setattr("inspector.years.mover._Mover._receipt", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            move_coils(settings, config, later)
    folder = store.folder / "archive"
    left = next(folder.glob("coils/*/*/*.parquet"))
    shutil.copy(left, left.with_name(left.name.replace("-1-", "-7-")))
    store.close()
    moved = move_coils(settings, config, later)

    assert (moved.coils, moved.deleted) == (3, 180)
    assert bars(config, "class") == before
    assert len(list(folder.glob("coils/*/*/*.parquet"))) == 2


def test_what_is_too_young_stays(store: Store, settings: Settings, config: Path, clock: FakeClock) -> None:
    """A day is moved when all of its coils ended long enough ago."""
    clock.advance(2 * 86400)
    moved = move_coils(settings, config, clock)

    assert (moved.coils, sorted(moved.folder.glob("coils/*/*"))) == (
        2, [moved.folder / "coils/station=site%2Fline%2Fcam/date=2026-03-01"],
    )  # fmt: skip


def test_a_false_call_is_no_defect(store: Store, config: Path) -> None:
    """It is counted beside; a reclassified one counts as what it is; the longest bar is first, sums end at 1."""
    some = store.reader.recent_defects(1000, label="hole")
    store.reviews.add(Review(some[0]["defect_id"], 1, "false_call"))
    store.reviews.add(Review(some[1]["defect_id"], 1, "reclassified", "crack"))
    found = pareto(count_defects([config], "class", ALL))

    assert [(bar.value, bar.defects, bar.critical, bar.false_calls) for bar in found] == [
        ("crack", 37, 36, 0), ("hole", 34, 0, 1),
    ]  # fmt: skip
    assert found[-1].cumulative == 1
    assert as_table(found, "class")[1].split()[:3] == ["crack", "37", "52.1%"]
    picture = as_svg(found, "class", "Defects <of> March")
    assert (picture.count("<rect"), "Defects &lt;of&gt; March" in picture) == (1 + 6 + 3, True)


def test_the_daemon_loads_no_archive() -> None:
    """`inspector run` meets neither PyArrow nor DuckDB: they are for a command, on a machine that may lack them."""
    script = (
        "import sys, inspector.station.run, inspector.station.station, inspector.cli\n"
        "print(sorted({'duckdb', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)

    assert done.stdout == "[]\n"
