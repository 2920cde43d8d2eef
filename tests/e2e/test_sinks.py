"""A broker and message files at once, or one of them: the same messages in both, whatever dies."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peers import PROGRAM, Broker, Daemon, Listener, wait_for
from watched_folder import watched, write_tiles

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

MakeDaemon = Callable[..., Daemon]
FILES = "[jsonl]\nenabled = true\n"
KINDS = ("frame", "defect", "alarm", "coverage")


def lines_in(folder: Path) -> list[dict[str, Any]]:
    """Every line of the files, in their order; each is whole, and nothing else lies there."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    assert all(path.suffix == ".jsonl" and path.is_file() for path in paths)
    lines = [line for path in paths for line in path.read_text("utf-8").splitlines(keepends=True)]
    assert all(line.endswith("\n") for line in lines)
    return [json.loads(line) for line in lines]


def by_id(messages: list[tuple[str, dict[str, Any]]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Topic and payload by id; a repeat has the same of both."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for topic, payload in messages:
        assert found.setdefault(payload["id"], (topic, payload)) == (topic, payload)
    return found


def written(folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    return by_id([(line["topic"], line["payload"]) for line in lines_in(folder)])


def heard(listener: Listener) -> dict[str, tuple[str, dict[str, Any]]]:
    return by_id([(kind, message) for kind in KINDS for message in listener.of(kind)])


def frames_in(folder: Path) -> int:
    """How many frames the files know, while they are being written."""
    texts = [path.read_text("utf-8") for path in folder.iterdir()] if folder.is_dir() else []
    lines = [json.loads(line) for text in texts for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return len({line["payload"]["id"] for line in lines if line["topic"] == "frame"})


@pytest.mark.parametrize(
    "point", ["commit.after:2", "publish.sent:9", "cursor.before:3", "lines.synced:1", "lines.synced:2"]
)
def test_broker_and_files_get_the_same_whatever_dies(
    tmp_path: Path, listener: Listener, make_daemon: MakeDaemon, point: str
) -> None:
    """Killed at the point and started again, both have every message once, after dropping repeats: same ids, `seq`."""
    folder, source = watched(tmp_path)
    names = write_tiles(folder, 24)
    daemon = make_daemon(source, FILES + "rotate_bytes = 20000\n")
    files = daemon.folder / "state" / "jsonl"
    daemon.start(INSPECTOR_CRASH_AT=point)
    assert daemon.wait() == -signal.SIGKILL
    daemon.start()
    listener.wait(lambda: len(listener.of("frame")) >= len(names), "all frames over the broker")
    wait_for(lambda: frames_in(files) >= len(names), "all frames in the files")
    assert daemon.stop() == 0

    listener.wait(lambda: written(files) == heard(listener), "the same messages in both")
    assert sorted(payload["seq"] for _, payload in written(files).values()) == list(range(1, len(written(files)) + 1))


def test_a_station_without_a_broker_is_whole(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """With files alone health is `ok` or `idle`, every frame is in the files, and what was delivered does not wait."""
    folder, source = watched(tmp_path)
    names = write_tiles(folder, 12)
    daemon = make_daemon(source, FILES + 'path = "messages"\n')
    daemon.config.write_text(daemon.config.read_text().replace("[mqtt]", "[mqtt]\nenabled = false"))
    place = tmp_path / "messages"
    daemon.config.write_text(daemon.config.read_text().replace('path = "messages"', f'path = "{place}"'))
    daemon.start()
    wait_for(lambda: frames_in(place) >= len(names), "all frames in the files")
    wait_for(lambda: daemon.metrics()['inspector_outbox_messages{sink="jsonl"}'] == 0, "an empty outbox")
    page = daemon.get("/").decode()

    assert daemon.metrics()['inspector_health_state{state="degraded"}'] == 0
    assert "Broker: switched off" in page
    assert "Message files: written" in page
    assert daemon.stop() == 0


def test_files_that_cannot_be_written_are_reported_and_made_up_for(
    tmp_path: Path, listener: Listener, make_daemon: MakeDaemon
) -> None:
    """Health, page and `check` name the path; meanwhile the broker gets its messages, and later the files theirs."""
    place = tmp_path / "messages"
    place.write_text("in the way")
    folder, source = watched(tmp_path)
    daemon = make_daemon(source, FILES + f'path = "{place}"\n')
    daemon.start()
    names = write_tiles(folder, 8)
    listener.wait(lambda: len(listener.of("frame")) >= len(names), "all frames over the broker")
    wait_for(lambda: b"degraded" in daemon.get("/healthz"), "degraded health", timeout_s=30)
    health = json.loads(daemon.get("/healthz"))["reason"]
    page = daemon.get("/").decode()
    waiting = daemon.metrics()['inspector_outbox_messages{sink="jsonl"}']
    checked = subprocess.run([*PROGRAM, "check", "-c", daemon.config], capture_output=True, text=True, check=False)
    place.unlink()
    wait_for(lambda: frames_in(place) >= len(names), "all frames in the files")
    wait_for(lambda: b"degraded" not in daemon.get("/healthz"), "health again")
    assert daemon.stop() == 0

    assert health.startswith(f"jsonl: cannot write {place}")
    assert f"Message files: cannot write {place}" in page
    assert waiting >= len(names)
    assert checked.returncode == 1
    assert f"jsonl.path: {place} cannot be written" in checked.stdout
    assert [event["sink"] for event in daemon.events("sink_unavailable")] == ["jsonl"]
    assert [event["sink"] for event in daemon.events("sink_back")] == ["jsonl"]
    listener.wait(lambda: written(place) == heard(listener), "the same messages in both")


def test_a_sink_that_is_switched_on_later_begins_at_the_oldest_kept_message(
    tmp_path: Path, broker: Broker, listener: Listener, make_daemon: MakeDaemon
) -> None:
    """What the broker has had within the horizon is in the files, too; one that is switched off holds nothing back."""
    folder, source = watched(tmp_path)
    names = write_tiles(folder, 6)
    daemon = make_daemon(source, FILES)
    files = daemon.folder / "state" / "jsonl"
    both = daemon.config.read_text()
    broker_only = both.replace("enabled = true", "enabled = false")
    daemon.config.write_text(broker_only)
    daemon.start()
    listener.wait(lambda: len(listener.of("frame")) >= len(names), "all frames over the broker")
    daemon.config.write_text(both)
    daemon.hang_up()
    wait_for(lambda: frames_in(files) >= len(names), "all frames in the files")
    assert written(files) == heard(listener)

    daemon.config.write_text(broker_only)
    daemon.hang_up()
    wait_for(lambda: len(daemon.events("reloaded")) == 2, "the station without files")
    (folder / "more").mkdir()
    names += write_tiles(folder / "more", 6)
    listener.wait(lambda: len(listener.of("frame")) >= len(names), "the other frames over the broker")
    wait_for(lambda: daemon.metrics()['inspector_outbox_messages{sink="mqtt"}'] == 0, "an empty outbox")
    assert daemon.metrics()['inspector_outbox_messages{sink="jsonl"}'] == 0
    daemon.config.write_text(both)
    daemon.hang_up()
    wait_for(lambda: frames_in(files) >= len(names), "the frames of meanwhile in the files")
    assert daemon.stop() == 0
    listener.wait(lambda: written(files) == heard(listener), "the same messages in both")
