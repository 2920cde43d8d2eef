"""The status page as a pure function: the station's facts in, HTML out.

It has no script and no style attribute, so the strictest content policy lets it through, and it works without any
network but the one it came over. It shows; it changes nothing. Its text and order are in `templates/status.html`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from markupsafe import Markup

from inspector.http import words
from inspector.http.pace import Pace
from inspector.messages import HealthMessage
from inspector.pages.language import ENGLISH
from inspector.pages.templates import templates
from inspector.sinks.base import SinkStatus
from inspector.sinks.mqtt.options import BrokerStatus
from inspector.telemetry.counts import Counts
from inspector.track.operators import OperatorState

FOLDER = Path(__file__).parent
CATALOGUE = "pages"
STYLE = (FOLDER / "page.css").read_text(encoding="utf-8")
SHOWN_DEFECTS = 20


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What runs here.

    Attributes:
        rows: Names with their values; None: no value.
        broker: The state of the broker; None: delivery to one is disabled, so that a missing broker is no fault.
        files: Whether messages are written to files; None: files are disabled.
        simulated: The pictures are generated.
        operators: What people have asked for, and is in force.
        config: How a person on the PC names the configuration.
    """

    rows: Mapping[str, str | None]
    broker: BrokerStatus | None = None
    files: SinkStatus | None = None
    simulated: bool = False
    operators: OperatorState = field(default_factory=OperatorState)
    config: str = "FILE"


@dataclass(frozen=True, slots=True, eq=False)
class PageView:
    """What the page shows.

    Attributes:
        health: As published.
        now: UTC, when the page was made.
        defects: Defect messages, newest first; of several phases of a defect the newest is shown. None: unreadable.
        counts: The metrics.
        facts: What runs here.
        pace: None while it is not known yet.
        refresh_s: After how long a browser asks again; 0: never.
        zone: In which times are shown; None: that of this machine.
        names: What the plant calls labels, in the language of the page.
    """

    health: HealthMessage
    now: datetime
    defects: Sequence[Mapping[str, Any]] | None
    counts: Counts
    facts: PageFacts
    pace: Pace | None
    refresh_s: int
    zone: tzinfo | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def render_defect(
    defect: Mapping[str, Any], now: datetime, names: Mapping[str, str], config: object, code: str = ENGLISH
) -> str:
    """Return the page of one defect: what an alarm's link opens."""
    return (
        templates(FOLDER, CATALOGUE, code)
        .get_template("one_defect.html")
        .render(defect=defect, now=now, names=names, config=config, words=words, style=Markup(STYLE))  # noqa: S704 - our own file
    )


def render_page(view: PageView, code: str = ENGLISH) -> str:
    """Return the whole page in the language of this code."""
    reason, _, detail = (view.health.reason or "").partition(":")
    return (
        templates(FOLDER, CATALOGUE, code)
        .get_template("status.html")
        .render(
            view=view,
            words=words,
            style=Markup(STYLE),  # noqa: S704 - our own file
            reason=reason,
            detail=detail.strip(),
            defects=None if view.defects is None else latest_phases(view.defects)[:SHOWN_DEFECTS],
        )
    )


def latest_phases(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one message per defect, the newest, with the picture of whichever phase has one."""
    latest: dict[str, dict[str, Any]] = {}
    for message in messages:
        known = latest.setdefault(message["defect_id"], dict(message))
        if known["evidence"]["url"] is None:
            known["evidence"] = message["evidence"]
    return list(latest.values())
