"""Recording and alert rules, as data: what is computed ahead, and what asks a person to act.

Each alert says what it means and what to do first; `docs/runbook.md` has the long form, and a test holds the two
together. What a station already judges itself (blind, idle, paused) is taken over, not judged again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from deploy.monitoring.series import BY, JOB, make_metrics, process, select, up
from inspector.settings.sections import Events
from inspector.station.supervision import SELFTEST_S
from inspector.telemetry.health import HealthLimits
from inspector.telemetry.metrics import HEALTH_STATES

Level = Literal["critical", "warning", "info"]

M = make_metrics()
STATE_CODES = {"down": 0, "blind": 1, "degraded": 2, "paused": 3, "starting": 4, "idle": 5, "ok": 6}
"""Health as a number, so that one row of a timeline shows it; the worse, the smaller."""
assert set(STATE_CODES) == {"down", *HEALTH_STATES}  # noqa: S101 - a new state needs a code

HEALTH = HealthLimits()
"""What a station judges itself by."""
SHARE_LOW = 0.95
MISSED_FRAMES = 5
SHARE_DROPPED = 0.01
WAIT_SHARE = 0.9
AGE_GROWTH_S = 10
BLIND_SHARE = 0.1
BURST_DEFECTS = 20
BURST_FACTOR = 5
RESTARTS = 2
CRASH_LOOP_STARTS = 5
FLAPPING_CONNECTS = 5
UNWRITTEN_S = 600


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded series.

    Attributes:
        name: level:metric:operation, as is usual with Prometheus.
        text: What it is, with its unit.
    """

    name: str
    expr: str
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        hold: How long the condition must last.
        summary: One line; `{{ $labels.station }}` and `{{ $value }}` are filled in.
        meaning: What has happened, in one sentence.
        action: What to do first, in one sentence.
    """

    name: str
    level: Level
    hold: str
    expr: str
    summary: str
    meaning: str
    action: str


RUNBOOK_FOLDERS = "/usr/share/doc/inspector/ with the package, docs/ in the repository"


def _state_code() -> str:
    terms = [f"{code} * {select(M.health_state, state=state)}" for state, code in STATE_CODES.items() if code]
    return "\n+ ignoring (state) ".join(terms) + f"\nor\n0 * ({up()} == 0)"


def _quantile(share: float, metric_rate: str, *labels: str) -> str:
    return f"histogram_quantile({share}, sum by ({', '.join((BY, *labels, 'le'))}) ({metric_rate}))"


def _rate(selector: str, window: str) -> str:
    return f"rate({selector}[{window}])"


def _increase(selector: str, window: str) -> str:
    return f"increase({selector}[{window}])"


def _by_station(expr: str, *labels: str) -> str:
    return f"sum by ({', '.join((BY, *labels))}) ({expr})"


def _defects_per_tile(window: str) -> str:
    defects = _by_station(_increase(select(M.defects), window), "label")
    return f"{defects} / on ({BY}) group_left () {_by_station(_increase(select(M.tiles), window))}"


_FRAMES = select(M.frames)
_INSPECTED = select(M.frames, outcome="inspected")

RECORDS = (
    Record("station:inspector_health:code", _state_code(),
           "Health as a number: " + ", ".join(f"{code} {state}" for state, code in STATE_CODES.items()) + "."),
    Record("station:inspector_frames_inspected:rate5m", _by_station(_rate(_INSPECTED, "5m")),
           "Frames inspected per second."),
    Record("station:inspector_frames_missed:rate5m",
           _by_station(_rate(select(M.frames, outcome="!=inspected"), "5m")), "Frames not inspected per second."),
    Record("station:inspector_coverage:ratio15m",
           f"{_by_station(_increase(_INSPECTED, '15m'))}\n/\n({_by_station(_increase(_FRAMES, '15m'))} > 0)",
           "Share of the frames of the last 15 minutes that were inspected; nothing while no frame came. Time without a"
           " source brings no frames and is not in it."),
    Record("station:inspector_dropped:ratio5m",
           f"{_by_station(_rate(select(M.frames, outcome='dropped'), '5m'))}\n/\n"
           f"({_by_station(_rate(_FRAMES, '5m'))} > 0)",
           "Share of the frames that were dropped for lack of time."),
    Record("station:inspector_tiles:rate5m", _by_station(_rate(select(M.tiles), "5m")), "Tiles inspected per second."),
    Record("station:inspector_unknown_tiles:ratio15m",
           f"{_by_station(_increase(select(M.tiles, verdict='unknown'), '15m'))}\n/\n"
           f"({_by_station(_increase(select(M.tiles), '15m'))} > 0)",
           "Share of the tiles that the model does not know."),
    Record("station:inspector_workers:busy_ratio5m",
           f"{_by_station(_rate(select(M.worker_busy), '5m'))}\n/\n{_by_station(select(M.workers))}",
           "Share of the workers' time that was spent scoring; 1: no reserve."),
    Record("station:inspector_frame_age_seconds:p90_5m",
           _quantile(0.9, _rate(select(M.frame_age, "bucket"), "5m")), "From capture to commit, 90th percentile."),
    Record("station:inspector_frame_age_seconds:mean5m",
           f"{_by_station(_rate(select(M.frame_age, 'sum'), '5m'))}\n/\n"
           f"({_by_station(_rate(select(M.frame_age, 'count'), '5m'))} > 0)",
           "From capture to commit, mean: it rises for as long as frames arrive faster than they are inspected."),
    Record("station:inspector_delivery_duration_seconds:p90_5m",
           _quantile(0.9, _rate(select(M.delivery_seconds, "bucket"), "5m")),
           "From commit to PUBACK, 90th percentile."),
    Record("station_stage:inspector_stage_duration_seconds:p90_5m",
           _quantile(0.9, _rate(select(M.stage_seconds, "bucket"), "5m"), "stage"),
           "Time in each stage, 90th percentile."),
    Record("station_label:inspector_tile_score:mean1h",
           f"{_by_station(_increase(select(M.tile_score, 'sum'), '1h'), 'label')}\n/\n"
           f"({_by_station(_increase(select(M.tile_score, 'count'), '1h'), 'label')} > 0)",
           "Mean leading score of the tiles of a label over an hour: it sinks when light, optics or product drift."),
)  # fmt: skip


def recorded(name: str, **matchers: str) -> str:
    """Return a selector of a recorded series that exists.

    Raises:
        ValueError: No rule records it.
    """
    if name not in {record.name for record in RECORDS}:
        raise ValueError(f"no rule records {name}")
    parts = [f'{label}=~"{value}"' for label, value in matchers.items()]
    return f"{name}{{{','.join(parts)}}}" if parts else name


_MEAN_AGE = recorded("station:inspector_frame_age_seconds:mean5m")
_AGES = (_MEAN_AGE, *(f"{_MEAN_AGE} offset {ago}m" for ago in (5, 10, 15)))
_AGE_RISES = "\nand\n".join(f"  {now} - {before} > {AGE_GROWTH_S}" for now, before in pairwise(_AGES))
_BYI = f"{BY}, instance"
_CAPTURED = select(M.frames_captured)
_WAITING = f"sum without (sink) ({select(M.outbox_messages, sink='mqtt')})"
_UNDELIVERED = f"({_WAITING} > 0 unless changes({select(M.last_puback)}[10m]) > 0)"
_BUNDLES_BEFORE = f"last_over_time({select(M.bundle)}[1w] offset 1h)"
_TRIES = f"sum by ({_BYI}) ({select(M.mqtt_rejected)}) + sum by ({_BYI}) ({select(M.mqtt_connects)})"

ALERTS = (
    Alert(
        "InspectorDown", "critical", "1m",
        f'{up()} == 0\nor\nabsent(up{{job="{JOB}"}})',
        "{{ with $labels.station }}{{ . }} does not answer{{ else }}no station is scraped{{ end }}",
        "Prometheus cannot read the metrics: the process, its machine or the network between is down, or no station"
        " is in the target file at all.",
        "On the station: systemctl status inspector@NAME, then journalctl -u inspector@NAME -n 50.",
    ),
    Alert(
        "InspectorBlind", "critical", "30s",
        f"max by ({_BYI}) ({select(M.health_state, state='blind')}) == 1",
        "{{ $labels.station }} is blind: nothing is inspected",
        "The daemon runs and inspects nothing: the source is down, its frames are unusable, or the store refuses.",
        "Read the reason in the retained topic health or on the status page; it names the cause.",
    ),
    Alert(
        "BlindOften", "warning", "5m",
        f"max by ({_BYI}) (avg_over_time({select(M.health_state, state='blind')}[15m])) > {BLIND_SHARE}",
        "{{ $labels.station }} was blind for {{ $value | humanizePercentage }} of the last 15 minutes",
        f"The station was blind for more than {BLIND_SHARE:.0%} of the last 15 minutes, in pieces each of which may be"
        " too short for InspectorBlind.",
        "journalctl -u inspector@NAME | grep source_ shows how often the source fails and why; cable, power, network.",
    ),
    Alert(
        "NotProgressing", "critical", "1m",
        f"(sum by ({_BYI}) ({_CAPTURED}) - sum by ({_BYI}) ({_FRAMES}) > 0"
        f" unless sum by ({_BYI}) ({_increase(_FRAMES, '1m')}) > 0)\nor\n"
        f"(sum by ({_BYI}) ({_increase(_CAPTURED, '2m')}) > 0"
        f" unless sum by ({_BYI}) ({_increase(_FRAMES, '2m')}) > 0)",
        "{{ $labels.station }} takes frames and finishes none",
        "Frames were captured, and none of them was finished for over a minute.",
        "Restart the station; frames on disk are not lost. Keep the journal of the minutes before.",
    ),
    Alert(
        "CrashLoop", "critical", "0s",
        f"changes({process('process_start_time_seconds')}[10m]) > {CRASH_LOOP_STARTS}",
        "{{ $labels.station }} was started {{ $value | printf \"%.0f\" }} times within ten minutes",
        "The process ends within seconds or a few minutes of each start: hardly anything is inspected.",
        "journalctl -u inspector@NAME -n 100: the last lines before each start say why it ended.",
    ),
    Alert(
        "MessagesLost", "critical", "0s",
        f"{_by_station(_increase(select(M.outbox_lost), '1h'), 'reason')} > 0\nor\n"
        + _by_station(f"{select(M.outbox_lost)} > 0 unless {select(M.outbox_lost)} offset 1h", "reason"),
        "{{ $labels.station }} lost {{ $value | printf \"%.0f\" }} messages ({{ $labels.reason }})",
        "Messages were lost for good for a sink: the outbox was full, or the broker refused them five times.",
        "Read first and last seq in the topic coverage, cause messages_lost; the records are still in the store.",
    ),
    Alert(
        "CoverageLow", "warning", "5m",
        f"{recorded('station:inspector_coverage:ratio15m')} < {SHARE_LOW}\nand\n"
        f"{_by_station(_increase(select(M.frames, outcome='!~inspected|paused'), '15m'))} > {MISSED_FRAMES}",
        "{{ $labels.station }} inspected only {{ $value | humanizePercentage }} of its frames",
        f"More than {1 - SHARE_LOW:.0%} of the frames of the last 15 minutes, and more than {MISSED_FRAMES} frames,"
        " were not inspected.",
        "Read the panel 'Frames not inspected, by cause': the cause says whether it is camera, light or load.",
    ),
    Alert(
        "FallingBehind", "warning", "5m",
        f"{recorded('station:inspector_dropped:ratio5m')} > {SHARE_DROPPED}\nor\n"
        f"{_by_station(_rate(select(M.source_wait), '15m'))} > {WAIT_SHARE}\nor\n(\n{_AGE_RISES}\n)",
        "{{ $labels.station }} inspects slower than frames arrive",
        "A live camera loses frames for lack of time; or for a quarter of an hour a folder or stream waited for the"
        " inspection most of the time, or frames waited ever longer.",
        "Compare `inspector bench` with the tiles per second that the line needs; check what else uses the processor.",
    ),
    Alert(
        "OutboxFilling", "warning", "5m",
        f"max without (sink) (\n  (\n    predict_linear({select(M.outbox_bytes)}[30m], 4 * 3600) >"
        f" {select(M.outbox_limit)}\n  and\n    {select(M.outbox_bytes)} > 0.01 * {select(M.outbox_limit)}\n  )\n"
        f"  or\n  {select(M.outbox_bytes)} > {HEALTH.outbox_share} * {select(M.outbox_limit)}\n)",
        "{{ $labels.station }} will have to give up messages",
        f"At the present rate the outbox is full within four hours, or it is over {HEALTH.outbox_share:.0%} already.",
        "Bring the broker or the disk of the files back, or make room: store.outbox_limit_bytes can be raised with a"
        " reload.",
    ),
    Alert(
        "BrokerAway", "warning", "5m",
        f"{select(M.mqtt_connected)} == 0\nand on ({_BYI})\n({_TRIES} > 0)",
        "{{ $labels.station }} has no broker",
        "The station inspects and stores, but the plant receives nothing: the broker has been away for five minutes.",
        "Is the broker up? On the station, sudo inspector check --config FILE shows what it answers.",
    ),
    Alert(
        "BrokerFlapping", "warning", "5m",
        f"increase({select(M.mqtt_connects)}[15m]) > {FLAPPING_CONNECTS}\nunless on ({_BYI})\n{_UNDELIVERED}",
        "{{ $labels.station }} loses its broker again and again",
        f"More than {FLAPPING_CONNECTS} connections within 15 minutes: each lasts a moment, and messages arrive late"
        " and in bursts.",
        "journalctl -u inspector@NAME | grep -E 'broker_|connection_' shows how each ended; another client with the"
        " same id, or the network.",
    ),
    Alert(
        "NothingDelivered", "warning", "5m",
        f"{_UNDELIVERED}\nand on ({_BYI})\nmax_over_time({select(M.mqtt_connected)}[5m]) == 1",
        "{{ $labels.station }} has a broker that acknowledges nothing",
        "The broker is connected, messages wait, and none of them has been acknowledged for ten minutes.",
        "Check the broker: its disk, its log, its load; restarting it loses no message of the station.",
    ),
    Alert(
        "FilesNotWritten", "warning", "5m",
        f"time() - (sum without (sink) ({select(M.outbox_oldest, sink='jsonl')}) > 0) > {UNWRITTEN_S}",
        "{{ $labels.station }} cannot write its message files",
        f"The oldest message that waits for the files of [jsonl] was stored more than {UNWRITTEN_S // 60} minutes ago.",
        "Read the reason in the retained topic health or on the status page: the disk is full, or the folder is gone or"
        " not the station's.",
    ),
    Alert(
        "BrokerRejects", "warning", "0s",
        f"{_by_station(_increase(select(M.mqtt_rejected, reason='!=unreachable'), '15m'), 'reason')} > 0",
        "The broker refuses {{ $labels.station }} ({{ $labels.reason }})",
        "The broker answers and refuses: login, certificate, protocol version, or no right to publish a topic.",
        "sudo inspector check --config FILE shows the answer to a login, and the log names a refused topic; then"
        " compare user, certificate dates and ACL.",
    ),
    Alert(
        "SelfTestStale", "warning", "0s",
        f"time() - {select(M.selftest)} > {2.5 * SELFTEST_S:.0f}",
        "{{ $labels.station }} has not proven its model for {{ $value | humanizeDuration }}",
        "The golden tiles are scored every hour to prove that this machine still computes what was signed off. They"
        " were not.",
        "Restart the station; if it then refuses the bundle, install the bundle again and test the memory.",
    ),
    Alert(
        "ReloadFailed", "warning", "0s",
        f"{select(M.reload_ok)} == 0",
        "{{ $labels.station }} refused its new configuration",
        "A reload was requested and refused; the station runs with the previous configuration and would not start with"
        " the file as it is.",
        "sudo inspector check --config FILE names key and reason; fix it, then reload.",
    ),
    Alert(
        "Restarting", "warning", "0s",
        f"changes({process('process_start_time_seconds')}[1h]) > {RESTARTS}",
        "{{ $labels.station }} restarted {{ $value | printf \"%.0f\" }} times within an hour",
        "The process ends and is started again; frames of a live camera are lost each time.",
        "journalctl -u inspector@NAME: the last lines before each start say why it ended.",
    ),
    Alert(
        "OffDomain", "warning", "10m",
        f"{recorded('station:inspector_unknown_tiles:ratio15m')} > {Events().off_domain_share}\nand\n"
        f"{_by_station(_increase(select(M.tiles), '15m'))} > 50",
        "{{ $labels.station }} does not know {{ $value | humanizePercentage }} of what it sees",
        "Most tiles look like nothing the model was trained on: another product, another light, a moved camera.",
        "Look at the last pictures on the status page; do not trust pass or fail until it is explained.",
    ),
    Alert(
        "DefectBurst", "info", "0s",
        f"{_by_station(_increase(select(M.defects), '10m'), 'label')} > {BURST_DEFECTS}\nand\n"
        f"{_defects_per_tile('10m')}\n>\n{BURST_FACTOR} * {_defects_per_tile('1d')}",
        "{{ $labels.station }}: {{ $value | printf \"%.0f\" }} times {{ $labels.label }} in ten minutes",
        f"Over {BURST_DEFECTS} defects of one label in ten minutes, and per tile {BURST_FACTOR} times as many as over"
        " the day.",
        "Look at the pictures: a process upset, or something new that the model mistakes for this label.",
    ),
    Alert(
        "BundleChanged", "info", "0s",
        f"{select(M.bundle)}\nand on ({BY})\n"
        f"count by ({BY}) (count by ({BY}, fingerprint) (count_over_time({select(M.bundle)}[1h]))) > 1\nor\n"
        f"({select(M.bundle)} unless on ({BY}, fingerprint) {_BUNDLES_BEFORE}) and on ({BY}) {_BUNDLES_BEFORE}",
        "{{ $labels.station }} now decides with {{ $labels.name }} {{ $labels.version }} ({{ $labels.fingerprint }})",
        "The model bundle has changed: within the last hour, or during a pause.",
        "Nothing, if it was planned; otherwise find out who changed it. The topic about names the bundle.",
    ),
)  # fmt: skip

assert HEALTH.idle_after_s < 60  # noqa: S101 - NotProgressing must not speak before health does


def render_records(records: Sequence[Record] = RECORDS) -> str:
    """Return the recording rules as Prometheus reads them."""
    return _file("inspector-records", (_record_lines(record) for record in records))


def render_alerts(alerts: Sequence[Alert] = ALERTS) -> str:
    """Return the alert rules as Prometheus reads them."""
    return _file("inspector-alerts", (_alert_lines(alert) for alert in alerts))


def _file(group: str, rules: Iterator[list[str]]) -> str:
    lines = ["# Generated by `make monitoring` from deploy/monitoring/rules.py: change it there.",
             "groups:", f"  - name: {group}", "    rules:"]  # fmt: skip
    for rule in rules:
        lines += ["", *(f"      {line}" for line in rule)]
    return "\n".join(lines) + "\n"


def _record_lines(record: Record) -> list[str]:
    return [f"# {record.text}", f"- record: {record.name}", "  expr: |-", *_indented(record.expr)]


def _alert_lines(alert: Alert) -> list[str]:
    annotations = {
        "summary": alert.summary,
        "meaning": alert.meaning,
        "action": alert.action,
        "runbook": f"{alert.name} in runbook.md: {RUNBOOK_FOLDERS}",
    }
    return [
        f"- alert: {alert.name}", "  expr: |-", *_indented(alert.expr), f"  for: {alert.hold}",
        "  labels:", f"    severity: {alert.level}",
        "  annotations:", *(f"    {key}: {json.dumps(text)}" for key, text in annotations.items()),
    ]  # fmt: skip


def _indented(expr: str) -> list[str]:
    return [f"    {line}" for line in expr.splitlines()]
