"""The demo's screen shows at every moment what the demo would report if it ended there, after an hour as at once."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from fakes import LABELS, FakeClock
from prometheus_client import CollectorRegistry
from rich.console import Console

from inspector.box import Box
from inspector.demo.score import DemoTally, Score
from inspector.demo.screen import ScreenView, draw_screen, listen_command
from inspector.drawn.spec import DrawnDefect, StripSpec
from inspector.drawn.strip import Strip
from inspector.ids import Ids
from inspector.messages import AlarmMessage, Body, BoxPx, DefectMessage
from inspector.settings.loading import load_settings
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import Metrics

FRAME_LINES, OVERLAP_LINES = 400, 100
STEP_LINES = FRAME_LINES - OVERLAP_LINES
LINES_PER_S = 4000
HOUR_S = 3600
IDS = Ids("inspector/demo/strip/cam1")


class CountingStrip(Strip):
    """Counts the lines that it was asked about."""

    asked_lines = 0

    def defects(self, first_line: int, count: int) -> list[DrawnDefect]:
        self.asked_lines += max(0, count)
        return super().defects(first_line, count)


def make_strip() -> CountingStrip:
    """A strip whose pictures cost little to lay."""
    noise = np.random.default_rng(5).integers(0, 255, (64, 64)).astype(np.uint8)
    return CountingStrip(StripSpec(defects_per_m=1.0), {"crazing": [noise], "patches": [noise], "scratches": [noise]})


@dataclass(frozen=True)
class Seen:
    """What the inspection of one drawn defect gives."""

    drawn: DrawnDefect
    found: bool
    label: str


def defect_message(number: int, label: str, box: Box) -> DefectMessage:
    px = BoxPx(x=box.x, y=box.y % FRAME_LINES, width=box.width, height=box.height)
    return DefectMessage.model_construct(
        defect_id=IDS.of(number, "defect"), label=label, box_px=px, line=box.y, lines=box.height
    )


def alarm_message(number: int, label: str) -> AlarmMessage:
    return AlarmMessage.model_construct(
        kind="defect", defect_id=IDS.of(number, "defect"), label=label, score=0.9, severity="major",
        captured_at="2026-03-01T12:00:00.000Z", text=f"{label} 0.90 (major) at demo/strip/cam1, x 1 y 2 px",
    )  # fmt: skip


def inspect(strip: Strip, lines: int) -> Iterator[tuple[int, list[Body], list[Seen], int]]:
    """Yield for each frame: its last line, its messages, what it saw whole, and how many alarms so far are false.

    Every 40th defect is missed, every 25th has another's label, every 300th alarm is of a place where nothing is.
    """
    seen_to = false = 0
    for last in range(FRAME_LINES, lines, STEP_LINES):
        bodies: list[Body] = []
        seen: list[Seen] = []
        for drawn in strip.defects(seen_to, last - seen_to):
            if drawn.box.y < seen_to:
                continue  # the frame before has shown its beginning
            found, label = bool(drawn.ordinal % 40), "rust" if drawn.ordinal % 25 == 0 else drawn.label
            shown = Box(drawn.box.x, drawn.box.y, drawn.box.width, min(drawn.box.bottom, last) - drawn.box.y)
            seen.append(Seen(drawn, found, label))
            if found:
                bodies += [defect_message(drawn.ordinal, label, shown), alarm_message(drawn.ordinal, label)]
            if drawn.ordinal % 300 == 7:
                beside = Box(drawn.box.x, drawn.box.bottom + 20, 10, 10)  # a gap of two tiles follows each defect
                bodies += [defect_message(-drawn.ordinal, label, beside), alarm_message(-drawn.ordinal, label)]
                false += 1
        seen_to = last
        yield last, bodies, seen, false


def screen_text(tally: DemoTally, now: Score, width: int = 80) -> str:
    clock = FakeClock()
    metrics = Metrics(CollectorRegistry(), LABELS[:3], dict.fromkeys(LABELS[:3], "minor"))
    view = ScreenView(2.0, metrics, HealthBoard("demo/strip/cam1", clock), "http://127.0.0.1:9108/")
    console = Console(file=io.StringIO(), width=width, height=40)
    console.print(draw_screen(view, tally.alarms, now, 1.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown_score(text: str) -> tuple[int, ...]:
    found = re.search(r"drawn, found +(\d+), (\d+), (\d+) named right, (\d+) false alarms", text)
    assert found, text
    return tuple(int(figure) for figure in found.groups())


@pytest.mark.timeout(120)
def test_the_screen_shows_the_truth_in_every_second_of_an_hour() -> None:
    """Each second the screen holds what was drawn, found, named right and false: what a report would say there.

    The messages of the newest frame are always taken before the source hears that it is done, as in the station.
    """
    drawing, strip = make_strip(), make_strip()
    tally = DemoTally(strip, OVERLAP_LINES)
    waiting: list[Seen] = []
    drawn = found = right = inspected = 0
    shown, true = [], []
    for last, bodies, seen, false in inspect(drawing, HOUR_S * LINES_PER_S):
        tally.take(bodies)
        waiting += seen
        whole = [one for one in waiting if one.drawn.box.bottom <= inspected - OVERLAP_LINES]
        waiting = [one for one in waiting if one.drawn.box.bottom > inspected - OVERLAP_LINES]
        drawn += len(whole)
        found += sum(one.found for one in whole)
        right += sum(one.found and one.label == one.drawn.label for one in whole)
        if last // LINES_PER_S != (last - STEP_LINES) // LINES_PER_S:
            now = tally.score(inspected)
            shown.append((now.drawn, now.found, now.right_label, now.false_alarms))
            true.append((drawn, found, right, false))
            if last // LINES_PER_S % 60 == 0:
                assert shown_score(screen_text(tally, now)) == true[-1]
        inspected = last

    assert len(true) == HOUR_S - 1
    assert shown == true
    assert true[-1][0] > 7_000
    assert true[-1][3] > 20


def test_no_look_counts_the_strip_anew() -> None:
    """All looks together, four a second for ten minutes, ask about each line of the strip once."""
    strip = make_strip()
    tally = DemoTally(strip, OVERLAP_LINES)
    for line in range(0, 600 * LINES_PER_S, LINES_PER_S // 4):
        tally.score(line)

    assert strip.asked_lines <= 600 * LINES_PER_S


@pytest.mark.parametrize("ahead_frames", [0, 1, 5, 50])
def test_what_is_ahead_of_the_count_is_no_false_alarm(ahead_frames: int) -> None:
    """An alarm on a drawn defect is true, however far the messages are ahead of the line that is done."""
    strip = make_strip()
    tally = DemoTally(strip, OVERLAP_LINES)
    for drawn in strip.defects(0, FRAME_LINES + ahead_frames * STEP_LINES):
        tally.take([defect_message(drawn.ordinal, drawn.label, drawn.box), alarm_message(drawn.ordinal, drawn.label)])

    assert tally.score(0) == Score(0, 0, 0, 0)


def test_an_alarm_becomes_true_with_the_box_that_shows_it() -> None:
    """Alarm and box may come in either order, and a defect may grow onto what was drawn."""
    strip = make_strip()
    tally = DemoTally(strip, OVERLAP_LINES)
    drawn = strip.defects(0, 10_000)[0]
    beside = Box(drawn.box.x, drawn.box.bottom + 20, 10, 10)
    tally.take([alarm_message(1, drawn.label), defect_message(1, drawn.label, beside)])
    before = tally.score(10_000).false_alarms
    tally.take([defect_message(1, drawn.label, replace(beside, y=drawn.box.y, height=drawn.box.height + 30))])

    assert (before, tally.score(10_000).false_alarms) == (1, 0)


def test_a_second_event_is_counted_by_what_it_says_last() -> None:
    """A further defect on the same place is a second event, and a wrong one while it has another class."""
    tally, drawn = DemoTally(make_strip(), OVERLAP_LINES), make_strip().defects(0, 10_000)[0]
    seconds = []
    for number, label in ((1, "rust"), (2, drawn.label), (3, "rust"), (3, drawn.label), (1, drawn.label)):
        tally.take([defect_message(number, label, drawn.box)])
        now = tally.score(10_000)
        seconds.append((now.second_events, now.wrong_seconds))

    assert seconds == [(0, 0), (1, 1), (2, 2), (2, 1), (2, 0)]


def test_looks_in_any_order_count_nothing_twice() -> None:
    """A look that read the line a moment earlier than another changes nothing."""
    tally, rng = DemoTally(make_strip(), OVERLAP_LINES), random.Random(3)
    for line in [rng.randrange(60_000) for _ in range(50)]:
        tally.score(line)

    assert tally.score(60_000).drawn == DemoTally(make_strip(), OVERLAP_LINES).score(60_000).drawn


def test_the_command_to_listen_fits_a_terminal() -> None:
    """What is to be copied stands on one line of 80 columns, with the longest port and the demo's own root."""
    names = {"station.site": "demo", "station.line": "strip", "station.name": "cam1", "source.kind": "demo"}
    settings = load_settings(None, {**names, "mqtt.host": "127.0.0.1", "mqtt.port": 65535}, {}).settings

    assert listen_command(settings) == "mosquitto_sub -h 127.0.0.1 -p 65535 -v -t 'inspector/demo/strip/cam1/#'"
    assert len(listen_command(settings)) <= 80


def test_no_line_of_the_screen_breaks_at_80_columns() -> None:
    """Each alarm and each fact is one line."""
    tally = DemoTally(make_strip(), OVERLAP_LINES)
    tally.take([alarm_message(number, "rolled-in_scale") for number in range(3)])
    text = screen_text(tally, Score(21_600, 21_600, 21_600, 0))

    assert len([line for line in text.splitlines() if "x 1 y 2 px" in line]) == 3
    assert "21600, 21600, 21600 named right, 0 false alarms" in text
