"""The status page as a pure function: what the station knows, in; HTML, out.

It has no script and no style attribute, so the strictest content policy lets it through, and it works without any
network but the one it came over. It shows; it changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from inspector.http.html import Html, el
from inspector.http.pace import Pace
from inspector.messages import HealthMessage

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
SHOWN_DEFECTS = 20
BROKER_OFF = "switched off"
"""What `facts["broker"]` says where no broker is wanted: then its absence is nothing bad."""


STATE_TEXT = {
    "ok": "Frames are being inspected.",
    "degraded": "Frames are being inspected, but something needs attention.",
    "blind": "The surface is NOT being inspected.",
    "idle": "There is nothing to inspect at present.",
    "starting": "Inspection has not begun yet.",
    "paused": "Inspection is paused.",
}


CAUSE_TEXT = {
    "dropped": "dropped: too fast for this machine",
    "unreadable": "unreadable",
    "unsupported": "no still picture of a known type, or outside tiling.roi_xy",
    "too_large": "too large",
    "partial": "arrived in part only",
    "blank": "blank: light off or lens covered",
    "overexposed": "overexposed",
    "underexposed": "underexposed",
    "frozen": "the camera repeats one picture",
    "source_down": "source down",
    "deadly": "set aside: ended the program twice",
    "paused": "paused",
    "process_down": "inspector was not running",
}


class Readings:
    """The present values of a registry, read once.

    Args:
        families: What `CollectorRegistry.collect` gives.
    """

    def __init__(self, families: Iterable[Metric]) -> None:
        self._values: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
        for family in families:
            for sample in family.samples:
                self._values[sample.name].append((sample.labels, sample.value))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all series of `name` that carry `labels`, 0 where there is none."""
        return sum(value for own, value in self._values[name] if labels.items() <= own.items())

    def split(self, name: str, label: str) -> dict[str, float]:
        """Return the values above 0 by `label`, largest first."""
        parts: dict[str, float] = defaultdict(float)
        for own, value in self._values[name]:
            parts[own[label]] += value
        return {key: value for key, value in sorted(parts.items(), key=lambda item: (-item[1], item[0])) if value}


@dataclass(frozen=True, slots=True, eq=False)
class PageView:
    """What the page shows.

    Attributes:
        health: As published.
        now: UTC, when the page was made.
        defects: Defect messages, newest first; of several phases of a defect the newest is shown. None: unreadable.
        readings: The metrics.
        facts: What runs here; `simulated` and `broker` are shown at their place, the others as they are.
        pace: None while it is not known yet.
        refresh_s: After how long a browser asks again; 0: never.
    """

    health: HealthMessage
    now: datetime
    defects: Sequence[Mapping[str, Any]] | None
    readings: Readings
    facts: Mapping[str, str | float | None]
    pace: Pace | None
    refresh_s: int


def render_page(view: PageView) -> str:
    """Return the whole page."""
    health = view.health
    defects = None if view.defects is None else latest_phases(view.defects)[:SHOWN_DEFECTS]
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", http_equiv="refresh", content=view.refresh_s) if view.refresh_s else None,
        el("title", f"{health.state.upper()} · {health.station}"),
        el("style", Html(STYLE)),
    )
    body = el(
        "body",
        _banner(view, defects or ()),
        _header(view),
        el(
            "main",
            el("div", _coverage(view), _throughput(view), _delivery(view), _findings(view), class_="panels"),
            el("section", el("h2", "Last defects"), _defects(defects, view.now), class_="last"),
            el("h2", "What runs here"),
            el("div", _about(view), class_="panel about"),
            _footer(),
        ),
    )
    return "<!doctype html>\n" + el("html", head, body, lang="en")


def latest_phases(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one message per defect, the newest, with the picture of whichever phase has one."""
    latest: dict[str, dict[str, Any]] = {}
    for message in messages:
        known = latest.setdefault(message["defect_id"], dict(message))
        if known["evidence"]["url"] is None:
            known["evidence"] = message["evidence"]
    return list(latest.values())


def explain(message: Mapping[str, Any]) -> str:
    """Return in plain words why a defect did or did not raise an alarm."""
    why = message["why"]
    score, threshold = why["score"], why["threshold"]
    base = f"Score {score:.2f} reaches the threshold {threshold:.2f} by {why['margin']:.2f}"
    match why["rule"]:
        case "mode":
            return f"{base}. No alarm: this station only observes."
        case "severity":
            return f"{base}. No alarm: {message['severity']} is below the least severity that alarms."
        case "n_of_m":
            return f"{base}. No alarm: seen in {why['hits']} of the last {why['window']} frames, more are needed."
        case "limit":
            return f"{base}. No alarm: there were already as many alarms for {message['label']} as may leave at once."
        case _:
            return f"{base}."


# --- Parts ------------------------------------------------------------------------------------------------------------


def _banner(view: PageView, defects: Sequence[Mapping[str, Any]]) -> Html | None:
    if view.facts.get("simulated"):
        text = "SIMULATED: these pictures are generated. Nothing here comes from a real line."
    elif any(defect["simulated"] for defect in defects):
        text = "Some of the defects below are SIMULATED: their pictures were generated."
    else:
        return None
    return el("div", el("div", text, class_="inner"), class_="banner", role="alert")


def _header(view: PageView) -> Html:
    health, since = view.health, datetime.fromisoformat(view.health.since)
    word, _, detail = (health.reason or "").partition(":")
    reason = f"{word.replace('_', ' ')}: {detail.strip()}" if detail else word.replace("_", " ")
    again = f"refreshes every {view.refresh_s} s · " if view.refresh_s else "does not refresh · "
    link = el("a", "hold it still", href="/?refresh=0") if view.refresh_s else el("a", "refresh again", href="/")
    return el(
        "header",
        el(
            "div",
            el("p", health.station, class_="station"),
            el("h1", health.state.upper()),
            el("p", reason or STATE_TEXT[health.state], class_="reason"),
            el("p", STATE_TEXT[health.state]) if reason else None,
            el("p", "since ", _time(since), f" ({_ago(since, view.now)}) · as of ", _time(view.now), " · ", again,
               link, class_="fresh"),
            class_="inner",
        ),
        class_=health.state,
    )  # fmt: skip


def _coverage(view: PageView) -> Html:
    outcomes = view.readings.split("inspector_frames_total", "outcome")
    inspected = outcomes.pop("inspected", 0.0)
    missed = sum(outcomes.values())
    total = inspected + missed
    if not total:
        return _panel("Coverage since the start", el("p", "no frame yet", class_="figure"))
    share = inspected / total
    shown = "100" if not missed else f"{min(share * 100, 99.99):.2f}"
    rows = [("inspected", f"{inspected:,.0f} frames"), ("not inspected", f"{missed:,.0f} frames")]
    rows += [(CAUSE_TEXT.get(cause, cause), f"{count:,.0f}") for cause, count in outcomes.items()]
    for outcome, metres in view.readings.split("inspector_strip_meters_total", "outcome").items():
        rows.append((f"strip, {outcome}", f"{metres:,.1f} m"))
    return _panel(
        "Coverage since the start",
        el("p", f"{shown} %", el("small", " inspected"), class_="figure"),
        el("meter", f"{shown} %", min=0, max=1, value=f"{share:.4f}", title="share of the frames inspected"),
        _rows(rows),
    )


def _throughput(view: PageView) -> Html:
    readings, pace = view.readings, view.pace
    last = readings.total("inspector_last_frame_timestamp_seconds")
    rows = [
        ("tiles", "–" if pace is None else f"{pace.tiles_s:,.1f} per second"),
        ("captured", f"{readings.total('inspector_frames_captured_total'):,.0f} frames"),
        ("scored", f"{readings.total('inspector_tiles_total'):,.0f} tiles"),
        ("classifying", _mean_ms(readings, "classify", "a frame")),
        ("commit", _mean_ms(readings, "commit", "each")),
        ("last frame", _ago(datetime.fromtimestamp(last, UTC), view.now) if last else "none"),
    ]
    return _panel(
        "Throughput",
        el("p", "–" if pace is None else f"{pace.frames_s:,.1f}", el("small", " frames per second"), class_="figure"),
        _rows(rows),
        el("p", "known from the next refresh on" if pace is None else f"over the last {pace.over_s:.0f} s",
           class_="quiet"),
    )  # fmt: skip


def _delivery(view: PageView) -> Html:
    readings = view.readings
    waiting, limit = readings.total("inspector_outbox_messages"), readings.total("inspector_outbox_limit_bytes")
    size, oldest = readings.total("inspector_outbox_bytes"), readings.total("inspector_outbox_oldest_timestamp_seconds")
    puback = readings.total("inspector_last_puback_timestamp_seconds")
    connected = bool(readings.total("inspector_mqtt_connected"))
    broker = view.facts.get("broker") or ("connected" if connected else "NOT connected")
    rows = [
        ("outbox", f"{_bytes(size)} of {_bytes(limit)}"),
        ("oldest waiting", _ago(datetime.fromtimestamp(oldest, UTC), view.now) if oldest else "none"),
        ("last acknowledged", _ago(datetime.fromtimestamp(puback, UTC), view.now) if puback else "never"),
    ]
    for name, text in (("outbox_lost", "lost"), ("mqtt_rejected", "broker refusals")):
        for reason, count in readings.split(f"inspector_{name}_total", "reason").items():
            rows.append((f"{text}, {reason.replace('_', ' ')}", f"{count:,.0f}"))
    return _panel(
        "Delivery",
        el("p", f"{waiting:,.0f}", el("small", " messages waiting"), class_="figure"),
        el("meter", f"{_bytes(size)}", min=0, max=limit, value=size, high=0.8 * limit, title="filling of the outbox")
        if limit else None,
        el("p", f"Broker: {broker}", class_=None if connected or broker == BROKER_OFF else "bad"),
        _rows(rows),
    )  # fmt: skip


def _findings(view: PageView) -> Html:
    readings = view.readings
    rows = [(f"tiles {verdict}", f"{count:,.0f}") for verdict, count in
            readings.split("inspector_tiles_total", "verdict").items() if verdict in ("clean", "unknown")]  # fmt: skip
    rows += [(label, f"{count:,.0f}") for label, count in readings.split("inspector_defects_total", "label").items()]
    held = {"mode": "observing only", "severity": "below severity", "n_of_m": "too few frames", "limit": "limiter"}
    for reason, count in readings.split("inspector_alarms_suppressed_total", "reason").items():
        rows.append((f"no alarm: {held.get(reason, reason)}", f"{count:,.0f}"))
    defects, alarms = readings.total("inspector_defects_total"), readings.total("inspector_alarms_total")
    return _panel(
        "Findings since the start",
        el("p", f"{defects:,.0f}", el("small", " defects, "), f"{alarms:,.0f}", el("small", " alarms"),
           class_="figure"),
        _rows(rows),
    )  # fmt: skip


def _defects(defects: Sequence[Mapping[str, Any]] | None, now: datetime) -> Html:
    if defects is None:
        return el("p", "The store cannot be read at present.", class_="bad")
    if not defects:
        return el("p", "None recorded so far.", class_="quiet")
    return el("ol", *(_defect(defect, now) for defect in defects), class_="defects")


def _defect(defect: Mapping[str, Any], now: datetime) -> Html:
    label, captured, box = str(defect["label"]), datetime.fromisoformat(defect["captured_at"]), defect["box_px"]
    alarm, severity, frame = bool(defect["alarm"]), str(defect["severity"]), defect["frame"]
    tags = [
        el("span", "ALARM" if alarm else "no alarm", class_="tag alarm" if alarm else "tag"),
        el("span", severity, class_=f"tag {severity}"),
        el("span", "simulated", class_="tag") if defect["simulated"] else None,
        el("span", str(defect["phase"]), class_="tag") if defect["phase"] != "closed" else None,
    ]
    place = f"x {box['x']} y {box['y']}, {box['width']} × {box['height']} px"
    if defect["position_m"] is not None:
        place = f"{defect['position_m']:,.2f} m · {place}"
    runner_up = defect["runner_up"]
    return el(
        "li",
        _shot(defect, f"{label}, score {defect['score']:.2f}"),
        el(
            "div",
            el("p", el("span", label), el("span", f"{defect['score']:.2f}", title="score"), class_="name"),
            el("p", *tags, class_="tags"),
            el("p", explain(defect), " To change that: ", el("code", str(defect["why"]["key"])), "."),
            el("p", _time(captured), f" ({_ago(captured, now)})", class_="quiet"),
            el("p", place, class_="quiet"),
            el("p", f"runner-up: {runner_up['label']} {runner_up['score']:.2f}", class_="quiet"),
            el("p", str(frame["source_key"] or f"frame {frame['epoch']}.{frame['frame_id']}"), class_="quiet"),
            class_="text",
        ),
        class_="defect alarmed" if alarm else "defect",
    )


def _shot(defect: Mapping[str, Any], alt: str) -> Html:
    evidence = defect["evidence"]
    if evidence["url"] is None:
        return el("div", "no picture was kept", class_="shot none")
    path = f"/evidence/{defect['defect_id']}.jpg"
    image = el("img", src=f"{path}?v={evidence['sha256']}", alt=f"{alt} (picture no longer kept)", decoding="async")
    return el("a", image, href=path, class_="shot")


def _about(view: PageView) -> Html:
    facts = {key: value for key, value in view.facts.items() if key not in ("simulated", "broker")}
    return _rows([(key.replace("_", " "), "–" if value is None else str(value)) for key, value in facts.items()])


def _footer() -> Html:
    links = (
        ("/metrics", "metrics for Prometheus"),
        ("/healthz", "health as JSON"),
        ("/api/defects", "defects as JSON"),
    )
    parts: list[str] = ["This page only shows; nothing can be changed from here. Times are UTC. "]
    for number, (path, text) in enumerate(links):
        parts += [" · " if number else "", el("a", text, href=path)]
    return el("footer", *parts)


def _panel(title: str, *children: str | None) -> Html:
    return el("section", el("h3", title), *children, class_="panel")


def _rows(rows: Sequence[tuple[str, str]]) -> Html:
    return el("dl", *(el("div", el("dt", key), el("dd", value)) for key, value in rows))


def _time(moment: datetime) -> Html:
    utc = moment.astimezone(UTC)
    return el("time", f"{utc:%Y-%m-%d %H:%M:%S} UTC", datetime=utc.isoformat(timespec="seconds"))


def _ago(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    if seconds < -1:
        return "in the future: check the clock"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{max(0, seconds):.0f} s ago"


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def _mean_ms(readings: Readings, stage: str, per: str) -> str:
    name = "inspector_stage_duration_seconds"
    count = readings.total(f"{name}_count", stage=stage)
    return f"{readings.total(f'{name}_sum', stage=stage) / count * 1000:.1f} ms {per}" if count else "–"
