"""Messages as files hold them, and the truth: read, told apart, and refused by name where they do not fit together.

Messages come from the jsonl sink (`{"topic", "payload"}`), or from `mosquitto_sub`: bare payloads, `-v` (topic before
the payload), `-F %j` (the payload as text in an object) or `-F %J`. States and words such as `online` are passed over.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from inspector.box import Box
from inspector.errors import RefusedError
from inspector.messages import MESSAGE_TYPES

_SCHEMA = re.compile(rf"^inspector/({'|'.join(MESSAGE_TYPES)})/\d+$")
_FIRST_LINE = re.compile(r"-line-(\d+)\.\w+$")


class ScoreError(RefusedError):
    """What was given cannot be scored; the text names the file and the reason."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Event:
    """What a station said of one thing, as its last message has it.

    Attributes:
        defect_id: Its name.
        label: What it says it is.
        box: Where; `y` in lines from the head.
        position_m: Where along the strip, by the station, or None.
        still: The picture that it was seen in, for independent pictures; None on a stream.
        alarm: An alarm was sent for it.
        is_open: It was not closed.
        severity: As published.
    """

    defect_id: str
    label: str
    box: Box
    position_m: float | None
    still: str | None
    alarm: bool
    is_open: bool
    severity: str


@dataclass(frozen=True, slots=True)
class Heard:
    """All that was published.

    Attributes:
        station: Whose messages they are; empty if there is none.
        events: By their first line.
        alarms: How many of each kind.
        seconds: From the first message to the last, by the station's clock.
        missing: Numbers (`seq`) that are not among them: other topics, or messages that did not arrive.
    """

    station: str
    events: tuple[Event, ...]
    alarms: Mapping[str, int]
    seconds: float
    missing: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What was there.

    Attributes:
        labels: N.
        boxes: N, `y` in lines from the head.
        positions_m: N.
        strip: What `simulate` wrote beside it, or empty.
        hidden: Defects of which a fault of the camera hides the most: an event there is neither right nor false.
    """

    labels: tuple[str, ...]
    boxes: tuple[Box, ...]
    positions_m: tuple[float, ...]
    strip: Mapping[str, Any]
    hidden: tuple[Box, ...] = ()

    @property
    def mm_per_px(self) -> float | None:
        """The scale: as stated, else from the row that is furthest from the head."""
        if (stated := self.strip.get("mm_per_px")) is not None:
            return float(stated)
        far = max(range(len(self.boxes)), key=lambda i: self.boxes[i].y, default=None)
        return self.positions_m[far] * 1000 / self.boxes[far].y if far is not None and self.boxes[far].y else None

    @property
    def lines(self) -> int | None:
        """Of the stream, where that is known."""
        return None if "lines" not in self.strip else int(self.strip["lines"])


def read_truth(path: Path) -> Truth:
    """Return the rows of a truth, with what lies beside it.

    Raises:
        OSError: It cannot be read.
        ScoreError: A line is no row.
    """
    labels, boxes, positions = [], [], []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            labels.append(str(row["label"]))
            boxes.append(Box(*(int(row[key]) for key in ("x", "y", "width", "height"))))
            positions.append(float(row["position_m"]))
        except (ValueError, KeyError, TypeError) as exc:
            raise ScoreError(f"{path}: line {number} is no row of a truth: {line[:80]}") from exc
        if boxes[-1].width < 1 or boxes[-1].height < 1:
            raise ScoreError(f"{path}: line {number} has no extent: {line[:80]}")
    strip, faults = (path.with_name(f"{path.name}.{name}") for name in ("strip.json", "faults.jsonl"))
    return Truth(
        tuple(labels), tuple(boxes), tuple(positions), _read_strip(strip) if strip.is_file() else {},
        _read_hidden(faults) if faults.is_file() else (),
    )  # fmt: skip


def _read_strip(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as exc:
        raise ScoreError(f"{path}: cannot be read: {exc}") from exc


def _read_hidden(path: Path) -> tuple[Box, ...]:
    try:
        rows = [row for line in path.read_text("utf-8").splitlines() for row in json.loads(line)["hides"]]
        return tuple(Box(row["x"], row["y"], row["width"], row["height"]) for row in rows)
    except (ValueError, TypeError, KeyError) as exc:
        raise ScoreError(f"{path}: cannot be read: {exc}") from exc


def read_messages(path: str, truth: Truth, station: str | None = None) -> Heard:
    """Return what is in a file of messages, a folder of such files, or (`-`) standard input.

    Args:
        path: Where they are.
        truth: Says how frames lie on the strip, where a message does not.
        station: Only this station's count, as `site/line/name`.

    Raises:
        OSError: It cannot be read.
        ScoreError: There is no message, one is cut, or they are of several stations or starts.
    """
    bodies = {}
    lines = 0
    for name, number, line in _lines(path):
        lines += 1
        body = _body(line, f"{name}: line {number}")
        if body is None or (station is not None and body.get("station") != station):
            continue
        kind = str(body["schema"]).split("/")[1]
        if kind in ("defect", "alarm", "periodic", "coverage", "frame") and isinstance(body.get("id"), str):
            bodies[body["id"]] = body  # a repeat replaces itself
    if lines and not bodies and station is not None:
        raise ScoreError(f"{path}: no message of {station}")
    if lines and not bodies and not _any_message(path):
        raise ScoreError(f"{path}: none of its {lines} lines is a message of inspector")
    return hear(path, sorted(bodies.values(), key=lambda body: (body.get("store_id", ""), body.get("seq", 0))), truth)


def _any_message(path: str) -> bool:
    """Say whether states at least are among the lines: then a station ran, and found nothing."""
    return path == "-" or any(_body(line, name) is not None for name, _, line in _lines(path))


def _lines(path: str) -> Iterator[tuple[str, int, str]]:
    if path == "-":
        yield from (("-", number, line) for number, line in enumerate(sys.stdin, 1) if line.strip())
        return
    place = Path(path)
    files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    if not files:
        raise ScoreError(f"{path}: no *.jsonl in it")
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as text:
            yield from ((str(file), number, line) for number, line in enumerate(text, 1) if line.strip())


def _body(line: str, where: str) -> dict[str, Any] | None:
    """Return the message in a line, or None if it is a state's word or of another program.

    Raises:
        ScoreError: It begins like a message and is cut.
    """
    text = line.strip()
    if not text.startswith("{"):
        _, brace, rest = text.partition(" {")
        if not brace:
            return None
        text = "{" + rest
    try:
        value = json.loads(text)
        if isinstance(value, dict) and "payload" in value and "topic" in value:
            value = value["payload"]
            if isinstance(value, str):
                if not value.startswith("{"):
                    return None
                value = json.loads(value)
    except ValueError as exc:
        raise ScoreError(f"{where} is cut or is no JSON: {line.strip()[:80]}") from exc
    if isinstance(value, dict) and _SCHEMA.match(str(value.get("schema", ""))):
        return value
    return None


def hear(path: str, bodies: Sequence[dict[str, Any]], truth: Truth) -> Heard:
    """Return what messages say, in the order in which they were numbered.

    Args:
        path: Named in an error.
        bodies: Of one station.
        truth: As of `read_messages`.

    Raises:
        ScoreError: As `read_messages`.
    """
    stations = sorted({str(body["station"]) for body in bodies})
    if len(stations) > 1:
        raise ScoreError(f"{path}: messages of several stations, name one with --station: {', '.join(stations)}")
    last: dict[str, dict[str, Any]] = {}
    alarms: dict[str, int] = {"defect": 0, "suppressed": 0, "summary": 0}
    alarmed, epochs, moments = set(), set(), []
    numbers: dict[str, list[int]] = {}
    for body in bodies:
        kind = str(body["schema"]).split("/")[1]
        numbers.setdefault(str(body.get("store_id")), []).append(int(body.get("seq", 0)))
        moments.append(str(body.get("captured_at")))
        if kind == "defect":
            last[body["defect_id"]] = body
            if body.get("line") is not None:
                epochs.add((body["store_id"], body["frame"]["epoch"]))
        elif kind == "alarm":
            alarms[str(body["kind"])] = alarms.get(str(body["kind"]), 0) + 1
            if body["kind"] == "defect":
                alarmed.add(body["defect_id"])
    if len(epochs) > 1:
        raise ScoreError(
            f"{path}: lines were counted anew {len(epochs) - 1} times: score one run of a stream at a time"
        )
    events = sorted((_event(path, body, alarmed, truth) for body in last.values()), key=lambda each: each.box.y)
    missing = sum(max(seqs) - min(seqs) + 1 - len(set(seqs)) for seqs in numbers.values())
    return Heard(stations[0] if stations else "", tuple(events), alarms, _span_s(moments), missing)


def truth_of(rows: Iterable[Mapping[str, Any]], strip: Mapping[str, Any]) -> Truth:
    """Return rows of a truth, as `simulate` writes them."""
    found = list(rows)
    boxes = tuple(Box(row["x"], row["y"], row["width"], row["height"]) for row in found)
    return Truth(tuple(row["label"] for row in found), boxes, tuple(row["position_m"] for row in found), strip)


def _span_s(moments: Sequence[str]) -> float:
    times = [datetime.fromisoformat(moment) for moment in moments if moment != "None"]
    return (max(times) - min(times)).total_seconds() if times else 0.0


def _event(path: str, body: dict[str, Any], alarmed: set[str], truth: Truth) -> Event:
    """Return what a defect's last message says, its box in lines from the head."""
    try:
        box, key = body["box_px"], body["frame"]["source_key"]
        line, lines, still = body.get("line"), body.get("lines"), None
        if line is None:
            still = str(key if key is not None else body["frame"]["frame_id"])
            line = _first_line(still, body["frame"]["frame_id"], truth) + box["y"]
        height = box["height"] if lines is None else lines
        placed = Box(int(box["x"]), int(line), int(box["width"]), int(height))
        if truth.lines is not None and placed.y >= truth.lines:
            raise ScoreError(f"{path}: of another strip: line {placed.y} lies beyond the {truth.lines} of the truth")
        return Event(
            body["defect_id"], str(body["label"]), placed, body.get("position_m"), still,
            bool(body.get("alarm")) or body["defect_id"] in alarmed, body.get("phase") != "closed",
            str(body.get("severity")),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as exc:
        raise ScoreError(f"{path}: message {body.get('id')} lacks what a defect has: {exc}") from exc


def _first_line(still: str, frame_id: int, truth: Truth) -> int:
    """Return the first line of a picture: by its name, as `simulate` names them, else by its number."""
    if (named := _FIRST_LINE.search(still)) is not None:
        return int(named[1])
    return int(frame_id) * int(truth.strip.get("frame_lines", 0))
