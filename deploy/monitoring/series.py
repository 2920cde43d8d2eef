"""PromQL selectors, written from the metric objects of `inspector.telemetry.metrics`.

A renamed metric, label or label value ends the build here instead of emptying a panel on the line. Nothing here knows a
rule or a panel. What comes from the scrape instead of the program (`up`, `station`) is named once, in this file.
"""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, Histogram, Info, ProcessCollector
from prometheus_client.metrics import MetricWrapperBase

from inspector.model.bundle import DEFAULT_BUNDLE, find_bundle, load_bundle
from inspector.telemetry.metrics import Metrics

JOB = "inspector"
STATION_LABELS = ("site", "line", "station")
"""Labels that the target file gives every station: they are there while the station is down, too."""
BY = ", ".join(STATION_LABELS)
SCRAPE_LABELS = frozenset({*STATION_LABELS, "job", "instance", "le"})

_OPERATOR = re.compile(r"^(=~|!~|!=)?(.*)$", re.DOTALL)


def make_metrics() -> Metrics:
    """Return the metric table of a station with the shipped bundle, on a registry of its own."""
    card = load_bundle(find_bundle(DEFAULT_BUNDLE)).card
    return Metrics(CollectorRegistry(), card.defect_labels, card.severity)


def exposed_name(metric: MetricWrapperBase, part: str = "") -> str:
    """Return the name that Prometheus sees; of a histogram `part` says which: bucket, sum or count."""
    names = {sample.name for family in metric.collect() for sample in family.samples}
    names = {name for name in names if not name.endswith("_created")}
    if isinstance(metric, Histogram) != bool(part):
        raise ValueError(f"part is for histograms, and they need one: {sorted(names)}, part {part!r}")
    if part:
        names = {name for name in names if name.endswith(f"_{part}")}
    (name,) = names
    return name


def label_values(metric: MetricWrapperBase) -> dict[str, set[str]]:
    """Return the labels of a metric, each with the values that are there from the start."""
    values: dict[str, set[str]] = {}
    for family in metric.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
    return values


def select(metric: MetricWrapperBase, part: str = "", **matchers: str) -> str:
    """Return a selector, checked against the metric.

    Args:
        metric: From `make_metrics`.
        part: Of a histogram.
        matchers: Value to match by label; it may begin with `!=`, `=~` or `!~`.

    Raises:
        ValueError: The metric has no such label, or no such value.
    """
    name, known = exposed_name(metric, part), label_values(metric)
    for label, matcher in matchers.items():
        if label in SCRAPE_LABELS or isinstance(metric, Info):
            continue
        if label not in known:
            raise ValueError(f"{name} has no label {label!r}: {sorted(known)}")
        operator, value = _split(matcher)
        wanted = value.split("|") if operator in ("=~", "!~") else [value]
        if "$" not in value and (missing := [one for one in wanted if one not in known[label]]):
            raise ValueError(f"{name} has no {label} = {missing}: {sorted(known[label])}")
    return braces(name, **matchers)


def braces(name: str, **matchers: str) -> str:
    """Return a selector of any series by name."""
    parts = []
    for label, matcher in matchers.items():
        operator, value = _split(matcher)
        parts.append(f'{label}{operator or "="}"{value}"')
    return f"{name}{{{','.join(parts)}}}" if parts else name


def up(**matchers: str) -> str:
    """Return Prometheus's own series: 1 while a station answers the scrape."""
    return braces("up", job=JOB, **matchers)


def process(name: str, **matchers: str) -> str:
    """Return a series of the process collector that the daemon registers beside its own metrics."""
    known = {family.name for family in ProcessCollector(registry=None).collect()}
    base = name.removesuffix("_total")
    if base not in known:
        raise ValueError(f"the process collector has no {name}: {sorted(known)}")
    return braces(name, job=JOB, **matchers)


def _split(matcher: str) -> tuple[str, str]:
    match = _OPERATOR.match(matcher)
    assert match is not None  # noqa: S101 - the pattern matches every text
    return match[1] or "", match[2]
