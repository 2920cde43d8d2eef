"""What the metrics stand at, read from the metric objects."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge

from inspector.telemetry.counts import Counts, Spent, split
from inspector.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["crack", "rust"], {"crack": "critical", "rust": "minor"})


def test_a_new_station_has_counted_nothing(metrics: Metrics) -> None:
    """Series that are there from the start with 0 do not show."""
    counts = Counts.of(metrics)

    assert (counts.inspected, counts.missed, counts.all_tiles, counts.alarms, counts.tiles) == (0, {}, 0, 0, {})
    assert counts.classify.mean_s is None


def test_counts_are_what_was_counted(metrics: Metrics) -> None:
    """Each value is its metric's, summed over the labels that are not asked for, the largest first."""
    metrics.frames.labels("inspected").inc(5)
    metrics.frames.labels("blank").inc(1)
    metrics.frames.labels("dropped").inc(2)
    metrics.tiles.labels("clean").inc(40)
    metrics.tiles.labels("crack").inc(2)
    metrics.defects.labels("rust", "minor").inc(3)
    metrics.defects.labels("crack", "critical").inc(1)
    metrics.alarms.labels("rust", "minor").inc(1)
    metrics.alarms.labels("crack", "critical").inc(1)
    metrics.stage_seconds.labels("classify").observe(0.25)
    metrics.stage_seconds.labels("classify").observe(0.75)
    metrics.outbox_bytes.labels("mqtt").set(7)

    counts = Counts.of(metrics)

    assert (counts.inspected, list(counts.missed.items())) == (5, [("dropped", 2), ("blank", 1)])
    assert (counts.all_tiles, list(counts.defects.items())) == (42, [("rust", 3), ("crack", 1)])
    assert (counts.alarms, counts.outbox_bytes) == (2, 7)
    assert (counts.classify, counts.classify.mean_s) == (Spent(2, 1.0), 0.5)


def test_a_metric_without_its_label_is_an_error() -> None:
    """A label that was renamed ends in an error, instead of a page that shows nothing."""
    other = Gauge("other", "Another.", ["kind"], registry=CollectorRegistry())
    other.labels("x").set(1)

    with pytest.raises(KeyError, match="outcome"):
        split(other, "outcome")


def test_counts_of_one_moment_do_not_change(metrics: Metrics) -> None:
    """What was read stays as it was while the station goes on counting."""
    counts = Counts.of(metrics)
    metrics.frames.labels("inspected").inc()

    assert counts.inspected == 0
