"""Alert rules, as data: what asks a person to act, from which value on, what it means, and what to do first.

`docs/runbook.md` has the long form, and a test holds the two together. What a station already judges itself (blind,
idle, paused) is taken over, not judged again. `Limits` are the values that a plant may choose for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Literal

from deploy.monitoring.records import FRAMES, M, by_station, defects_per_tile, increase, rate, recorded
from deploy.monitoring.series import BY, JOB, exposed_name, process, select, up
from inspector.settings.sections import Events
from inspector.station.supervision import SELFTEST_S
from inspector.telemetry.health import HealthLimits

Level = Literal["critical", "warning", "info"]

HEALTH = HealthLimits()
"""What a station judges itself by."""


def _limit(default: Any, says: str) -> Any:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True, slots=True)
class Limits:
    """From which value on an alert fires; `python -m deploy.monitoring.tune` sets them."""

    blind_share: float = _limit(0.1, "BlindOften: blind for a larger share of 15 minutes.")
    crash_loop_starts: int = _limit(5, "CrashLoop: more starts within ten minutes.")
    share_low: float = _limit(0.95, "CoverageLow: a smaller share of the frames of 15 minutes was inspected, ...")
    missed_frames: int = _limit(5, "... and more frames than this were not.")
    share_dropped: float = _limit(0.01, "FallingBehind: a live camera loses a larger share of its frames, ...")
    wait_share: float = _limit(0.9, "... the source waits a larger share of the time, ...")
    age_growth_s: float = _limit(10, "... or the age of frames grows by more seconds in five minutes, three times.")
    outbox_hours: float = _limit(4, "OutboxFilling: the outbox will be full within so many hours, ...")
    outbox_share: float = _limit(HEALTH.outbox_share, "... or is fuller now.")
    flapping_connects: int = _limit(5, "BrokerFlapping: more connections within 15 minutes.")
    unwritten_s: float = _limit(600, "FilesNotWritten: the oldest message waits for more seconds.")
    selftest_s: float = _limit(2.5 * SELFTEST_S, "SelfTestStale: the model was not proven for more seconds.")
    restarts: int = _limit(2, "Restarting: more starts within an hour.")
    off_domain_share: float = _limit(Events().off_domain_share, "OffDomain: a larger share of the tiles is unknown.")
    burst_defects: int = _limit(20, "DefectBurst: more defects of a label in ten minutes, ...")
    burst_factor: float = _limit(5, "... and per tile this many times as many as over the day.")


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


_MEAN_AGE = recorded("station:inspector_frame_age_seconds:mean5m")
_AGES = (_MEAN_AGE, *(f"{_MEAN_AGE} offset {ago}m" for ago in (5, 10, 15)))
_BYI = f"{BY}, instance"
_CAPTURED = select(M.frames_captured)
_WAITING = f"sum without (sink) ({select(M.outbox_messages, sink='mqtt')})"
_UNDELIVERED = f"({_WAITING} > 0 unless changes({select(M.last_puback)}[10m]) > 0)"
_BUNDLES_BEFORE = f"last_over_time({select(M.bundle)}[1w] offset 1h)"
_TRIES = f"sum by ({_BYI}) ({select(M.mqtt_rejected)}) + sum by ({_BYI}) ({select(M.mqtt_connects)})"


_REASON = (
    f"{{{{ with printf `{exposed_name(M.health_info)}{{station=%q}} == 1` $labels.station | query }}}}"
    " ({{ first . | label `reason` }}){{ end }}"
)
"""Looked up when the alert is sent: as a label it would begin the alert's waiting time anew with each change."""


def _age_rises(at: Limits) -> str:
    return "\nand\n".join(f"  {now} - {before} > {at.age_growth_s:g}" for now, before in pairwise(_AGES))


def _sight(at: Limits) -> Iterator[Alert]:
    yield Alert(
        "InspectorDown",
        "critical",
        "1m",
        f'{up()} == 0\nor\nabsent(up{{job="{JOB}"}})',
        "{{ with $labels.station }}{{ . }} does not answer{{ else }}no station is scraped{{ end }}",
        "Prometheus cannot read the metrics: the process, its machine or the network between is down, or no station"
        " is in the target file at all.",
        "On the station: systemctl status inspector@NAME, then journalctl -u inspector@NAME -n 50.",
    )
    yield Alert(
        "InspectorBlind",
        "critical",
        "30s",
        f"max by ({_BYI}) ({select(M.health_state, state='blind')}) == 1",
        f"{{{{ $labels.station }}}} is blind{_REASON}: nothing is inspected",
        "The daemon runs and inspects nothing: the source is down, its frames are unusable, or the store refuses.",
        "The reason stands in brackets; the retained topic health and the status page have its details.",
    )
    yield Alert(
        "BlindOften",
        "warning",
        "5m",
        f"max by ({_BYI}) (avg_over_time({select(M.health_state, state='blind')}[15m])) > {at.blind_share}",
        "{{ $labels.station }} was blind for {{ $value | humanizePercentage }} of the last 15 minutes",
        f"The station was blind for more than {at.blind_share:.0%} of the last 15 minutes, in pieces each of which"
        " may be"
        " too short for InspectorBlind.",
        "journalctl -u inspector@NAME | grep source_ shows how often the source fails and why; cable, power, network.",
    )
    yield Alert(
        "NotProgressing",
        "critical",
        "1m",
        f"(sum by ({_BYI}) ({_CAPTURED}) - sum by ({_BYI}) ({FRAMES}) > 0"
        f" unless sum by ({_BYI}) ({increase(FRAMES, '1m')}) > 0)\nor\n"
        f"(sum by ({_BYI}) ({increase(_CAPTURED, '2m')}) > 0"
        f" unless sum by ({_BYI}) ({increase(FRAMES, '2m')}) > 0)",
        "{{ $labels.station }} takes frames and finishes none",
        "Frames were captured, and none of them was finished for over a minute.",
        "Restart the station; frames on disk are not lost. Keep the journal of the minutes before.",
    )
    yield Alert(
        "CrashLoop",
        "critical",
        "0s",
        f"changes({process('process_start_time_seconds')}[10m]) > {at.crash_loop_starts}",
        '{{ $labels.station }} was started {{ $value | printf "%.0f" }} times within ten minutes',
        "The process ends within seconds or a few minutes of each start: hardly anything is inspected.",
        "journalctl -u inspector@NAME -n 100: the last lines before each start say why it ended.",
    )
    yield Alert(
        "Insensitive",
        "critical",
        "1m",
        f"max by ({_BYI}) ({select(M.health_info, reason='insensitive')}) == 1",
        "{{ $labels.station }} does not find the known defects that it is shown",
        "Known defects are laid onto copies of live clean tiles all day. Far fewer of them are found than at first:"
        " real ones of their kind are missed, too.",
        "Health names what is missed; look at lamp, lens and window, then at what was changed last: reference, bundle,"
        " camera.",
    )


def _flow(at: Limits) -> Iterator[Alert]:
    yield Alert(
        "MessagesLost",
        "critical",
        "0s",
        f"{by_station(increase(select(M.outbox_lost), '1h'), 'reason')} > 0\nor\n"
        + by_station(f"{select(M.outbox_lost)} > 0 unless {select(M.outbox_lost)} offset 1h", "reason"),
        '{{ $labels.station }} lost {{ $value | printf "%.0f" }} messages ({{ $labels.reason }})',
        "Messages were lost for good for a sink: the outbox was full, or the broker refused them five times.",
        "Read first and last seq in the topic coverage, cause messages_lost; the records are still in the store.",
    )
    yield Alert(
        "CoverageLow",
        "warning",
        "5m",
        f"{recorded('station:inspector_coverage:ratio15m')} < {at.share_low}\nand\n"
        f"{by_station(increase(select(M.frames, outcome='!~inspected|paused'), '15m'))} > {at.missed_frames}",
        "{{ $labels.station }} inspected only {{ $value | humanizePercentage }} of its frames",
        f"More than {1 - at.share_low:.0%} of the frames of the last 15 minutes, and more than {at.missed_frames}"
        " frames,"
        " were not inspected.",
        "Read the panel 'Frames not inspected, by cause': the cause says whether it is camera, light or load.",
    )
    yield Alert(
        "FallingBehind",
        "warning",
        "5m",
        f"{recorded('station:inspector_dropped:ratio5m')} > {at.share_dropped}\nor\n"
        f"{by_station(rate(select(M.source_wait), '15m'))} > {at.wait_share}\nor\n(\n{_age_rises(at)}\n)",
        "{{ $labels.station }} inspects slower than frames arrive",
        "A live camera loses frames for lack of time; or for a quarter of an hour a folder or stream waited for the"
        " inspection most of the time, or frames waited ever longer.",
        "Compare `inspector bench` with the tiles per second that the line needs; check what else uses the processor.",
    )
    yield Alert(
        "OutboxFilling",
        "warning",
        "5m",
        f"max without (sink) (\n  (\n    predict_linear({select(M.outbox_bytes)}[30m], {at.outbox_hours * 3600:.0f}) >"
        f" {select(M.outbox_limit)}\n  and\n    {select(M.outbox_bytes)} > 0.01 * {select(M.outbox_limit)}\n  )\n"
        f"  or\n  {select(M.outbox_bytes)} > {at.outbox_share} * {select(M.outbox_limit)}\n)",
        "{{ $labels.station }} will have to give up messages",
        f"At the present rate the outbox is full within {at.outbox_hours:g} hours, or it is over"
        f" {at.outbox_share:.0%} already.",
        "Bring the broker or the disk of the files back, or make room: store.outbox_limit_bytes can be raised with a"
        " reload.",
    )


def _delivery(at: Limits) -> Iterator[Alert]:
    yield Alert(
        "BrokerAway",
        "warning",
        "5m",
        f"{select(M.mqtt_connected)} == 0\nand on ({_BYI})\n({_TRIES} > 0)",
        "{{ $labels.station }} has no broker",
        "The station inspects and stores, but the plant receives nothing: the broker has been away for five minutes.",
        "Is the broker up? On the station, sudo inspector check --config FILE shows what it answers.",
    )
    yield Alert(
        "BrokerFlapping",
        "warning",
        "5m",
        f"increase({select(M.mqtt_connects)}[15m]) > {at.flapping_connects}\nunless on ({_BYI})\n{_UNDELIVERED}",
        "{{ $labels.station }} loses its broker again and again",
        f"More than {at.flapping_connects} connections within 15 minutes: each lasts a moment, and messages arrive late"
        " and in bursts.",
        "journalctl -u inspector@NAME | grep -E 'broker_|connection_' shows how each ended; another client with the"
        " same id, or the network.",
    )
    yield Alert(
        "NothingDelivered",
        "warning",
        "5m",
        f"{_UNDELIVERED}\nand on ({_BYI})\nmax_over_time({select(M.mqtt_connected)}[5m]) == 1",
        "{{ $labels.station }} has a broker that acknowledges nothing",
        "The broker is connected, messages wait, and none of them has been acknowledged for ten minutes.",
        "Check the broker: its disk, its log, its load; restarting it loses no message of the station.",
    )
    yield Alert(
        "FilesNotWritten",
        "warning",
        "5m",
        f"time() - (sum without (sink) ({select(M.outbox_oldest, sink='jsonl')}) > 0) > {at.unwritten_s}",
        "{{ $labels.station }} cannot write its message files",
        f"The oldest message that waits for the files of [jsonl] was stored more than {at.unwritten_s / 60:g}"
        " minutes ago.",
        "Read the reason in the retained topic health or on the status page: the disk is full, or the folder is gone or"
        " not the station's.",
    )
    yield Alert(
        "BrokerRejects",
        "warning",
        "0s",
        f"{by_station(increase(select(M.mqtt_rejected, reason='!=unreachable'), '15m'), 'reason')} > 0",
        "The broker refuses {{ $labels.station }} ({{ $labels.reason }})",
        "The broker answers and refuses: login, certificate, protocol version, or no right to publish a topic.",
        "sudo inspector check --config FILE shows the answer to a login, and the log names a refused topic; then"
        " compare user, certificate dates and ACL.",
    )


def _process(at: Limits) -> Iterator[Alert]:
    yield Alert(
        "SelfTestStale",
        "warning",
        "0s",
        f"time() - {select(M.selftest)} > {at.selftest_s:.0f}",
        "{{ $labels.station }} has not proven its model for {{ $value | humanizeDuration }}",
        "The golden tiles are scored every hour to prove that this machine still computes what was signed off. They"
        " were not.",
        "Restart the station; if it then refuses the bundle, install the bundle again and test the memory.",
    )
    yield Alert(
        "ReloadFailed",
        "warning",
        "0s",
        f"{select(M.reload_ok)} == 0",
        "{{ $labels.station }} refused its new configuration",
        "A reload was requested and refused; the station runs with the previous configuration and would not start with"
        " the file as it is.",
        "sudo inspector check --config FILE names key and reason; fix it, then reload.",
    )
    yield Alert(
        "Restarting",
        "warning",
        "0s",
        f"changes({process('process_start_time_seconds')}[1h]) > {at.restarts}",
        '{{ $labels.station }} restarted {{ $value | printf "%.0f" }} times within an hour',
        "The process ends and is started again; frames of a live camera are lost each time.",
        "journalctl -u inspector@NAME: the last lines before each start say why it ended.",
    )


def _product(at: Limits) -> Iterator[Alert]:
    yield Alert(
        "OffDomain",
        "warning",
        "10m",
        f"{recorded('station:inspector_unknown_tiles:ratio15m')} > {at.off_domain_share}\nand\n"
        f"{by_station(increase(select(M.tiles), '15m'))} > 50",
        "{{ $labels.station }} does not know {{ $value | humanizePercentage }} of what it sees",
        "Most tiles look like nothing the model was trained on: another product, another light, a moved camera.",
        "Look at the last pictures on the status page; do not trust pass or fail until it is explained.",
    )
    yield Alert(
        "Untaught",
        "info",
        "15m",
        f"max by ({_BYI}) ({select(M.health_info, reason='untaught')}) == 1",
        "{{ $labels.station }} observes only: no reference of its good surface is in force",
        'With decision.mode = "auto" a station alarms only under an accepted reference for the bundle that runs. It has'
        " none, or cannot use it; defects are recorded and published without alarm.",
        "Health names the reason; inspector teach --config FILE teaches it, and --accept puts the reference in force.",
    )
    yield Alert(
        "DefectBurst",
        "info",
        "0s",
        f"{by_station(increase(select(M.defects), '10m'), 'label')} > {at.burst_defects}\nand\n"
        f"{defects_per_tile('10m')}\n>\n{at.burst_factor} * {defects_per_tile('1d')}",
        '{{ $labels.station }}: {{ $value | printf "%.0f" }} times {{ $labels.label }} in ten minutes',
        f"Over {at.burst_defects} defects of one label in ten minutes, and per tile {at.burst_factor} times as"
        " many as over"
        " the day.",
        "Look at the pictures: a process upset, or something new that the model mistakes for this label.",
    )
    yield Alert(
        "RollMark",
        "warning",
        "0s",
        f"{by_station(increase(select(M.periodic), '30m'), 'label')} > 0",
        "{{ $labels.station }}: {{ $labels.label }} returns at a fixed distance",
        "Defects of one class at one place across return at a fixed distance: most likely a roll is damaged or dirty,"
        " and marks every turn from now on.",
        "The topic periodic has pitch, place across, and the roll of this pitch: have that roll looked at.",
    )
    yield Alert(
        "BundleChanged",
        "info",
        "0s",
        f"{select(M.bundle)}\nand on ({BY})\n"
        f"count by ({BY}) (count by ({BY}, fingerprint) (count_over_time({select(M.bundle)}[1h]))) > 1\nor\n"
        f"({select(M.bundle)} unless on ({BY}, fingerprint) {_BUNDLES_BEFORE}) and on ({BY}) {_BUNDLES_BEFORE}",
        "{{ $labels.station }} now decides with {{ $labels.name }} {{ $labels.version }} ({{ $labels.fingerprint }})",
        "The model bundle has changed: within the last hour, or during a pause.",
        "Nothing, if it was planned; otherwise find out who changed it. The topic about names the bundle.",
    )


def make_alerts(limits: Limits | None = None, holds: Mapping[str, str] | None = None) -> tuple[Alert, ...]:
    """Return all alerts.

    Args:
        limits: From which values on they fire.
        holds: How long the condition of an alert must last, by its name, where that differs.

    Raises:
        LookupError: No alert of such a name.
    """
    chosen, lasting = limits or Limits(), dict(holds or {})
    alerts = (*_sight(chosen), *_flow(chosen), *_delivery(chosen), *_process(chosen), *_product(chosen))
    if strange := sorted(lasting.keys() - {alert.name for alert in alerts}):
        raise LookupError(f"no such alert: {strange[0]}")
    return tuple(replace(alert, hold=lasting.get(alert.name, alert.hold)) for alert in alerts)


def limit_rows() -> dict[str, tuple[float, str]]:
    """Return each limit with its default and what it is for."""
    return {one.name: (one.default, one.metadata["says"]) for one in fields(Limits)}


ALERTS = make_alerts()

assert HEALTH.idle_after_s < 60  # noqa: S101 - NotProgressing must not speak before health does
