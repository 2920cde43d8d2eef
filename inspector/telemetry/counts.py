"""The present values of the metrics, read from the metric objects, for pages and screens.

A metric that is renamed, or gets another label, is an error here and not a 0 on a page. Prometheus reads the registry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client import Counter, Gauge, Histogram, Metric

from inspector.telemetry.metrics import Metrics

INSPECTED = "inspected"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stage has taken so far.

    Attributes:
        runs: How often it ran.
        seconds: Of all runs together.
    """

    runs: float
    seconds: float

    @property
    def mean_s(self) -> float | None:
        """Seconds of one run; None before the first."""
        return self.seconds / self.runs if self.runs else None


@dataclass(frozen=True, slots=True)
class Counts:
    """The values of the metrics. Mappings hold only what is above 0, the largest first.

    Attributes:
        captured: Frames that the source delivered.
        frames: By outcome.
        strip_meters: By outcome.
        tiles: By verdict.
        defects: By label.
        alarms: Of all labels.
        alarms_suppressed: By reason.
        operator_alarms: Of the operator's area in the last hour.
        standing: Alarms that nobody acknowledged.
        in_flood: 1 while there is more to say than a person can take.
        classify: Scoring the tiles of a frame.
        commit: Storing what a frame leaves.
        last_frame_s: Unix time; 0: none yet.
        last_puback_s: Unix time; 0: none yet.
        waiting: Messages by sink; 0 where none waits.
        outbox_messages: Waiting for the sink for which most wait.
        outbox_bytes: Of their payloads.
        outbox_limit_bytes: Beyond it the oldest are lost.
        outbox_oldest_s: Unix time at which the oldest that waits for any sink was stored; 0: none waits.
        outbox_lost: By reason, of all sinks together.
        mqtt_rejected: By reason.
        probes_shown: Known defects laid onto clean tiles, by size in pixels, the smallest first.
        probes_found: Those that were found, likewise.
    """

    captured: float
    frames: Mapping[str, float]
    strip_meters: Mapping[str, float]
    tiles: Mapping[str, float]
    defects: Mapping[str, float]
    alarms: float
    alarms_suppressed: Mapping[str, float]
    operator_alarms: float
    standing: float
    in_flood: float
    classify: Spent
    commit: Spent
    last_frame_s: float
    last_puback_s: float
    waiting: Mapping[str, float]
    outbox_messages: float
    outbox_bytes: float
    outbox_limit_bytes: float
    outbox_oldest_s: float
    outbox_lost: Mapping[str, float]
    mqtt_rejected: Mapping[str, float]
    probes_shown: Mapping[str, float]
    probes_found: Mapping[str, float]

    @classmethod
    def of(cls, metrics: Metrics) -> Self:
        """Return the present values."""
        return cls(
            captured=total(metrics.frames_captured),
            frames=split(metrics.frames, "outcome"),
            strip_meters=split(metrics.strip_meters, "outcome"),
            tiles=split(metrics.tiles, "verdict"),
            defects=split(metrics.defects, "label"),
            alarms=total(metrics.alarms),
            alarms_suppressed=split(metrics.alarms_suppressed, "reason"),
            operator_alarms=total(metrics.operator_alarms),
            standing=total(metrics.alarms_standing),
            in_flood=total(metrics.alarm_flood),
            classify=spent(metrics.stage_seconds, stage="classify"),
            commit=spent(metrics.stage_seconds, stage="commit"),
            last_frame_s=total(metrics.last_frame),
            last_puback_s=total(metrics.last_puback),
            waiting={labels["sink"]: value for labels, value in _series(metrics.outbox_messages.collect())},
            outbox_messages=largest(metrics.outbox_messages),
            outbox_bytes=largest(metrics.outbox_bytes),
            outbox_limit_bytes=largest(metrics.outbox_limit),
            outbox_oldest_s=smallest(metrics.outbox_oldest),
            outbox_lost=split(metrics.outbox_lost, "reason"),
            mqtt_rejected=split(metrics.mqtt_rejected, "reason"),
            probes_shown=dict(sorted(split(metrics.sensitivity_shown, "size").items(), key=lambda row: int(row[0]))),
            probes_found=split(metrics.sensitivity_found, "size"),
        )

    @property
    def inspected(self) -> float:
        """Frames that were inspected."""
        return self.frames.get(INSPECTED, 0.0)

    @property
    def missed(self) -> Mapping[str, float]:
        """Frames that were not inspected, by cause."""
        return {outcome: count for outcome, count in self.frames.items() if outcome != INSPECTED}

    @property
    def all_tiles(self) -> float:
        """Tiles of any verdict."""
        return sum(self.tiles.values())


def total(metric: Counter | Gauge) -> float:
    """Return the sum over all series of a metric."""
    return sum(value for _, value in _series(metric.collect()))


def largest(metric: Counter | Gauge) -> float:
    """Return the largest value of all series of a metric."""
    return max(value for _, value in _series(metric.collect()))


def smallest(metric: Counter | Gauge) -> float:
    """Return the smallest value above 0 of all series of a metric; 0: there is none."""
    return min((value for _, value in _series(metric.collect()) if value), default=0.0)


def split(metric: Counter | Gauge, label: str) -> dict[str, float]:
    """Return the values above 0 by `label`, the largest first."""
    parts: dict[str, float] = defaultdict(float)
    for labels, value in _series(metric.collect()):
        parts[labels[label]] += value
    return {key: value for key, value in sorted(parts.items(), key=lambda item: (-item[1], item[0])) if value}


def spent(metric: Histogram, **labels: str) -> Spent:
    """Return count and sum of the series with these labels."""
    values = {"_count": 0.0, "_sum": 0.0}
    for family in metric.collect():
        for sample in family.samples:
            part = sample.name.removeprefix(family.name)
            if part in values and sample.labels == labels:
                values[part] = sample.value
    return Spent(values["_count"], values["_sum"])


def _series(families: Iterable[Metric]) -> list[tuple[Mapping[str, str], float]]:
    return [(sample.labels, sample.value) for family in families for sample in family.samples]
