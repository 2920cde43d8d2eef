"""`inspector.station.teach_in_run`: a teach-in collects tiles, fits in a child, and outlives the process."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from references import leave_candidate
from teaching_bench import Bench, MakeBench

from inspector.errors import LessonError
from inspector.station.teach_fit import FitResult, read_answer
from inspector.station.teach_in_run import CREDIT_S, MAX_FITS, MOST_SHARE, SLICES
from inspector.teach.teach_in import TILES_FILE, read_teach_in
from inspector.telemetry.health import State


def test_a_teach_in_collects_fits_and_leaves_a_candidate(bench: Bench) -> None:
    """Frames of the minutes asked for are sampled, coil by coil; then one child fits, and its answer is kept."""
    said = bench.ask(action="start", minutes=10, false_calls_per_km=0.2, person="Ada")
    for number, coil in enumerate(("A", "B", "C")):
        bench.show(12, coil, first=100 * number)
        bench.clock.advance(10)
        bench.teaching.look()
    during = bench.teaching.progress
    bench.clock.advance(600)
    for _ in range(3):
        bench.teaching.look()
    fitting = bench.teaching.progress
    bench.fits[0].answer = FitResult("abc", "1 warning")
    bench.teaching.look()
    ended = read_teach_in(bench.folder)

    assert "until 2026-03-01T12:10:00.000Z" in said
    assert during is not None
    assert "108 tiles of 3 coils so far" in during
    assert fitting == "a teach-in fits 108 tiles of 3 coils"
    assert ended is not None
    assert (ended.state, ended.reference, ended.by, ended.false_calls_per_km) == ("candidate", "abc", "Ada", 0.2)
    assert len(bench.fits) == 1
    assert not (bench.folder / TILES_FILE).exists()


def test_health_says_how_far_a_teach_in_is(bench: Bench) -> None:
    """An untaught station says that it is being taught."""
    bench.ask(minutes=10)

    assert "a teach-in collects until 2026-03-01T12:10:00.000Z" in str(bench.teaching.untaught)


@pytest.mark.parametrize("state", ["blind", "paused"])
def test_a_station_that_does_not_see_teaches_nothing(bench: Bench, state: State) -> None:
    """Blind or paused it refuses by name, and no file is left."""
    bench.health.update(state, "why")
    with pytest.raises(LessonError, match=state):
        bench.ask()

    assert read_teach_in(bench.folder) is None


def test_two_teach_ins_at_once_are_refused(bench: Bench) -> None:
    """The second names the first, which goes on."""
    bench.ask(minutes=10)
    with pytest.raises(LessonError, match=r"collects until .*cancel it first"):
        bench.ask(minutes=99)

    assert bench.teaching.progress is not None


def test_a_disk_that_refuses_is_named(bench: Bench, tmp_path: Path) -> None:
    """A teach-in that cannot be written down does not begin."""
    bench.folder.parent.mkdir(parents=True, exist_ok=True)
    bench.folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(LessonError, match="reference"):
        bench.ask()

    assert bench.teaching.progress is None


def test_a_full_disk_is_named_before_it_begins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles and candidate need room; without it the teach-in is refused with both figures."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(LessonError, match=r"the disk is full: 0 MB are free, 0 MB are needed: /"):
        bench.ask()

    assert bench.teaching.progress is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"id": "x", "state": "collecting"}', b"\xff" * 70_000])
def test_a_spoilt_file_of_a_teach_in_is_none(make_bench: MakeBench, text: bytes) -> None:
    """Whatever lies there, the station starts, and another teach-in begins."""
    folder = make_bench().folder
    folder.mkdir(parents=True)
    (folder / "teach-in.json").write_bytes(text)
    bench = make_bench()
    bench.teaching.look()

    assert bench.teaching.progress is None
    assert "collects" in bench.ask(minutes=5)


def test_a_disk_that_fills_meanwhile_is_reported_and_the_teach_in_goes_on(bench: Bench) -> None:
    """Tiles that cannot be written are not kept, the file says why, and nothing is raised to the frames."""
    bench.ask(minutes=10)
    (bench.folder / TILES_FILE).mkdir()
    bench.show(3, "A")
    bench.teaching.look()
    trouble = bench.teaching.run.present and bench.teaching.run.present.trouble
    (bench.folder / TILES_FILE).rmdir()
    bench.show(3, "A", first=10)
    bench.clock.advance(6)
    bench.teaching.look()
    present = bench.teaching.run.present

    assert "directory" in str(trouble).lower()
    assert present is not None
    assert (present.trouble, present.tiles) == (None, 9)


def test_a_cancelled_teach_in_leaves_nothing(bench: Bench) -> None:
    """Its tiles are gone, its end is written down, and another may begin."""
    bench.ask(minutes=10)
    bench.show(3, "A")
    bench.teaching.look()
    bench.ask(action="cancel")
    bench.teaching.look()

    assert not (bench.folder / TILES_FILE).exists()
    assert "collects" in bench.ask(minutes=5)


@pytest.mark.parametrize("orderly", [True, False])
def test_a_teach_in_outlives_the_process(make_bench: MakeBench, orderly: bool) -> None:
    """After a stop or a kill the next process goes on with the tiles that there were, until the same moment."""
    first = make_bench()
    first.ask(minutes=10)
    first.show(12, "A")
    first.teaching.look()
    if orderly:
        first.teaching.run.stop()
    second = make_bench()
    second.show(12, "B", first=50)
    second.clock.advance(700)
    second.teaching.look()
    second.teaching.look()
    present = second.teaching.run.present

    assert present is not None
    assert (present.state, present.tiles, present.coils) == ("fitting", 72, 2)


def test_a_fit_that_ends_the_station_is_given_up(make_bench: MakeBench) -> None:
    """A station that the system ends for memory while it fits does not do so for ever."""
    first = make_bench()
    first.ask(minutes=1)
    first.clock.advance(61)
    first.teaching.look()
    for _ in range(MAX_FITS):
        bench = make_bench()
        bench.teaching.look()
        assert len(bench.fits) == 1
    last = make_bench()
    last.teaching.look()
    present = last.teaching.run.present

    assert last.fits == []
    assert present is not None
    assert present.state == "refused"
    assert "has ended 3 times" in str(present.text)


@pytest.mark.parametrize("independent", [pytest.param(True, id="stills"), pytest.param(False, id="a stream")])
def test_what_stands_for_a_coil_that_nobody_named(bench: Bench, independent: bool) -> None:
    """Pieces of time stand for coils, and it is known that they are none."""
    bench.ask(minutes=10)
    for number in range(12):
        bench.show(1, None, independent, first=number)
        bench.teaching.look()
        bench.clock.advance(50)
    bench.teaching.look()
    present = bench.teaching.run.present

    assert present is not None
    assert (present.coils, present.coils_known) == (SLICES, False)


def test_sampling_takes_its_share_of_the_time_and_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast frames come, sampling takes a hundredth of the time beyond its first credit; the rest passes."""
    bench.ask(minutes=10)
    bench.show(1, "A")
    bench.teaching.look()
    collector = bench.teaching.run._collector
    assert collector is not None
    take, taken = collector.take, [0]

    def slow(*values: object) -> None:
        taken[0] += 1
        bench.clock.advance(0.1)
        take(*values)  # type: ignore[arg-type]

    monkeypatch.setattr(collector, "take", slow)
    for number in range(1, 60):
        bench.show(4, "A", first=10 * number)
        bench.teaching.look()
        bench.clock.advance(1.0)

    assert 0.1 * taken[0] <= CREDIT_S + 0.1 + MOST_SHARE * 66
    assert taken[0] > 3


def test_a_refused_lesson_keeps_its_reason(bench: Bench) -> None:
    """What the child refuses is written down; the station observes on."""
    bench.ask(minutes=1)
    bench.clock.advance(61)
    bench.teaching.look()
    bench.teaching.look()
    bench.fits[0].answer = FitResult(None, "at least 50 tiles of good surface are needed: 0")
    bench.teaching.look()
    present = bench.teaching.run.present

    assert present is not None
    assert present.summary == "the last teach-in: refused: at least 50 tiles of good surface are needed: 0"


def test_a_command_accepts_and_undoes(bench: Bench) -> None:
    """`cmd/teach` lets the candidate count under the name of who asked, and takes it back."""
    with pytest.raises(LessonError, match="no candidate"):
        bench.ask(action="accept")
    stored = leave_candidate(bench.folder)
    said = [bench.ask(action="accept", person="Ada")]
    bench.teaching.look()
    card = bench.rules.now.taught.card
    said.append(bench.ask(action="undo"))
    bench.teaching.look()

    assert card is not None
    assert card.accepted is not None
    assert card.accepted.by == "Ada"
    assert said == [f"reference {stored.reference.short} counts", "untaught again"]
    assert bench.rules.now.taught.reference is None


@pytest.mark.parametrize(
    ("answer", "code", "reference", "text"),
    [
        (b'{"reference": "abc", "text": "good"}\n', 0, "abc", "good"),
        (b'{"reference": null, "text": "too few"}\n', 0, None, "too few"),
        (b"", -9, None, "signal 9"),
        (b"Traceback\n", 1, None, "exit code 1"),
    ],
)
def test_what_a_child_leaves_is_read(answer: bytes, code: int, reference: str | None, text: str) -> None:
    """A child that dies has an answer, too: how it died."""
    result = read_answer(answer, code)

    assert result.reference == reference
    assert text in result.text
