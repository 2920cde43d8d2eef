"""What a line PC goes through at three in the morning: signals at the wrong time, full disks, brokers that refuse."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from http_camera import HttpCamera, head, part
from peers import Broker, Daemon, Listener, station_toml, wait_for
from watched_folder import watched, write_tiles

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

MakeDaemon = Callable[..., Daemon]


def test_a_stop_during_a_reload_is_obeyed(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """SIGHUP and at once SIGTERM: exit 0, whatever the reload was doing."""
    _, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    daemon.started()
    daemon.hang_up()

    assert daemon.stop() == 0


def test_a_stop_before_the_start_is_complete_is_obeyed(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """SIGTERM while the model is loaded: exit 0, as soon as it is."""
    _, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    process = daemon._process
    assert process is not None
    handled = Path(f"/proc/{process.pid}/status")
    # Bit 14 of the caught signals: Python's handler for SIGTERM is there.
    wait_for(lambda: int(handled.read_text().partition("SigCgt:\t")[2][:16], 16) >> 14 & 1, "the handler", every_s=0.01)

    assert daemon.stop() == 0


def test_evidence_returns_after_its_folder_was_cleared_away(
    tmp_path: Path, listener: Listener, make_daemon: MakeDaemon
) -> None:
    """Somebody removes the evidence folder while it runs: the next defect has its picture again."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    daemon.started()
    shutil.rmtree(daemon.folder / "state" / "evidence")
    write_tiles(folder, 3)
    listener.wait(lambda: bool(listener.of("defect")) and len(listener.of("frame")) == 3, "a defect")
    defect = listener.of("defect")[0]

    assert defect["evidence"]["sha256"]
    assert daemon.get(defect["evidence"]["url"])[:2] == b"\xff\xd8"
    assert daemon.stop() == 0


def broker_with_rules(tmp_path: Path, rules: str) -> tuple[Broker, Path]:
    """Start a broker with an ACL; returns it and the file with the rules."""
    folder = tmp_path / "broker"
    folder.mkdir()
    acl = folder / "acl"
    acl.write_text(rules)
    acl.chmod(0o644)
    broker = Broker(folder, f"allow_anonymous true\nacl_file {acl}\n")
    broker.start()
    return broker, acl


def test_a_topic_that_the_broker_denies_holds_up_no_alarm(tmp_path: Path) -> None:
    """`frame` denied by the ACL: defects and alarms arrive, losses are counted, health says which topic."""
    broker, _ = broker_with_rules(tmp_path, "topic readwrite #\ntopic deny inspector/test/line/cam/frame\n")
    listener = Listener(broker.port)
    frames, source = watched(tmp_path)
    daemon = Daemon(tmp_path, station_toml(tmp_path, broker.port, source))
    daemon.start()
    try:
        names = write_tiles(frames, 12)
        wait_for(lambda: daemon.metrics()['inspector_frames_total{outcome="inspected"}'] == len(names), "inspection")
        stored = sum(v for k, v in daemon.metrics().items() if k.startswith("inspector_defects_total"))
        assert stored > 0
        listener.wait(lambda: len(listener.of("defect")) == stored, "every defect", timeout_s=30)
        lost = 'inspector_outbox_lost_total{reason="rejected",sink="mqtt"}'
        wait_for(lambda: daemon.metrics()[lost] == len(names), "the losses", timeout_s=30)
        wait_for(lambda: "refuses the topic frame" in daemon.get("/healthz").decode(), "health with the topic")
        assert daemon.stop() == 0
    finally:
        daemon.end()
        listener.close()
        broker.kill()


def test_a_broker_that_refuses_everything_loses_nothing(tmp_path: Path) -> None:
    """Wrong user for the ACL: health says so, no message is given up, and once the rule is mended all arrive."""
    broker, acl = broker_with_rules(tmp_path, "topic read #\ntopic readwrite inspector/other/#\n")
    listener = Listener(broker.port)
    frames, source = watched(tmp_path)
    daemon = Daemon(tmp_path, station_toml(tmp_path, broker.port, source))
    daemon.start()
    try:
        names = write_tiles(frames, 6)
        wait_for(lambda: "refuses every topic" in daemon.get("/healthz").decode(), "health with the refusal")
        refused = 'inspector_mqtt_rejected_total{reason="publish"}'
        wait_for(lambda: daemon.metrics().get(refused, 0) > 2 * len(names), "more than one try", timeout_s=60)
        assert sum(v for k, v in daemon.metrics().items() if k.startswith("inspector_outbox_lost_total")) == 0
        acl.write_text("topic readwrite #\n")
        broker.reload()
        listener.wait(lambda: len(listener.of("frame")) == len(names), "every frame", timeout_s=30)
        wait_for(lambda: "refuses" not in daemon.get("/healthz").decode(), "health without it")
        assert daemon.stop() == 0
    finally:
        daemon.end()
        listener.close()
        broker.kill()
    assert len(daemon.events("everything_refused")) == 1
    assert daemon.events("message_refused") == []


class ClosingProxy:
    """Passes connections on to a broker, but for those that it closes first: as many as it is told to."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.closes = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.closes > 0:
                self.closes -= 1
                client.close()
                continue
            broker = socket.create_connection(("127.0.0.1", self._target))
            for one, other in ((client, broker), (broker, client)):
                threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        source.close()

    def close(self) -> None:
        self._server.close()


@pytest.mark.parametrize("closes", [1, 3])
def test_a_proxy_before_a_broker_that_starts_does_not_take_mqtt_5_away(
    tmp_path: Path, broker: Broker, closes: int
) -> None:
    """Connections that are closed before an answer are no reason to stay on 3.1.1, which cannot say what is denied."""
    proxy = ClosingProxy(broker.port)
    proxy.closes = closes
    daemon = Daemon(tmp_path, station_toml(tmp_path, proxy.port, watched(tmp_path)[1]))
    daemon.start()
    try:
        connected = wait_for(lambda: daemon.events("broker_connected"), "the connection", timeout_s=60)
        assert [event["protocol"] for event in connected] == ["5"]
        assert daemon.stop() == 0
    finally:
        daemon.end()
        proxy.close()


def test_two_stations_with_one_root_say_so(tmp_path: Path, listener: Listener, make_daemon: MakeDaemon) -> None:
    """Both use one client id and throw each other off the broker: health names the cause."""
    _, source = watched(tmp_path)
    stations = [make_daemon(source), make_daemon(source, name="second")]
    for station in stations:
        station.start()

    def told() -> bool:
        return any(b"another station" in station.get("/healthz") for station in stations)

    wait_for(told, "health with the cause", timeout_s=60, every_s=0.5)
    for station in stations:
        assert station.stop() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    options = ["-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("no small file system: mount needs root")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)


def test_a_full_disk_makes_it_blind_until_there_is_room(
    tmp_path: Path, small_disk: Path, listener: Listener, broker: Broker
) -> None:
    """No room for the store: it stays up, blind, and everything arrives once there is room again."""
    frames, source = watched(tmp_path)
    toml = station_toml(tmp_path, broker.port, source).replace(
        f'path = "{tmp_path / "state"}"', f'path = "{small_disk}"\nevidence = "off"'
    )
    daemon = Daemon(tmp_path, toml)
    daemon.start()
    daemon.started()
    try:
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        names = write_tiles(frames, 20)
        wait_for(lambda: json.loads(health(daemon))["state"] == "blind", "blind")
        assert json.loads(health(daemon))["reason"].startswith(("store", "source_down"))
        ballast.unlink()
        listener.wait(lambda: len(listener.of("frame")) == len(names), "everything")
        assert daemon.stop() == 0
    finally:
        daemon.end()


def health(daemon: Daemon) -> str:
    """Return the body of /healthz, whatever its status."""
    import urllib.error

    try:
        return daemon.get("/healthz").decode()
    except urllib.error.HTTPError as exc:
        return exc.read().decode()


def says(daemon: Daemon, told: str) -> bool:
    return told in health(daemon)


def test_a_camera_without_a_usable_picture_is_blind_by_its_cause(make_daemon: MakeDaemon) -> None:
    """One picture for ever, then pictures that are too large, then living ones: health says each in turn."""
    rng = np.random.default_rng(1)

    def picture(side: int) -> bytes:
        return part(cv2.imencode(".png", rng.integers(0, 255, (side, side), np.uint8))[1].tobytes())

    stages = deque([[picture(200)], [picture(400) for _ in range(3)], [picture(200) for _ in range(3)]])

    def script(connection: socket.socket, _: str) -> None:
        connection.sendall(head())
        for number in count():
            connection.sendall(stages[0][number % len(stages[0])])
            if camera.released.wait(0.02):
                return

    with HttpCamera(script) as camera:
        daemon = make_daemon(f'kind = "camera"\npath = "{camera.url}"\nfrozen_frames = 10\nmax_frame_px = 50000')
        daemon.start()
        daemon.started()
        for told in ('"reason":"frozen: the camera repeats', '"reason":"too_large: ', '"state":"ok"'):
            wait_for(partial(says, daemon, told), told)
            stages.rotate(-1)
        assert daemon.stop() == 0
