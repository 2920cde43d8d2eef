"""`inspector accept`: measures and records a station's state, compares it, and judges its events by people."""

from __future__ import annotations

import base64
import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

import inspector.acceptance
from inspector.acceptance.review import UNSURE, Answer, Item, draw_sample, evaluate, truth_of
from inspector.acceptance.stability import (
    KEPT_SIZES,
    MIN_FRAMES,
    SCHEMA,
    Accepted,
    Figure,
    Seen,
    bin_edges,
    compare_findings,
    compare_frames,
    shares_of,
)
from inspector.clock import Clock, to_rfc3339, to_timestamp_ms
from inspector.errors import ConfigError, PictureError, SourceError
from inspector.frame import Frame, Pixels
from inspector.inspection.picture import inspect_pixels
from inspector.inspection.preprocess import to_grey
from inspector.pages.language import visible
from inspector.pictures.decode import decode_picture
from inspector.pictures.files import expand_paths, read_picture_file
from inspector.settings.loading import load_settings
from inspector.settings.places import state_folder
from inspector.settings.sections import Settings
from inspector.sources.base import EndOfSource, NoLedger, SourceContext
from inspector.sources.opening import open_source
from inspector.station.wiring import open_bundle
from inspector.store.years import PeriodReader
from inspector.years.export import open_period_reader
from inspector.years.gather import Gatherer, Period
from inspector.years.shifts import Shifts

ACCEPTED = "accepted/stability.json"
MOST_FRAMES, LONGEST_S = 200, 60.0
"""Frames that are measured, and the time that they may take: with the rest it stays under two minutes."""
HOURS = 8
"""Period of the findings where the plant has no shifts."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a period.

    Attributes:
        name: The shift, or the hours.
        sizes: Longer sides, mm or px.
        defects: How many.
        metres, hours: What was inspected.
    """

    name: str
    sizes: list[float]
    defects: int
    metres: float
    hours: float

    def exposure(self, unit: str) -> float:
        """Return how much was inspected, `m` or `h`."""
        return self.metres if unit == "m" else self.hours


def check_stability(
    config: Path, clock: Clock, frames: Sequence[str], record: bool
) -> tuple[list[Figure], dict[str, Any]]:
    """Compare a station's state with the accepted one, or record it as such.

    Args:
        config: The station's configuration.
        clock: Time.
        frames: Pictures or folders of them; none: from the source.
        record: Keep the state as the accepted one; no figure is returned.

    Returns:
        The comparisons, and what they rest on.

    Raises:
        ConfigError: Nothing was recorded, it cannot be compared, or there are too few frames.
    """
    settings = load_settings(config).settings
    path = state_folder(settings, unit_file=config) / ACCEPTED
    accepted = None if record else _read_accepted(path)
    model = open_bundle(settings, unit_file=config)
    try:
        bundle, taught = model.bundle.short, model.taught.reference
        if accepted is not None and accepted.bundle != bundle:
            raise ConfigError(f"{path}: recorded with {accepted.bundle}, and {bundle} runs: --record it anew")
        seen = Seen(taught is not None)
        for pixels in _frames(settings, clock, frames):
            seen.add(to_grey(pixels), inspect_pixels(pixels, "frame", model.pool, model.rules))
    finally:
        model.pool.close()
    if seen.count < MIN_FRAMES:
        raise ConfigError(f"{seen.count} frames came, {MIN_FRAMES} are needed: name a folder of pictures with --frames")
    found = _findings(settings, config, clock)
    facts = {"station": settings.station.text, "at": to_rfc3339(clock.now()), "bundle": bundle, "frames": seen.count,
             "tiles": len(seen.strengths), "findings_of": found.name, "defects": found.defects,
             "metres": round(found.metres, 2), "hours": round(found.hours, 2)}  # fmt: skip
    if accepted is not None:
        figures = compare_frames(accepted, seen)
        figures += compare_findings(accepted, found.sizes, found.defects, found.exposure(accepted.unit))
        return figures, {**facts, "recorded_at": accepted.recorded_at}
    edges = bin_edges(seen.strengths)
    unit = "m" if found.metres > 0 else "h"
    state = Accepted(
        recorded_at=to_rfc3339(clock.now()), bundle=bundle, reference=taught.short if taught else None,
        measure=seen.measure, frames=seen.count, figures=seen.figures(), edges=edges, tiles=len(seen.strengths),
        shares=shares_of(seen.strengths, edges), sizes_mm=tuple(found.sizes[:KEPT_SIZES]), defects=found.defects,
        exposure=found.exposure(unit), unit=unit,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(state.model_dump_json(indent=1), encoding="utf-8")
    part.replace(path)
    return [], {**facts, "recorded": str(path)}


def _read_accepted(path: Path) -> Accepted:
    try:
        accepted = Accepted.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: no state was recorded yet: inspector accept --stability --record") from exc
    except (OSError, ValidationError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: is damaged, record it anew: {exc}") from exc
    if accepted.schema_ != SCHEMA:
        raise ConfigError(f"{path}: is {accepted.schema_}, and this program knows {SCHEMA}: record it anew")
    return accepted


def _frames(settings: Settings, clock: Clock, names: Sequence[str]) -> Iterator[Pixels]:
    """Yield frames from pictures, or from the source, up to `MOST_FRAMES` and `LONGEST_S`."""
    began, count, source = clock.monotonic(), 0, settings.source
    if names:
        for name in expand_paths(list(names)):
            if count >= MOST_FRAMES or clock.monotonic() - began > LONGEST_S:
                return
            try:
                data = read_picture_file(Path(name), 64 << 20)
                yield decode_picture(data, name=name, max_px=source.max_frame_px, full_scale=source.full_scale)
                count += 1
            except PictureError:
                continue  # what the station would not inspect either
        return
    opened = open_source(source, SourceContext(clock, lambda: 1, "accept"), NoLedger())
    try:
        while count < MOST_FRAMES and clock.monotonic() - began < LONGEST_S:
            try:
                item = opened.read()
            except EndOfSource:
                return
            if isinstance(item, Frame):
                count += 1
                yield item.pixels
    except SourceError as exc:
        raise ConfigError(f"the source is not there ({exc}): stop the station, or name pictures with --frames") from exc
    finally:
        opened.close()


def _findings(settings: Settings, config: Path, clock: Clock) -> Findings:
    """Return what was found in the last shift that ended, or in the last hours."""
    shifts, now = Shifts(settings.plant), clock.now()
    ended = shifts.ended(now, 1)
    begin, end, name = (
        (ended[0].began_at, ended[0].ends_at, ended[0].key)
        if ended
        else (now - timedelta(hours=HOURS), now, f"{HOURS} h")
    )
    period = Period(to_timestamp_ms(begin), to_timestamp_ms(end))
    with closing(open_period_reader(settings, config)) as reader:
        rows = Gatherer(reader, shifts).defects(period)
        metres = sum(run.record.get("inspected_m") or 0.0 for run in reader.coils(period.from_ms, period.to_ms))
        missed_h = _missed_h(reader, period)
    sizes = [
        max(row["width_mm"], row["length_mm"])
        if row["width_mm"] and row["length_mm"]
        else max(row["width"], row["height"])
        for row in rows
        if row["verdict"] != "false_call"
    ]
    return Findings(name, sizes, len(sizes), metres, max(0.0, (end - begin) / timedelta(hours=1) - missed_h))


def _missed_h(reader: PeriodReader, period: Period) -> float:
    missed = 0.0
    for one in reader.records(("coverage",), period.from_ms, period.to_ms):
        message = one.message
        if message.get("sink") is None and message.get("from"):
            since, until = (datetime.fromisoformat(message[name]) for name in ("from", "to"))
            missed += max(0.0, (until - since) / timedelta(hours=1))
    return missed


def _template(name: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(inspector.acceptance.__file__).parent / "templates"), autoescape=True,
        undefined=StrictUndefined, finalize=visible, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name).render(**values)


def write_sample(config: Path, period: Period, size: int, seed: int, output: Path) -> int:
    """Draw a blind sample of a station's events, and return how many events it has.

    Writes `sheet.html` (pictures with codes), `answers.csv` (to be filled in, a copy for each inspector), and
    `key.json`, which no inspector may see.

    Raises:
        ConfigError: There are no events in the period.
    """
    settings = load_settings(config).settings
    with closing(open_period_reader(settings, config)) as reader:
        events = {row["defect_id"]: row["label"] for row in Gatherer(reader, Shifts(settings.plant)).defects(period)}
    if not events:
        raise ConfigError("there are no events in this period")
    items = draw_sample(events, size, seed)
    folder = state_folder(settings, unit_file=config) / "evidence"
    rows = [(item.code, _picture(folder, item.defect_id)) for item in items]
    output.mkdir(parents=True, exist_ok=True)
    (output / "sheet.html").write_text(_template("sheet.html", rows=rows, labels=sorted(set(events.values()))), "utf-8")
    with (output / "answers.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("code", "label"), *((item.code, "") for item in items)])
    key = {"seed": seed, "station": settings.station.text, "population": Counter(events.values()),
           "items": [asdict(item) for item in items]}  # fmt: skip
    (output / "key.json").write_text(json.dumps(key, indent=1), encoding="utf-8")
    return len({item.defect_id for item in items})


def _picture(folder: Path, defect_id: str) -> str | None:
    path = folder / f"{defect_id}.jpg"
    return base64.b64encode(path.read_bytes()).decode() if path.is_file() else None


def judge_events(config: Path, period: Period, key: Path | None, answers: Sequence[Path]) -> tuple[str, dict[str, Any]]:
    """Return the station, and how right its events are by what people verified and answered.

    Args:
        config: The station's configuration.
        period: Of the events.
        key: Of a blind sample; None: only what was verified in the store counts.
        answers: A file for each inspector, named after the person.

    Raises:
        ConfigError: A file is none of a sample, an answer has no code of it, or nobody has said anything.
    """
    settings = load_settings(config).settings
    with closing(open_period_reader(settings, config)) as reader:
        rows = {row["defect_id"]: row for row in Gatherer(reader, Shifts(settings.plant)).defects(period)}
        reviews = reader.every_review()
    events = {name: row["label"] for name, row in rows.items()}
    population = dict(Counter(events.values()))
    said = [
        Answer(one, person or "unnamed", truth, blind=False, again=again)
        for one, person, verdict, label, again in reviews
        if one in events and (truth := truth_of(verdict, label, events[one])) is not None
    ]
    if answers and key is None:
        raise ConfigError("--answers need the --key of their sample")
    if key is not None:
        items, population = _read_key(key, population)
        events |= {item.defect_id: item.label for item in items.values()}
        said = [answer for path in answers for answer in _read_answers(path, items)]
    if not said:
        raise ConfigError("nobody has verified an event of this period, and there are no answers")
    return settings.station.text, evaluate(events, said, population)


def _read_key(path: Path, population: dict[str, int]) -> tuple[dict[str, Item], dict[str, int]]:
    try:
        found = json.loads(path.read_text("utf-8"))
        items = [Item(**row) for row in found["items"]]
        return {item.code: item for item in items}, found.get("population", population)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{path}: is no key of a sample: {exc}") from exc


def _read_answers(path: Path, items: dict[str, Item]) -> Iterator[Answer]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read(1 << 20)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    separator = ";" if text.partition("\n")[0].count(";") else ","
    reader = csv.DictReader(text.splitlines(), delimiter=separator)
    if not {"code", "label"} <= set(reader.fieldnames or ()):
        raise ConfigError(f"{path}: line 1: not the columns of answers.csv, code and label: {text[:40]!r}")
    for number, row in enumerate(reader, 2):
        code, label = (str(row.get(name) or "").strip() for name in ("code", "label"))
        if code.zfill(3) not in items:
            raise ConfigError(f"{path}: line {number}: no such code in the sample: {code!r}")
        if label and label != UNSURE:
            item = items[code.zfill(3)]
            yield Answer(item.defect_id, path.stem, label, blind=True, again=item.again)


def review_page(station: str, result: dict[str, Any]) -> str:
    """Return the result as one page."""
    return _template("review.html", station=station, result=result)
