"""What the demo shows on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.panel import Panel
from rich.table import Table

from inspector.demo.score import Score
from inspector.messages import AlarmMessage
from inspector.settings.sections import Settings
from inspector.telemetry.counts import INSPECTED, Counts
from inspector.telemetry.health import HealthBoard
from inspector.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, eq=False)
class ScreenView:
    """What the screen reads of the station.

    Attributes:
        speed_m_s: Of the drawn strip.
        page: Address of the status page, or None.
    """

    speed_m_s: float
    metrics: Metrics
    health: HealthBoard
    page: str | None


def listen_command(settings: Settings) -> str:
    """Return the command that shows the messages of this station, to be copied from one line."""
    return f"mosquitto_sub -h {settings.mqtt.host} -p {settings.mqtt.port} -v -t '{settings.root}/#'"


def draw_screen(view: ScreenView, alarms: Sequence[AlarmMessage], now: Score, passed_s: float) -> Group:
    """Return the demo's screen as it is now.

    Args:
        view: What it reads of the station.
        alarms: The last ones, newest first.
        now: Drawn against found.
        passed_s: Seconds since the start.
    """
    health = view.health.message()
    facts = Table.grid(padding=(0, 2))
    counts = Counts.of(view.metrics)
    tiles, metres = counts.all_tiles, counts.strip_meters.get(INSPECTED, 0.0)
    for name, text in (
        ("health", health.state + (f" ({health.reason})" if health.reason else "")),
        ("strip", f"{view.speed_m_s:g} m/s, {metres:.1f} m inspected"),
        ("throughput", f"{tiles / max(passed_s, 0.1):.0f} tiles/s, {tiles:.0f} tiles"),
        ("drawn, found", f"{now.drawn}, {now.found}, {now.right_label} named right, {now.false_alarms} false alarms"),
        ("status page", view.page or "off"),
    ):
        facts.add_row(f"[bold]{name}", text)
    table = Table("time", "label", "score", "severity", "where", expand=True)
    for alarm in alarms:
        where = alarm.text.rpartition(", ")[2]
        table.add_row(alarm.captured_at[11:23], alarm.label, f"{alarm.score:.2f}", alarm.severity, where)
    return Group(Panel(facts, title="inspector demo: a drawn strip, inspected for real"), table)
