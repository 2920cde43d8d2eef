"""Each alert on drawn series, by promtool: when it is silent, when it fires, and what it then says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.records import RECORDS
from deploy.monitoring.rules import Links, annotations_of

STATION = {"site": "works", "line": "line1", "station": "works/line1/cam1"}
SCRAPED = {"job": "inspector", "instance": "pc1:9108", **STATION}
BY_ALERT = {alert.name: alert for alert in ALERTS}
MIB = 1 << 20


def series(metric: str, values: str, /, **labels: str) -> dict[str, str]:
    """One input series of our station; values in promtool's notation, one every 15 s unless the case says otherwise."""
    text = ",".join(f'{label}="{value}"' for label, value in {**SCRAPED, **labels}.items())
    return {"series": f"{metric}{{{text}}}", "values": values}


@dataclass(frozen=True)
class Case:
    """What happens, when the alert must still be silent, and when it must fire with which labels and summary."""

    alert: str
    what: str
    input: tuple[dict[str, str], ...]
    silent_at: str | None
    fires_at: str | None = None
    labels: Mapping[str, str] | None = None
    summary: str = ""
    interval: str = "15s"


CASES = (
    Case("InspectorDown", "a station stops answering", (series("up", "1x8 0x20"),), "2m45s", "3m30s", SCRAPED,
         "works/line1/cam1 does not answer"),
    Case("InspectorDown", "one missed scrape", (series("up", "1x8 0 1x20"),), "5m"),
    Case("InspectorDown", "nothing is scraped at all", (), "45s", "2m", {"job": "inspector"}, "no station is scraped"),
    Case("InspectorBlind", "health says blind", (series("inspector_health_state", "0x4 1x20", state="blind"),), "1m15s",
         "2m", {**STATION, "instance": "pc1:9108"}, "works/line1/cam1 is blind: nothing is inspected"),
    Case("InspectorBlind", "the reason changes while it is blind, and is named as it is then",
         (series("inspector_health_state", "0x4 1x20", state="blind"),
          series("inspector_health_info", "0x4 1x2 0x18", reason="source_down"),
          series("inspector_health_info", "0x6 1x18", reason="store")), "1m15s",
         "2m", {**STATION, "instance": "pc1:9108"}, "works/line1/cam1 is blind (store): nothing is inspected"),
    Case("InspectorBlind", "blind for a moment", (series("inspector_health_state", "0x4 1 0x20", state="blind"),),
         "2m"),
    Case("BlindOften", "a camera comes and goes: 20 s of every 45 s are blind",
         (series("inspector_health_state", " ".join(["0 0 0 0 0 1 1 1 1"] * 40), state="blind"),), "4m", "25m",
         {**STATION, "instance": "pc1:9108"}, "works/line1/cam1 was blind for 44.2% of the last 15 minutes", "5s"),
    Case("BlindOften", "one minute of a lamp change",
         (series("inspector_health_state", "0x40 1x3 0x80", state="blind"),), "13m"),
    Case("NotProgressing", "two frames hang and no more come",
         (series("inspector_frames_captured_total", "0+1x8 8x40"), series("inspector_frames_total", "0+1x6 6x42",
          outcome="inspected"), series("inspector_last_inference_timestamp_seconds", "0+15x6 90x42")),
         "2m45s", "4m", {**STATION, "instance": "pc1:9108"}, "works/line1/cam1 takes frames and finishes none"),
    Case("NotProgressing", "a camera goes on, nothing is finished, and lost frames hide the difference",
         (series("inspector_frames_captured_total", "0+10x60"),
          series("inspector_frames_total", "500+10x8 580x52", outcome="inspected"),
          series("inspector_last_inference_timestamp_seconds", "0+15x8 120x52")),
         "3m45s", "6m", {**STATION, "instance": "pc1:9108"}, "works/line1/cam1 takes frames and finishes none"),
    Case("NotProgressing", "a healthy camera with two frames in work, on a machine whose clock is an hour behind",
         (series("inspector_frames_captured_total", "10+375x80"),
          series("inspector_frames_total", "8+375x80", outcome="inspected"),
          series("inspector_last_inference_timestamp_seconds", "-3600+15x80")), "19m"),
    Case("NotProgressing", "it hangs, on a machine whose clock is an hour ahead",
         (series("inspector_frames_captured_total", "10+375x20 7510x60"),
          series("inspector_frames_total", "8+375x20 7508x60", outcome="inspected"),
          series("inspector_last_inference_timestamp_seconds", "3600+15x20 3900x60")),
         "5m", "8m", {**STATION, "instance": "pc1:9108"}, "works/line1/cam1 takes frames and finishes none"),
    Case("NotProgressing", "a quiet folder",
         (series("inspector_frames_captured_total", "7x60"), series("inspector_frames_total", "7x60",
          outcome="inspected"), series("inspector_last_inference_timestamp_seconds", "0x60")), "10m"),
    Case("NotProgressing", "a broken file after a long pause is an outcome, too",
         (series("inspector_frames_captured_total", "7x20 8x40"), series("inspector_frames_total", "0x20 1x40",
          outcome="unreadable"), series("inspector_frames_total", "7x60", outcome="inspected"),
          series("inspector_last_inference_timestamp_seconds", "0x60")), "7m"),
    Case("CrashLoop", "a start every 45 s, seen at one scrape each",
         (series("process_start_time_seconds", " ".join(f"{45 * start} stale stale" for start in range(20))),), "4m",
         "11m", SCRAPED, "works/line1/cam1 was started 12 times within ten minutes"),
    Case("CrashLoop", "four starts for a change of the configuration",
         (series("process_start_time_seconds", "10x8 130x4 190x4 250x4 310x40"),), "8m"),
    Case("MessagesLost", "the outbox gave up seven", (series("inspector_outbox_lost_total", "0x4 7x40",
         sink="mqtt", reason="outbox_full"),), "45s", "10m", {**STATION, "reason": "outbox_full"},
         "works/line1/cam1 lost 7 messages (outbox_full)"),
    Case("MessagesLost", "the outbox gave up 5000 while Prometheus was away for two hours",
         (series("inspector_outbox_lost_total", "0x30 _x120 5000x120", sink="mqtt", reason="outbox_full"),),
         "2h30m", "2h35m", {**STATION, "reason": "outbox_full"}, "works/line1/cam1 lost 5000 messages (outbox_full)",
         "60s"),
    Case("MessagesLost", "that was over an hour ago",
         (series("inspector_outbox_lost_total", "0x30 _x120 5000x120", sink="mqtt", reason="outbox_full"),), "3h40m",
         interval="60s"),
    Case("CoverageLow", "every tenth frame is blank",
         (series("inspector_frames_total", "0+9x60", outcome="inspected"),
          series("inspector_frames_total", "0+1x60", outcome="blank")), "5m", "10m", STATION,
         "works/line1/cam1 inspected only 90% of its frames"),
    Case("CoverageLow", "every hundredth frame is blank",
         (series("inspector_frames_total", "0+99x60", outcome="inspected"),
          series("inspector_frames_total", "0+1x60", outcome="blank")), "15m"),
    Case("CoverageLow", "somebody paused the station",
         (series("inspector_frames_total", "0+1x60", outcome="inspected"),
          series("inspector_frames_total", "0+9x60", outcome="paused")), "15m"),
    Case("CoverageLow", "one of three stills is broken",
         (series("inspector_frames_total", "0 2x60", outcome="inspected"),
          series("inspector_frames_total", "0 1x60", outcome="unreadable")), "10m"),
    Case("FallingBehind", "a camera loses every tenth frame",
         (series("inspector_frames_total", "0+9x60", outcome="inspected"),
          series("inspector_frames_total", "0+1x60", outcome="dropped")), "4m", "8m", STATION,
         "works/line1/cam1 inspects slower than frames arrive"),
    Case("FallingBehind", "a stream of lines waits for the inspection all the time",
         (series("inspector_source_wait_seconds_total", "0+14.5x100"),), "14m", "20m", STATION,
         "works/line1/cam1 inspects slower than frames arrive"),
    Case("FallingBehind", "small pictures arrive a tenth faster than they are read: each is older than the last",
         (series("inspector_frame_age_seconds_sum", " ".join(str(6 * n + 6.8 * n * n) for n in range(120))),
          series("inspector_frame_age_seconds_count", "0+10x120")), "15m", "26m", STATION,
         "works/line1/cam1 inspects slower than frames arrive"),
    Case("FallingBehind", "old files are put into the folder, all of one age, between pictures of now",
         (series("inspector_frame_age_seconds_sum", "0+2x40 82+86400x80"),
          series("inspector_frame_age_seconds_count", "0+10x120")), "20m"),
    Case("FallingBehind", "a backlog of a day is worked off: each picture is younger than the one before",
         (series("inspector_frame_age_seconds_sum", " ".join(str(864000 * n - 20 * n * n) for n in range(120))),
          series("inspector_frame_age_seconds_count", "0+10x120")), "26m"),
    Case("FallingBehind", "a folder catches up for ten minutes",
         (series("inspector_source_wait_seconds_total", "0x20 0+15x40 600x60"),), "15m"),
    Case("FallingBehind", "workers are busy, and the source waits now and then",
         (series("inspector_source_wait_seconds_total", "0+5x100"),
          series("inspector_worker_busy_seconds_total", "0+29.9x100"), series("inspector_workers", "2x100")), "24m"),
    Case("OutboxFilling", "a MiB a minute, 256 allowed",
         (series("inspector_outbox_bytes", f"0+{MIB // 3}x260", sink="mqtt"),
          series("inspector_outbox_limit_bytes", f"{256 * MIB}x260", sink="mqtt")), "2m", "9m", SCRAPED,
         "works/line1/cam1 will have to give up messages"),
    Case("OutboxFilling", "nearly full for two sinks and not growing: one alert",
         tuple(series(f"inspector_outbox_{name}", f"{size * MIB}x60", sink=sink) for sink in ("mqtt", "jsonl")
               for name, size in (("bytes", 220), ("limit_bytes", 256))), "4m", "6m", SCRAPED,
         "works/line1/cam1 will have to give up messages"),
    Case("OutboxFilling", "a backlog that is sent",
         (series("inspector_outbox_bytes", f"{90 * MIB}-{MIB}x60", sink="mqtt"), series("inspector_outbox_limit_bytes",
          f"{256 * MIB}x60", sink="mqtt")), "12m"),
    Case("BrokerAway", "the broker went",
         (series("inspector_mqtt_connected", "1x4 0x60"), series("inspector_mqtt_connects_total", "1x64"),
          series("inspector_mqtt_rejected_total", "0x4 1+1x60", reason="unreachable")), "5m", "7m", SCRAPED,
         "works/line1/cam1 has no broker"),
    Case("BrokerAway", "MQTT is switched off",
         (series("inspector_mqtt_connected", "0x60"), series("inspector_mqtt_connects_total", "0x60"),
          series("inspector_mqtt_rejected_total", "0x60", reason="unreachable")), "12m"),
    Case("BrokerFlapping", "a connection lasts half a minute",
         (series("inspector_mqtt_connects_total", "1x8 " + " ".join(f"{n} {n}" for n in range(2, 60))),
          series("inspector_mqtt_connected", "1x8" + " 0 1" * 58)), "6m", "16m", SCRAPED,
         "works/line1/cam1 loses its broker again and again"),
    Case("BrokerFlapping", "three connections after a restart of the broker",
         (series("inspector_mqtt_connects_total", "1x8 2 3 4x100"),), "12m"),
    Case("BrokerFlapping", "each connection is left after a silent minute: that is NothingDelivered",
         (series("inspector_mqtt_connects_total", " ".join(f"{n} {n} {n} {n}" for n in range(1, 30))),
          series("inspector_outbox_messages", "3x120", sink="mqtt"),
          series("inspector_last_puback_timestamp_seconds", "0x120")), "25m"),
    Case("NothingDelivered", "the broker stays connected and falls silent",
         (series("inspector_outbox_messages", "3x20 3+15x100", sink="mqtt"),
          series("inspector_mqtt_connected", "1x120"),
          series("inspector_last_puback_timestamp_seconds", "0+15x20 300x100")), "14m", "21m", SCRAPED,
         "works/line1/cam1 has a broker that acknowledges nothing"),
    Case("NothingDelivered", "it is left and connected anew each minute, and was just away at the scrape",
         (series("inspector_outbox_messages", "3x120", sink="mqtt"),
          series("inspector_mqtt_connected", "1 1 1 0" + " 1 1 1 0" * 29),
          series("inspector_last_puback_timestamp_seconds", "0x120")), "4m", "21m", SCRAPED,
         "works/line1/cam1 has a broker that acknowledges nothing"),
    Case("NothingDelivered", "messages wait, and are acknowledged",
         (series("inspector_outbox_messages", "3x120", sink="mqtt"), series("inspector_mqtt_connected", "1x120"),
          series("inspector_last_puback_timestamp_seconds", "0+15x120")), "25m"),
    Case("NothingDelivered", "there is no broker: that is BrokerAway, or MQTT is switched off",
         (series("inspector_outbox_messages", "0+15x120", sink="mqtt"), series("inspector_mqtt_connected", "0x120"),
          series("inspector_last_puback_timestamp_seconds", "0x120")), "25m"),
    Case("NothingDelivered", "nothing to deliver to the broker, whatever waits for the files",
         (series("inspector_outbox_messages", "0x120", sink="mqtt"),
          series("inspector_outbox_messages", "3x120", sink="jsonl"), series("inspector_mqtt_connected", "1x120"),
          series("inspector_last_puback_timestamp_seconds", "0x120")), "25m"),
    Case("FilesNotWritten", "the disk of the files is full: the oldest message was stored after a minute",
         (series("inspector_outbox_oldest_timestamp_seconds", "0x4 60x120", sink="jsonl"),), "15m", "17m", SCRAPED,
         "works/line1/cam1 cannot write its message files"),
    Case("FilesNotWritten", "messages are written, each a moment after the one before",
         (series("inspector_outbox_oldest_timestamp_seconds", "0+15x120", sink="jsonl"),), "25m"),
    Case("FilesNotWritten", "nothing waits, or [jsonl] is switched off",
         (series("inspector_outbox_oldest_timestamp_seconds", "0x120", sink="jsonl"),
          series("inspector_outbox_oldest_timestamp_seconds", "60x120", sink="mqtt")), "25m"),
    Case("BrokerRejects", "a topic is not allowed",
         (series("inspector_mqtt_rejected_total", "0x4 3x40", reason="publish"),), "45s", "2m",
         {**STATION, "reason": "publish"}, "The broker refuses works/line1/cam1 (publish)"),
    Case("BrokerRejects", "nobody is there", (series("inspector_mqtt_rejected_total", "0+1x60", reason="unreachable"),),
         "10m"),
    Case("SelfTestStale", "no golden tile was scored for hours",
         (series("inspector_selftest_last_success_timestamp_seconds", "0x300"),), "2h29m", "2h31m", SCRAPED,
         "works/line1/cam1 has not proven its model for 2h 31m 0s", "60s"),
    Case("ReloadFailed", "a reload was refused", (series("inspector_config_last_reload_successful", "1x4 0x20"),),
         "45s", "2m", SCRAPED, "works/line1/cam1 refused its new configuration"),
    Case("Restarting", "a third new start within the hour",
         (series("process_start_time_seconds", "10x8 130x8 250x8 370x40"),), "5m", "7m15s", SCRAPED,
         "works/line1/cam1 restarted 3 times within an hour"),
    Case("OffDomain", "two of three tiles are unknown",
         (series("inspector_tiles_total", "0+20x100", verdict="clean"),
          series("inspector_tiles_total", "0+40x100", verdict="unknown")), "9m", "12m", STATION,
         "works/line1/cam1 does not know 66.67% of what it sees"),
    Case("OffDomain", "two of three, but of a handful", (series("inspector_tiles_total", "0 1x100", verdict="clean"),
         series("inspector_tiles_total", "0 2x100", verdict="unknown")), "14m"),
    Case("Insensitive", "known defects are missed", (series("inspector_health_info", "1x100", reason="insensitive"),),
         "30s", "2m", {**STATION, "instance": "pc1:9108"},
         "works/line1/cam1 does not find the known defects that it is shown"),
    Case("Untaught", "nobody taught the station", (series("inspector_health_info", "1x100", reason="untaught"),),
         "14m", "16m", {**STATION, "instance": "pc1:9108"},
         "works/line1/cam1 observes only: no reference of its good surface is in force"),
    Case("DefectBurst", "ten scratches a minute after a quiet hour",
         (series("inspector_defects_total", "0x60 0+10x20", label="scratches", severity="major"),
          series("inspector_tiles_total", "0+20x80", verdict="clean")), "1h", "1h6m",
         {**STATION, "label": "scratches"}, "works/line1/cam1: 50 times scratches in ten minutes", "60s"),
    Case("DefectBurst", "as many as all the time",
         (series("inspector_defects_total", "0+6x80", label="scratches", severity="major"),
          series("inspector_tiles_total", "0+20x80", verdict="scratches")), "1h10m", interval="60s"),
    Case("DefectBurst", "the line runs again after a pause, with as many on a metre as before",
         (series("inspector_defects_total", "0+6x20 120x40 120+6x20", label="scratches", severity="major"),
          series("inspector_tiles_total", "0+20x20 400x40 400+20x20", verdict="scratches")), "1h14m",
         interval="60s"),
    Case("RollMark", "a roll marks the strip",
         (series("inspector_periodic_total", "0x60 1x60", label="scratches"),), "59m", "1h2m",
         {**STATION, "label": "scratches"}, "works/line1/cam1: scratches returns at a fixed distance", "60s"),
    Case("RollMark", "it was found long ago",
         (series("inspector_periodic_total", "3x120", label="scratches"),), "1h30m", interval="60s"),
    Case("BundleChanged", "another model decides",
         (series("inspector_bundle_info", "1x40 stale", name="neu-fast", version="1", fingerprint="aaa"),
          series("inspector_bundle_info", "_x41 1x60", name="neu-fast", version="2", fingerprint="bbb")),
         "5m", "12m", {**SCRAPED, "name": "neu-fast", "version": "2", "fingerprint": "bbb"},
         "works/line1/cam1 now decides with neu-fast 2 (bbb)"),
    Case("BundleChanged", "another model decides after the station was down for two hours",
         (series("inspector_bundle_info", "1x30 stale", name="neu-fast", version="1", fingerprint="aaa"),
          series("inspector_bundle_info", "_x151 1x120", name="neu-fast", version="2", fingerprint="bbb")),
         "30m", "2h35m", {**SCRAPED, "name": "neu-fast", "version": "2", "fingerprint": "bbb"},
         "works/line1/cam1 now decides with neu-fast 2 (bbb)", "60s"),
    Case("BundleChanged", "that was over an hour ago",
         (series("inspector_bundle_info", "1x30 stale", name="neu-fast", version="1", fingerprint="aaa"),
          series("inspector_bundle_info", "_x151 1x120", name="neu-fast", version="2", fingerprint="bbb")),
         "3h40m", interval="60s"),
    Case("BundleChanged", "the same model decides after a pause, and on a station that is new",
         (series("inspector_bundle_info", "1x30 _x120 1x60", name="neu-fast", version="1", fingerprint="aaa"),),
         "2h35m", interval="60s"),
)  # fmt: skip


def as_promtool(case: Case) -> dict[str, object]:
    """The case as promtool reads it."""
    alert = BY_ALERT[case.alert]
    checks: list[dict[str, object]] = []
    if case.silent_at is not None:
        checks.append({"eval_time": case.silent_at, "alertname": case.alert, "exp_alerts": []})
    if case.fires_at is not None and case.labels is not None:
        which = f"?var-station={case.labels['station'].replace('/', '%2F')}" if "station" in case.labels else ""
        annotations = {**annotations_of(alert, Links()), "summary": case.summary,
                       "dashboard_url": f"http://127.0.0.1:3000/d/inspector-station{which}"}  # fmt: skip
        expected = {"exp_labels": {**case.labels, "severity": alert.level}, "exp_annotations": annotations}
        checks.append({"eval_time": case.fires_at, "alertname": case.alert, "exp_alerts": [expected]})
    return {"interval": case.interval, "input_series": list(case.input), "alert_rule_test": checks}


@pytest.mark.real
def test_alerts_fire_when_they_should_and_only_then(promtool: str, deploy: Path, tmp_path: Path) -> None:
    """Promtool finds each alert silent and firing at the moments the table says, with these labels and texts."""
    rules = deploy / "monitoring/prometheus/rules"
    table = {
        "rule_files": [str(rules / "inspector-records.yml"), str(rules / "inspector-alerts.yml")],
        "evaluation_interval": "15s",
        "group_eval_order": ["inspector-records", "inspector-alerts"],
        "tests": [as_promtool(case) for case in CASES],
    }
    file = tmp_path / "cases.yml"
    file.write_text(json.dumps(table))

    ran = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """No alert is shipped untested."""
    assert set(BY_ALERT) == {case.alert for case in CASES if case.fires_at}
    assert set(BY_ALERT) == {case.alert for case in CASES if case.silent_at}


def test_every_recorded_series_is_used() -> None:
    """What is computed ahead is looked at by an alert or a panel."""
    from deploy.monitoring.dashboards import BOARDS, queries

    text = " ".join([alert.expr for alert in ALERTS] + [expr for board in BOARDS for _, expr in queries(board)])
    assert [record.name for record in RECORDS if record.name not in text] == []
