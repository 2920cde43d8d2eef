"""The whole chain on real pictures with a real broker: one frame message per file, whatever dies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import Broker, Daemon, Listener, wait_for
from watched_folder import seqs_without_gap, watched, write_pictures

pytestmark = [pytest.mark.real, pytest.mark.data, pytest.mark.timeout(180)]

MakeDaemon = Callable[..., Daemon]


def label_of(source_key: str) -> str:
    """NEU's file names start with the label."""
    return source_key.rpartition("_")[0]


def assert_complete(listener: Listener, pictures: dict[str, Path]) -> list[dict[str, Any]]:
    """Every file has exactly one frame message, and no finding stands under two ids."""
    frames, defects = listener.of("frame"), listener.of("defect")
    assert Counter(dict.fromkeys(pictures, 1)) == Counter(message["frame"]["source_key"] for message in frames)
    findings = Counter((d["frame"]["source_key"], d["label"], *d["box_px"].values()) for d in defects)
    assert set(findings.values()) <= {1}
    told = Counter(message["frame"]["source_key"] for message in defects)
    assert {m["frame"]["source_key"]: m["defects"] for m in frames if m["defects"]} == dict(told)
    return defects


def test_every_file_gives_one_frame_message_and_the_right_defect(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """360 files: 360 frame messages, at least 98 % with the right defect; store, broker and metrics agree."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    daemon.started()
    write_pictures(neu_pictures, folder)
    listener.wait(lambda: listener.count("frame") >= 360, "360 frame messages")

    defects = assert_complete(listener, neu_pictures)
    right = {d["frame"]["source_key"] for d in defects if d["label"] == label_of(d["frame"]["source_key"])}
    assert len(right) >= 0.98 * 360
    wait_for(lambda: daemon.metrics()['inspector_outbox_messages{sink="mqtt"}'] == 0, "an empty outbox")
    metrics = daemon.metrics()
    assert metrics['inspector_frames_total{outcome="inspected"}'] == 360
    assert sum(v for k, v in metrics.items() if k.startswith("inspector_defects_total")) == len(defects)
    assert sum(v for k, v in metrics.items() if k.startswith("inspector_alarms_total")) == sum(
        message["kind"] == "defect" for message in listener.of("alarm")
    )
    assert daemon.stop() == 0
    assert seqs_without_gap(listener)
    listener.wait(lambda: listener.messages[-1][1] == b"stopped", "the last word")
    marks = [json.loads(payload)["seq"] for topic, payload in listener.messages if topic.endswith("/mark")]
    assert marks[-1] == max(message["seq"] for kind in ("frame", "defect", "alarm") for message in listener.of(kind))


def test_a_killed_daemon_loses_and_repeats_nothing(
    tmp_path: Path, neu_pictures: dict[str, Path], listener: Listener, make_daemon: MakeDaemon
) -> None:
    """SIGKILL after 60 and after 200 received frames: each file once, under one id."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    write_pictures(neu_pictures, folder)
    for received in (60, 200):
        listener.wait(lambda received=received: listener.count("frame") >= received, f"{received} frames")  # type: ignore[misc]
        daemon.kill()
        daemon.start()
    listener.wait(lambda: len(listener.of("frame")) >= 360, "all frames")

    assert daemon.stop() == 0
    assert_complete(listener, neu_pictures)
    assert seqs_without_gap(listener)


def test_a_killed_broker_costs_nothing(
    tmp_path: Path, neu_pictures: dict[str, Path], broker: Broker, listener: Listener, make_daemon: MakeDaemon
) -> None:
    """SIGKILL of the broker in the middle, with its default persistence: everything arrives in the end."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    write_pictures(neu_pictures, folder)
    listener.wait(lambda: listener.count("frame") >= 100, "100 frames")
    broker.kill()
    wait_for(lambda: daemon.events("broker_unavailable"), "the daemon to notice")
    broker.start()
    listener.wait(lambda: len(listener.of("frame")) >= 360, "all frames")

    assert daemon.stop() == 0
    assert_complete(listener, neu_pictures)


def test_without_a_broker_everything_waits_in_the_outbox(
    tmp_path: Path, neu_pictures: dict[str, Path], broker: Broker, make_daemon: MakeDaemon
) -> None:
    """The station inspects with the broker down, says `degraded`, and delivers when the broker comes."""
    few = dict(list(neu_pictures.items())[::30])
    folder, source = watched(tmp_path)
    broker.kill()
    daemon = make_daemon(source)
    daemon.start()
    write_pictures(few, folder)
    wait_for(lambda: daemon.metrics()['inspector_frames_total{outcome="inspected"}'] == len(few), "inspected frames")
    wait_for(lambda: b'"state":"degraded"' in daemon.get("/healthz"), "degraded health", timeout_s=20)
    broker.start()
    late = Listener(broker.port, client_id="late")
    # Whoever subscribes after the delivery has missed it, so the subscription may race with the first message: what
    # counts is that the outbox empties and nothing is reported lost.
    wait_for(lambda: daemon.metrics()['inspector_outbox_messages{sink="mqtt"}'] == 0, "an empty outbox")
    assert daemon.metrics()['inspector_outbox_lost_total{reason="outbox_full",sink="mqtt"}'] == 0
    late.close()
    assert daemon.stop() == 0


def test_a_second_instance_on_the_same_store_is_refused(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """Exit 78 and a line that names the folder and the process that holds it."""
    _, source = watched(tmp_path)
    first = make_daemon(source)
    first.start()
    first.started()
    second = make_daemon(source, name="second")
    second.config.write_text(first.config.read_text())
    second.start()

    assert second.wait() == 78
    assert str(first.folder / "state") in second.log.read_text()
    assert first.stop() == 0
