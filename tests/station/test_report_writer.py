"""`inspector.station.report_writer`: every coil whose end is committed gets its report, whatever happens meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from coil_reports import record_of
from coil_rows import placed, placed_defect
from fakes import NOON, FakeClock
from stores import reopened

from inspector.command_table import KeepCommand
from inspector.errors import CommandError
from inspector.settings.sections import Settings
from inspector.station.coil_report import write_report
from inspector.station.report_writer import ReportWriter, require_written
from inspector.store.coils import CoilRun
from inspector.store.entries import Entry
from inspector.store.store import Store


@dataclass
class Bench:
    """A store, and writers on it that write in this process."""

    store: Store
    clock: FakeClock
    folder: Path
    written: list[int] = field(default_factory=list)
    refusal: str | None = None

    def writer(self, **report: Any) -> ReportWriter:
        values = {
            "station": {"site": "s", "line": "l", "name": "n"}, "source": {"kind": "demo"}, "report": report,
            "store": {"path": self.folder, "report_keep_coils": 1},
        }  # fmt: skip
        settings = Settings.model_validate(values)

        def make(run: CoilRun) -> None:
            if self.refusal is not None:
                raise OSError(28, self.refusal)
            write_report(settings, self.folder, self.store.reader, run, self.clock)
            self.written.append(run.id)

        return ReportWriter(settings, self.store, self.clock, lambda: None, make)

    def run(self, number: int, ended: bool = True) -> None:
        """A coil `number` with one defect, a minute after the one before."""
        began = NOON + timedelta(minutes=number)
        record = record_of(
            coil_id=str(number), began_at=began, ended_at=began + timedelta(seconds=50) if ended else None
        )
        self.store.commit([placed(placed_defect(600 * number, coil_id=str(number))), Entry([], {}, coils=[record])])


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(Store(tmp_path, clock), clock, tmp_path)
    yield bench
    bench.store.close()


def test_each_coil_that_ended_has_its_report_once(bench: Bench) -> None:
    """In their order; the one that runs has none yet, and the topic names the last."""
    for number in (1, 2, 3):
        bench.run(number, ended=number < 3)
    writer = bench.writer()

    assert [writer.write_next() for _ in range(4)] == [True, True, False, False]
    assert bench.written == [1, 2]
    assert writer.last is not None
    assert (writer.last.reference, writer.last.report.coil_id) == ("/api/coils/2/report?run=2", "2")


def test_what_a_kill_interrupted_is_written_by_the_next_process(bench: Bench) -> None:
    """A writer that died before it noted its report writes it again, over what it left; a noted one stays."""
    bench.run(1)
    bench.run(2)
    first = bench.writer()
    first.write_next()
    bench.store = reopened(bench.store, clean=False)

    second = bench.writer()
    assert second.last is not None
    assert second.last.report.coil_id == "1"
    while second.write_next():
        pass
    assert bench.written == [1, 2]
    assert len(list((bench.folder / "reports").glob("*.json"))) == 2


def test_a_number_that_is_given_again_is_another_coil(bench: Bench) -> None:
    """The newest coil moved to the archive, so its number names the next one, which has its report, too."""
    bench.run(1)
    bench.writer().write_next()
    with bench.store.database.transaction() as db:
        db.execute("DELETE FROM coils")
    bench.run(2)

    assert bench.writer().write_next()
    assert bench.written == [1, 1]


def test_a_full_disk_is_tried_again(bench: Bench) -> None:
    """Nothing is noted as written, and the report is there as soon as the disk takes it."""
    bench.run(1)
    bench.refusal = "No space left on device"
    writer = bench.writer()

    assert [writer.write_next(), writer.write_next()] == [False, False]
    bench.refusal = None
    assert writer.write_next()
    assert bench.written == [1]


def test_its_verdict_stands_beside_the_coil(bench: Bench) -> None:
    """The list of coils says class and disposition without opening each report."""
    bench.run(1)
    bench.writer(surface_class=[{"name": "A", "disposition": "release"}]).write_next()

    assert bench.store.reader.coil_verdicts([1]) == {1: ("A", "release")}


def test_a_station_may_write_none(bench: Bench) -> None:
    """`report.write = false`."""
    bench.run(1)

    assert not bench.writer(write=False).write_next()


def test_a_person_keeps_a_coil(bench: Bench) -> None:
    """As many as the quota allows; what has no report cannot be kept."""
    bench.run(1)
    bench.run(2)
    writer = bench.writer()
    with pytest.raises(CommandError, match="no report of this coil"):
        writer.keep(KeepCommand(coil_id="1"))
    writer.write_next()
    writer.write_next()

    assert writer.keep(KeepCommand(coil_id="1")) == "kept for good: 1"
    with pytest.raises(CommandError, match="1 coils are kept"):
        writer.keep(KeepCommand(coil_id="2"))
    assert writer.keep(KeepCommand(coil_id="1", off=True)) == "kept no longer than others: 1"
    assert writer.keep(KeepCommand(coil_id="2"))


def test_the_process_beside_it_writes_the_same(bench: Bench) -> None:
    """As a station runs it: a child reads the store and leaves page and JSON."""
    bench.run(1)
    values = {"station": {"site": "s", "line": "l", "name": "n"}, "source": {"kind": "demo"}}
    writer = ReportWriter(Settings.model_validate(values), bench.store, bench.clock, lambda: None)

    assert writer.write_next()
    [path] = (bench.folder / "reports").glob("*.json")
    assert json.loads(path.read_text())["defects"][0]["count"] == 1
    assert path.with_suffix(".html").stat().st_size > 5000


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        pytest.param(b"", -9, "signal 9", id="killed"),
        pytest.param(b"Traceback", 1, "exit code 1", id="a fault"),
        pytest.param(b'{"error": "/x: No space left on device"}\n', 0, "No space left", id="refused"),
    ],
)
def test_a_child_that_wrote_nothing_says_why(answer: bytes, code: int, says: str) -> None:
    """The reason is in the log, and the report is tried again."""
    with pytest.raises(OSError, match=says):
        require_written(answer, code)
