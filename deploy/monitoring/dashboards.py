"""The Grafana dashboards as data; `grafana` makes their JSON.

`OVERVIEW` shows every station at a glance, `STATION` one of them in depth. A panel is a `Panel` here: title, what it
shows, its queries. The same data becomes JSON, the tables of `docs/monitoring.md`, and the list of queries that a test
runs against a real Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics import MetricWrapperBase

from deploy.monitoring.board import Annotation, Board, Panel, Query, Row
from deploy.monitoring.records import RECORDS, recorded
from deploy.monitoring.series import exposed_name, make_metrics, process, select, up

M = make_metrics()
HERE = "=~$station"
"""Matcher for the station that the variable names."""

SEVERITY_COLOURS = {"minor": "yellow", "major": "orange", "critical": "red"}


def _rate(selector: str) -> str:
    return f"rate({selector}[$__rate_interval])"


def _increase(selector: str) -> str:
    """Count each event once: windows as long as the step lie side by side, where `$__rate_interval` overlaps."""
    return f"increase({selector}[$__interval])"


def _sum(expr: str, *labels: str) -> str:
    return f"sum by ({', '.join(('station', *labels))}) ({expr})"


def _max(expr: str) -> str:
    return f"max by (station) ({expr})"


def _here(name: str) -> str:
    return recorded(name, station="$station")


def _query(metric: MetricWrapperBase, legend: str = "{{station}}", part: str = "", **matchers: str) -> Query:
    return Query(select(metric, part, station=HERE, **matchers), legend)


def _age(metric: MetricWrapperBase) -> Query:
    selector = select(metric, station=HERE)
    return Query(f"time() - ({selector} > 0)", "{{station}}")


def _heat(metric: MetricWrapperBase, **matchers: str) -> tuple[Query, ...]:
    return (Query(f"sum by (le) ({_increase(select(metric, 'bucket', station=HERE, **matchers))})", "{{le}}"),)


def _quantiles(metric: MetricWrapperBase, *labels: str) -> tuple[Query, ...]:
    selector = _rate(select(metric, "bucket", station=HERE))
    by = ", ".join((*labels, "le"))
    shown = " ".join(f"{{{{{label}}}}}" for label in labels)
    return tuple(
        Query(f"histogram_quantile({share}, sum by ({by}) ({selector}))", f"{shown} p{share:.0%}".strip().rstrip("%"))
        for share in (0.5, 0.9, 0.99)
    )


ANNOTATIONS = (
    Annotation(
        "Release", "The process started, with this version of the program.",
        f"{select(M.build, station=HERE)} * on (station, instance) group_left ()"
        f" (changes({process('process_start_time_seconds', station=HERE)}[2m]) > 0)"
        f" or ({select(M.build, station=HERE)} unless on (station, version) {select(M.build, station=HERE)} offset 2m)",
        "blue", "{{station}}: inspector {{version}} started",
    ),
    Annotation(
        "Model", "Another model bundle decides from here on.",
        f"{select(M.bundle, station=HERE)} unless on (station, fingerprint)"
        f" {select(M.bundle, station=HERE)} offset 2m",
        "purple", "{{station}}: bundle {{name}} {{version}} {{fingerprint}}",
    ),
    Annotation(
        "Configuration", "Another configuration is in force from here on.",
        f"{select(M.config, station=HERE)} unless on (station, fingerprint)"
        f" {select(M.config, station=HERE)} offset 2m",
        "yellow", "{{station}}: configuration {{fingerprint}}",
    ),
)  # fmt: skip

_COVERAGE_TEXT = (
    "Share of the frames of the last 15 minutes that were inspected. Time without a source is not in it: see Health."
)
_OUTCOME_MISSED = _sum(_rate(select(M.frames, outcome="!=inspected", station=HERE)), "outcome")

OVERVIEW = Board(
    "inspector-overview", "Inspector: all stations",
    "Every station at a glance: who sees, who is blind, how much is inspected, what is found, what waits.", True,
    (
        Row("Now", (
            Panel("Stations that answer", "Stations whose metrics can be read, of all in the target file.", "stat",
                  (Query(f"sum({up(station=HERE)})", "answer"), Query(f"count({up(station=HERE)})", "of")),
                  size=(5, 4)),
            Panel("Blind", "Stations that run and inspect nothing.", "stat",
                  (Query(f"sum({select(M.health_state, state='blind', station=HERE)})", "blind"),),
                  limits=(1, 1), size=(4, 4)),
            Panel("Alerts that fire", "All levels; the names are in Prometheus and Alertmanager.", "stat",
                  (Query('count(ALERTS{alertstate="firing",station=~"$station"} or'
                         ' ALERTS{alertname="InspectorDown",alertstate="firing",station=""}) or vector(0)', "firing"),),
                  limits=(1, 1), size=(5, 4)),
            Panel("Frames inspected", "Frames per second of all stations together.", "stat",
                  (Query(f"sum({_here('station:inspector_frames_inspected:rate5m')})", "frames/s"),), "ops",
                  size=(5, 4)),
            Panel("Defects in the last hour", "All labels and stations together.", "stat",
                  (Query(f"sum(increase({select(M.defects, station=HERE)}[1h]))", "defects"),), "short", size=(5, 4)),
            Panel("Health", "One row a station: what it said about itself; dark red: it did not answer. A click leads"
                  " to the station.", "timeline",
                  (Query(_here("station:inspector_health:code")),), states=True, size=(24, 12)),
        )),
        Row("Stations", (
            Panel("Coverage", _COVERAGE_TEXT, "lines",
                  (Query(_here("station:inspector_coverage:ratio15m")),), "percentunit", limits=(0.99, 0.95), top=1),
            Panel("Frames inspected", "Per second, by station.", "lines",
                  (Query(_here("station:inspector_frames_inspected:rate5m")),), "ops"),
            Panel("Frames not inspected", "Per second, by station; the cause is on the station's own dashboard.",
                  "lines", (Query(_here("station:inspector_frames_missed:rate5m")),), "ops"),
            Panel("Tiles", "Tiles inspected per second, by station.", "lines",
                  (Query(_here("station:inspector_tiles:rate5m")),), "ops"),
            Panel("Defects", "Defects per interval, by station.", "bars",
                  (Query(_sum(_increase(select(M.defects, station=HERE)))),)),
            Panel("Alarms", "Alarms that left, per interval, by station.", "bars",
                  (Query(_sum(_increase(select(M.alarms, station=HERE)))),)),
            Panel("Age of a frame at its commit", "90th percentile of the time from capture to commit.", "lines",
                  (Query(_here("station:inspector_frame_age_seconds:p90_5m")),), "s"),
            Panel("Load of the workers", "Share of their time spent scoring; at 1 there is no reserve.", "lines",
                  (Query(_here("station:inspector_workers:busy_ratio5m")),), "percentunit", limits=(0.8, 0.95), top=1),
            Panel("Messages that wait", "Outbox: messages that have not arrived, for the sink for which most wait.",
                  "lines", (Query(_max(select(M.outbox_messages, station=HERE))),)),
            Panel("Delivery", "90th percentile of the time from commit to the broker's acknowledgement.", "lines",
                  (Query(_here("station:inspector_delivery_duration_seconds:p90_5m")),), "s"),
            Panel("Unknown tiles", "Share of the tiles of the last 15 minutes, unclassified ones too.", "lines",
                  (Query(_here("station:inspector_unknown_tiles:ratio15m")),), "percentunit", limits=(0.2, 0.5)),
            Panel("Resident memory", "Of the process.", "lines",
                  (Query(process("process_resident_memory_bytes", station=HERE)),), "bytes"),
        )),
        Row("What runs where", (
            Panel("Program", "Version of program and Python by station.", "table", (_query(M.build),), size=(12, 8)),
            Panel("Model bundle", "Bundle by station: the fingerprint says whether two stations decide alike.",
                  "table", (_query(M.bundle),), size=(12, 8)),
        )),
    ),
    ANNOTATIONS,
)  # fmt: skip

STATION = Board(
    "inspector-station", "Inspector: one station",
    "One station in depth: health, throughput, coverage, defects, scores, latency, delivery, process.", False,
    (
        Row("Now", (
            Panel("Health", "What the station says about itself; the reason is in the topic health.", "stat",
                  (Query(_here("station:inspector_health:code")),), states=True, size=(3, 4)),
            Panel("Last frame", "Time since the last frame was captured.", "stat", (_age(M.last_frame),), "s",
                  size=(3, 4)),
            Panel("Last inspection", "Time since a frame was last inspected.", "stat", (_age(M.last_inference),), "s",
                  size=(3, 4)),
            Panel("Coverage", _COVERAGE_TEXT, "stat",
                  (Query(_here("station:inspector_coverage:ratio15m")),), "percentunit", limits=(0.99, 0.95),
                  size=(3, 4)),
            Panel("Defects in the last hour", "All labels.", "stat",
                  (Query(_sum(f"increase({select(M.defects, station=HERE)}[1h])")),), "short", size=(3, 4)),
            Panel("Messages that wait", "Outbox, for the sink for which most wait.", "stat",
                  (Query(_max(select(M.outbox_messages, station=HERE))),), limits=(100, 1000), size=(3, 4)),
            Panel("Broker", "1 while the broker is connected.", "stat", (_query(M.mqtt_connected),), limits=(1, 0.5),
                  size=(3, 4)),
            Panel("Model proven", "Time since the golden tiles last scored right; hourly.", "stat",
                  (_age(M.selftest),), "s", limits=(7200, 9000), size=(3, 4)),
        )),
        Row("Health", (
            Panel("Health over time", "What the station said about itself; dark red: it did not answer.", "timeline",
                  (Query(_here("station:inspector_health:code")),), states=True, size=(24, 4)),
            Panel("States", "Each state by itself, as the station exports it.", "timeline",
                  (_query(M.health_state, "{{state}}"),), size=(24, 7)),
            Panel("Reasons", "Why it is blind or degraded: the first word of the reason that it gives.", "timeline",
                  (_query(M.health_info, "{{reason}}"),), size=(24, 4)),
        )),
        Row("Throughput", (
            Panel("Frames captured", "What the source delivered, per second.", "lines",
                  (Query(_sum(_rate(select(M.frames_captured, station=HERE))), "captured"),), "ops", size=(6, 7)),
            Panel("Frames by outcome", "What became of them, per second.", "stacked",
                  (Query(_sum(_rate(select(M.frames, station=HERE)), "outcome"), "{{outcome}}"),), "ops", size=(6, 7)),
            Panel("Tiles by verdict", "Per second; beside them those that were not scored again, for lack of time.",
                  "stacked",
                  (Query(_sum(_rate(select(M.tiles, station=HERE)), "verdict"), "{{verdict}}"),
                   Query(_sum(_rate(select(M.looks_left_out, station=HERE))), "not scored again")), "ops", size=(6, 7)),
            Panel("Load", "Share of the workers' time spent scoring, and of the source's time spent waiting for the"
                  " inspection: at 1 there is no reserve.", "lines",
                  (Query(_here("station:inspector_workers:busy_ratio5m"), "busy"),
                   Query(_sum(_rate(select(M.source_wait, station=HERE))), "source waits")), "percentunit",
                  limits=(0.8, 0.95), top=1, size=(6, 7)),
        )),
        Row("Coverage", (
            Panel("Coverage", _COVERAGE_TEXT, "lines",
                  (Query(_here("station:inspector_coverage:ratio15m"), "coverage"),), "percentunit",
                  limits=(0.99, 0.95), top=1),
            Panel("Frames not inspected, by cause", "Per second: the cause says whether it is camera, light or load.",
                  "stacked", (Query(_OUTCOME_MISSED, "{{outcome}}"),), "ops"),
            Panel("Strip", "Metres per second that were inspected and missed; only where the scale is known.",
                  "stacked", (Query(_sum(_rate(select(M.strip_meters, station=HERE)), "outcome"), "{{outcome}}"),),
                  "velocityms"),
        )),
        Row("Defects", (
            Panel("Defects by label", "Per interval.", "bars",
                  (Query(_sum(_increase(select(M.defects, station=HERE)), "label"), "{{label}}"),), size=(12, 7)),
            Panel("Defects by severity", "Per interval.", "bars",
                  (Query(_sum(_increase(select(M.defects, station=HERE)), "severity"), "{{severity}}"),),
                  colours=tuple(SEVERITY_COLOURS.items()), size=(12, 7)),
            Panel("Alarms by label", "Alarms that left, per interval.", "bars",
                  (Query(_sum(_increase(select(M.alarms, station=HERE)), "label"), "{{label}}"),), size=(12, 7)),
            Panel("The operator's load", "Alarms of the area in the last hour (6 is the limit), and those that nobody"
                  " acknowledged.", "lines",
                  (Query(select(M.operator_alarms, station=HERE), "last hour"),
                   Query(select(M.alarms_standing, station=HERE), "standing"),
                   Query(select(M.area_stations, station=HERE), "stations heard")), size=(12, 7)),
            Panel("Flood", "More than 10 alarms in 10 minutes, and the share of time with that.", "lines",
                  (Query(select(M.alarm_flood, station=HERE), "now"),
                   Query(_rate(select(M.alarm_flood_seconds, station=HERE)), "share")), size=(12, 7)),
            Panel("Defects without alarm, by rule", "Per interval, by rule; and what was not published.", "bars",
                  (Query(_sum(_increase(select(M.alarms_suppressed, station=HERE)), "reason"), "{{reason}}"),
                   Query(_sum(_increase(select(M.unclassified_held_back, station=HERE))), "not published")),
                  size=(12, 7)),
            Panel("Roll marks", "New findings of a class that returns at a fixed distance, per interval: the topic"
                  " periodic has the pitch and the roll.", "bars",
                  (Query(_sum(_increase(select(M.periodic, station=HERE)), "label"), "{{label}}"),), size=(12, 7)),
        )),
        Row("Scores", (
            Panel("Mean score by label", "Mean leading score over an hour: it sinks when light, optics or product"
                  " drift.", "lines",
                  (Query(_here("station_label:inspector_tile_score:mean1h"), "{{label}}"),), "percentunit", top=1),
            Panel("Drift of the score", "Mean of the last hour less the mean of the last seven days, by label.",
                  "lines",
                  (Query(f"{_here('station_label:inspector_tile_score:mean1h')} - "
                         f"avg_over_time({_here('station_label:inspector_tile_score:mean1h')}[7d])", "{{label}}"),),
                  "percentunit", signed=True),
            Panel("Unknown tiles", "Share of the tiles of the last 15 minutes, unclassified ones too.", "lines",
                  (Query(_here("station:inspector_unknown_tiles:ratio15m"), "unknown"),), "percentunit",
                  limits=(0.2, 0.5)),
            Panel("Known defects found", "Share of the known defects, laid onto clean tiles, that is found.", "lines",
                  (Query(f"avg by (station, class, size) ({select(M.sensitivity_ratio, station=HERE)})",
                         "{{class}} {{size}} px"),), "percentunit", limits=(0.75, 0.5), top=1, size=(12, 8)),
            Panel("Known defects shown", "Laid onto clean tiles and found, of all classes and sizes, per minute; and"
                  " which share of the time that takes.", "lines",
                  (Query(f"60 * {_sum(_rate(select(M.sensitivity_shown, station=HERE)))}", "shown"),
                   Query(f"60 * {_sum(_rate(select(M.sensitivity_found, station=HERE)))}", "found"),
                   Query(_sum(_rate(select(M.sensitivity_seconds, station=HERE))), "share of the time")),
                  size=(12, 8)),
            Panel("Calls under the reference", "Defects called since the reference was accepted, each taken for false,"
                  " and what was inspected under it.", "lines",
                  (_query(M.reference_calls, "calls"), _query(M.reference_metres, "metres"),
                   _query(M.reference_pictures, "pictures")), size=(12, 8)),
            Panel("False calls that are possible", "The most that the calls so far leave possible (95 %), a km or 1,000"
                  " pictures: it falls while the reference proves itself.", "lines",
                  (_query(M.reference_bound, "per {{unit}}"),), size=(12, 8)),
            Panel("Scores of defects", "How many tiles got which score, all defect labels together: a sharp model"
                  " keeps to the upper rows.", "heatmap", _heat(M.tile_score, label="!=clean"), size=(12, 8)),
            Panel("Scores of clean steel", "The same for tiles that are clean.", "heatmap",
                  _heat(M.tile_score, label="clean"), size=(12, 8)),
        )),
        Row("Latency", (
            Panel("Age of a frame at its commit", "From capture to commit, how many frames took how long.", "heatmap",
                  _heat(M.frame_age), "s", size=(12, 8)),
            Panel("Delivery", "From commit to PUBACK, how many messages took how long.", "heatmap",
                  _heat(M.delivery_seconds), "s", size=(12, 8)),
            Panel("Scoring of a frame's tiles", "Stage classify, how many frames took how long.", "heatmap",
                  _heat(M.stage_seconds, stage="classify"), "s", size=(12, 8)),
            Panel("Stages", "90th percentile by stage.", "lines",
                  (Query(_here("station_stage:inspector_stage_duration_seconds:p90_5m"), "{{stage}}"),), "s",
                  size=(12, 8)),
            Panel("Age of a frame, quantiles", "From capture to commit.", "lines", _quantiles(M.frame_age), "s",
                  size=(12, 7)),
            Panel("Delivery, quantiles", "From commit to PUBACK.", "lines", _quantiles(M.delivery_seconds), "s",
                  size=(12, 7)),
        )),
        Row("Delivery", (
            Panel("Outbox", "Payload bytes that wait for each sink, beside the limit beyond which the oldest are"
                  " lost.", "lines",
                  (_query(M.outbox_bytes, "{{sink}}"), Query(_max(select(M.outbox_limit, station=HERE)), "limit")),
                  "bytes"),
            Panel("Messages that wait", "For each sink, and how long the oldest has waited, in seconds.", "lines",
                  (_query(M.outbox_messages, "{{sink}}"),
                   Query(f"({select(M.outbox_oldest, station=HERE)} > bool 0) * "
                         f"(time() - {select(M.outbox_oldest, station=HERE)})", "{{sink}}, oldest, s"))),
            Panel("Messages lost", "Lost for good, per interval, by sink and reason. Anything but 0 is an alert.",
                  "bars",
                  (Query(_sum(_increase(select(M.outbox_lost, station=HERE)), "sink", "reason"),
                         "{{sink}}, {{reason}}"),)),
            Panel("Refusals", "By the broker, per interval, by reason.", "bars",
                  (Query(_sum(_increase(select(M.mqtt_rejected, station=HERE)), "reason"), "{{reason}}"),
                   Query(_sum(_increase(select(M.mqtt_unheard, station=HERE)), "topic"), "{{topic}}, unheard"),
                   _query(M.mqtt_set_aside, "set aside, waiting"))),
            Panel("Connections", "Connections that the broker accepted, per interval: more than one is a flapping"
                  " network.", "bars",
                  (Query(_sum(_increase(select(M.mqtt_connects, station=HERE))), "connects"),)),
            Panel("Store", "Size of the store's file and of its log. A log that grows without end: another process"
                  " reads the store.", "lines", (_query(M.store_bytes, "{{part}}"),), "bytes"),
            Panel("Free space", "On the store's disk.", "lines",
                  (Query(_max(select(M.disk_free, station=HERE)), "free"),), "bytes"),
            Panel("Given up to make room", "Old records and finished files that were deleted, per interval.", "bars",
                  (Query(_sum(_increase(select(M.records_pruned, station=HERE))), "records"),
                   Query(_sum(_increase(select(M.files_forgotten, station=HERE))), "finished files"))),
            Panel("Store set aside", "Unix time at which a broken store was set aside; 0: never.", "stat",
                  (_query(M.store_aside, "set aside"),), size=(6, 7)),
            Panel("Last acknowledgement", "Time since the broker last acknowledged a message.", "lines",
                  (Query(_age(M.last_puback).expr, "since the last PUBACK"),), "s"),
        )),
        Row("Process", (
            Panel("Memory", "Resident.", "lines",
                  (Query(process("process_resident_memory_bytes", station=HERE), "resident"),), "bytes", size=(6, 7)),
            Panel("Processor", "Cores in use, beside the number of workers.", "lines",
                  (Query(_sum(_rate(process("process_cpu_seconds_total", station=HERE))), "cores"),
                   _query(M.workers, "workers")), size=(6, 7)),
            Panel("Open files", "Beside the limit.", "lines",
                  (Query(process("process_open_fds", station=HERE), "open"),
                   Query(process("process_max_fds", station=HERE), "limit")), size=(6, 7)),
            Panel("Restarts in the last hour", "And whether the last reload was taken (1).", "stat",
                  (Query(f"changes({process('process_start_time_seconds', station=HERE)}[1h])", "restarts"),
                   _query(M.reload_ok, "reload taken")), size=(6, 7)),
            Panel("Model bundle", "What decides here.", "table", (_query(M.bundle),), size=(8, 6)),
            Panel("Reference", "Of the site's good surface, and when it was accepted (Unix time); none: untaught.",
                  "table", (_query(M.reference), _query(M.reference_accepted)), size=(8, 6)),
            Panel("Program", "What runs here.", "table", (_query(M.build),), size=(8, 6)),
            Panel("Configuration and station", "Fingerprint in force, and what the station calls itself.", "table",
                  (_query(M.config), _query(M.station)), size=(8, 6)),
        )),
    ),
    ANNOTATIONS,
)  # fmt: skip

BOARDS = (OVERVIEW, STATION)


def queries(board: Board) -> Iterator[tuple[str, str]]:
    """Yield where each query stands and its text: panels, annotations, and what fills the variable."""
    for row in board.rows:
        for panel in row.panels:
            for query in panel.queries:
                yield f"{board.title} / {row.title} / {panel.title}", query.expr
    for annotation in board.annotations:
        yield f"{board.title} / annotation {annotation.name}", annotation.expr


def unused_metrics() -> set[str]:
    """Return the metrics that neither a panel nor a rule that a panel shows looks at."""
    text = " ".join(expr for board in BOARDS for _, expr in queries(board))
    text += " ".join(record.expr for record in RECORDS if record.name in text)
    names = set()
    for metric in vars(M).values():
        if hasattr(metric, "collect") and metric is not M.registry:
            is_histogram = any(sample.name.endswith("_bucket") for sample in metric.collect()[0].samples)
            names.add(exposed_name(metric, "bucket" if is_histogram else ""))
    return {name for name in names if name not in text and name.replace("_bucket", "_sum") not in text}
