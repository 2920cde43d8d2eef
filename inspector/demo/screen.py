"""What the demo shows on a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from rich.console import Group
from rich.panel import Panel
from rich.table import Table

from inspector.demo.score import DemoTally, Score
from inspector.settings.sections import Settings
from inspector.telemetry.health import HealthBoard


def value_of(registry: CollectorRegistry, name: str, labels: dict[str, str]) -> float:
    """Return a metric's value, 0 where it has none yet."""
    return registry.get_sample_value(name, labels) or 0.0


def tile_count(registry: CollectorRegistry) -> int:
    """Return how many tiles were inspected."""
    samples = (sample for metric in registry.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in samples if sample.name == "inspector_tiles_total"))


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the screen reads of the station.

    Attributes:
        page: Address of the status page, or None.
    """

    settings: Settings
    registry: CollectorRegistry
    health: HealthBoard
    page: str | None


def draw_screen(shown: Shown, ledger: DemoTally, now: Score, passed_s: float) -> Group:
    """Return the demo's screen as it is now."""
    settings, health = shown.settings, shown.health.message()
    facts = Table.grid(padding=(0, 2))
    tiles = tile_count(shown.registry)
    metres = value_of(shown.registry, "inspector_strip_meters_total", {"outcome": "inspected"})
    for name, text in (
        ("health", health.state + (f" ({health.reason})" if health.reason else "")),
        ("strip", f"{settings.source.speed_m_s:g} m/s, {metres:.1f} m inspected"),
        ("throughput", f"{tiles / max(passed_s, 0.1):.0f} tiles/s, {tiles} tiles"),
        ("drawn, found", f"{now.drawn}, {now.found}, {now.right_label} named right, {now.false_alarms} false alarms"),
        ("status page", shown.page or "off"),
        ("alerts", f"mosquitto_sub -h {settings.mqtt.host} -p {settings.mqtt.port} -v -t '{settings.root}/#'"),
    ):  # fmt: skip
        facts.add_row(f"[bold]{name}", text)
    table = Table("time", "label", "score", "severity", "where", expand=True)
    with ledger.guard:
        for alarm in ledger.alarms:
            table.add_row(alarm.captured_at[11:23], alarm.label, f"{alarm.score:.2f}", alarm.severity,
                          alarm.text.rpartition("at ")[2])  # fmt: skip
    return Group(Panel(facts, title="inspector demo: a drawn strip, inspected for real"), table)
