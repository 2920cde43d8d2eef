"""What goes wrong on a line: a clear word, the right exit code, and nothing lost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from peers import PROGRAM, Broker, Daemon, Listener, free_port, station_toml, wait_for
from watched_folder import watched

from inspector.model.bundle import SHIPPED

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

MakeDaemon = Callable[..., Daemon]


def picture_bytes(side: int = 200, seed: int = 1) -> bytes:
    pixels = np.random.default_rng(seed).integers(90, 150, (side, side), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def test_bad_files_get_one_frame_message_each_and_good_ones_go_on(
    tmp_path: Path, listener: Listener, make_daemon: MakeDaemon
) -> None:
    """Truncated, empty, foreign, huge and odd files: `not_inspected` with a reason; pipes and loops harm nobody."""
    folder, source = watched(tmp_path)
    good = picture_bytes()
    huge = np.zeros((1, 1), np.uint8)
    expected = {
        "truncated.jpg": (good[: len(good) // 2], "unreadable"),
        "empty.jpg": (b"", "unreadable"),
        "text.jpg": (b"hello", "unsupported"),
        "gif.jpg": (b"GIF89a" + bytes(50), "unsupported"),
        "large.jpg": (good + bytes(3 << 20), "too_large"),
        "blank.png": (bytes(cv2.imencode(".png", huge.repeat(200, 0).repeat(200, 1) + 128)[1].tobytes()), "blank"),
    }
    daemon = make_daemon(source + "\nmax_file_bytes = 2000000")
    daemon.start()
    daemon.started()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    for name, (data, _) in expected.items():
        (folder / name).write_bytes(data)
    (folder / "good.jpg").write_bytes(good)
    listener.wait(lambda: {"good.jpg", *expected} <= {f["frame"]["source_key"] for f in listener.of("frame")}, "frames")
    told = {frame["frame"]["source_key"]: frame for frame in listener.of("frame")}
    assert daemon.stop() == 0

    assert {name: reason for name, (_, reason) in expected.items()} == {
        name: frame["reason"]
        for name, frame in told.items()
        if frame["verdict"] == "not_inspected" and name != "pipe.jpg"
    }
    assert told["good.jpg"]["verdict"] in {"pass", "fail", "unknown"}
    assert all(name in (told[name]["detail"] or name) for name in expected)


def test_a_folder_that_vanishes_and_comes_back(tmp_path: Path, listener: Listener, make_daemon: MakeDaemon) -> None:
    """Blind while it is away, with its name; a gap when it is back; and its files are inspected."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    (folder / "one.jpg").write_bytes(picture_bytes())
    listener.wait(lambda: len(listener.of("frame")) == 1, "the first frame")
    folder.rename(tmp_path / "away")
    wait_for(lambda: daemon.metrics()['inspector_health_state{state="blind"}'] == 1, "blind")
    folder.mkdir()
    (folder / "two.jpg").write_bytes(picture_bytes(seed=2))
    listener.wait(lambda: len(listener.of("frame")) == 2, "the frame of the new folder")
    listener.wait(lambda: bool(listener.of("coverage")), "the gap")

    gap = listener.of("coverage")[0]
    assert gap["cause"] == "source_down"
    assert str(folder) in gap["detail"]
    assert daemon.stop() == 0


def flip_a_bit(bundle: Path) -> None:
    path = bundle / "model.tflite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        pytest.param(lambda bundle: shutil.rmtree(bundle), "card.json", id="missing"),
        pytest.param(lambda bundle: (bundle / "card.json").write_text("{}"), "card.json", id="foreign"),
        pytest.param(flip_a_bit, "model.tflite", id="one bit flipped"),
        pytest.param(lambda bundle: (bundle / "golden.npz").unlink(), "golden.npz", id="no golden tiles"),
    ],
)
def test_a_bad_bundle_is_refused(
    tmp_path: Path, make_daemon: MakeDaemon, spoil: Callable[[Path], object], named: str
) -> None:
    """Exit 78, and the file is named."""
    bundle = tmp_path / "bundle"
    shutil.copytree(SHIPPED / "neu-fast", bundle)
    spoil(bundle)
    _, source = watched(tmp_path)
    daemon = make_daemon(source, f'[model]\npath = "{bundle}"')
    daemon.start()

    assert daemon.wait() == 78
    assert named in daemon.log.read_text()


def test_a_bad_reload_changes_nothing(tmp_path: Path, listener: Listener, make_daemon: MakeDaemon) -> None:
    """SIGHUP with an unknown key: the old configuration stays, and says so; with a good one, it is taken."""
    folder, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    daemon.started()
    good = daemon.config.read_text()
    daemon.config.write_text(good.replace('mode = "alarm"', "mood = 'bad'"))
    daemon.hang_up()
    wait_for(lambda: daemon.events("reload_refused"), "the refusal")
    assert daemon.metrics()["inspector_config_last_reload_successful"] == 0
    daemon.config.write_text(good.replace('mode = "alarm"', 'mode = "observe"'))
    daemon.hang_up()
    wait_for(lambda: len(daemon.events("reloaded")) == 1, "the new configuration")
    (folder / "one.jpg").write_bytes(picture_bytes())
    listener.wait(lambda: len(listener.of("frame")) == 1, "a frame after the reload")

    assert "decision.mood" in daemon.events("reload_refused")[0]["reason"]
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("toml", "code", "named"),
    [
        pytest.param("", 0, "golden tiles score", id="good"),
        pytest.param("[decision]\nmood = 1\n", 78, "decision.mood: unknown key", id="unknown key"),
        pytest.param("[decision]\nrecord_floor = 7\n", 78, "decision.record_floor", id="out of range"),
        pytest.param("[decision]\nthresholds = {rust = 0.5}\n", 78, "rust", id="unknown label"),
        pytest.param('[model]\npath = "/nowhere"\n', 78, "/nowhere", id="no bundle"),
    ],
)
def test_check_names_key_and_reason(tmp_path: Path, make_daemon: MakeDaemon, toml: str, code: int, named: str) -> None:
    """`inspector check` exits 0 or 78, and names what is wrong."""
    _, source = watched(tmp_path)
    daemon = make_daemon(source, toml)
    done = subprocess.run([*PROGRAM, "check", "--config", daemon.config], capture_output=True, text=True, check=False)

    assert done.returncode == code, done.stdout + done.stderr
    assert named in done.stdout


@pytest.mark.parametrize(
    ("http", "named"),
    [
        pytest.param('token_file = "/nowhere"', "http.token_file: /nowhere: cannot be read", id="no token"),
        pytest.param('cert_file = "/nowhere"\nkey_file = "/nowhere"', "http.cert_file: /nowhere", id="no certificate"),
        pytest.param("port = {taken}", "port {taken} cannot be bound", id="port of another program"),
    ],
)
def test_check_and_reload_refuse_what_a_start_would_refuse(
    tmp_path: Path, make_daemon: MakeDaemon, http: str, named: str
) -> None:
    """Token, certificate and port are tried beforehand: exit 78, and a reload leaves the station as it runs."""
    _, source = watched(tmp_path)
    daemon = make_daemon(source)
    daemon.start()
    daemon.started()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        lines = http.replace("{taken}", taken)
        daemon.config.write_text(
            daemon.config.read_text().replace("port = 0", lines if "port" in lines else f"port = 0\n{lines}")
        )
        done = subprocess.run([*PROGRAM, "check", "-c", daemon.config], capture_output=True, text=True, check=False)
        daemon.hang_up()
        wait_for(lambda: daemon.events("reload_refused"), "the refusal")

    assert done.returncode == 78, done.stdout + done.stderr
    assert f"REFUSED: {named.replace('{taken}', taken)}".split(": ", 1)[1] in done.stdout
    assert daemon.stop() == 0
    assert len(daemon.events("started")) == 1


def test_check_beside_the_running_station(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """The port that the station itself has is no fault, and a relative path is remarked on."""
    _, source = watched(tmp_path)
    daemon = make_daemon(source + '\nfinished_dir = "done"')
    daemon.config.write_text(daemon.config.read_text().replace("port = 0", f"port = {free_port()}"))
    daemon.start()
    daemon.started()
    done = subprocess.run([*PROGRAM, "check", "-c", daemon.config], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "where this station runs now" in done.stdout
    assert "note: source.finished_dir: done is looked for" in done.stdout
    daemon.config.write_text(daemon.config.read_text().replace('name = "cam"', 'name = "renamed"'))
    done = subprocess.run([*PROGRAM, "check", "-c", daemon.config], capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "is held by the station test/line/cam" in done.stdout
    assert daemon.stop() == 0


def test_check_says_what_is_unreachable(tmp_path: Path, broker: Broker, make_daemon: MakeDaemon) -> None:
    """No folder and no broker: exit 1, both named; two stations on one store: exit 78."""
    folder, source = watched(tmp_path)
    first, second = make_daemon(source), make_daemon(source, name="second")
    second.config.write_text(first.config.read_text())
    broker.kill()
    folder.rmdir()
    arguments = [*PROGRAM, "check", "--config", str(first.config)]
    alone = subprocess.run(arguments, capture_output=True, text=True, check=False)
    both = subprocess.run([*arguments, "--config", str(second.config)], capture_output=True, text=True, check=False)

    assert alone.returncode == 1
    assert str(folder) in alone.stdout
    assert f"127.0.0.1:{broker.port}" in alone.stdout
    assert both.returncode == 78
    assert "the same store folder" in both.stdout


def test_a_login_that_is_refused_is_told_and_retried(tmp_path: Path) -> None:
    """Wrong password: the station inspects on, counts the refusal, and names the broker, never the password."""
    folder = tmp_path / "broker"
    folder.mkdir()
    passwords = folder / "passwords"
    passwords.touch()
    subprocess.run(["mosquitto_passwd", "-b", passwords, "cam", "right-secret"], check=True)
    passwords.chmod(0o644)
    broker = Broker(folder, f"allow_anonymous false\npassword_file {passwords}\n")
    broker.start()
    secret = tmp_path / "secret"
    secret.write_text("wrong-secret\n")
    frames, source = watched(tmp_path)
    extra = '[events]\n[tiling]\n[model]\nworkers = 1\n[decision]\nmode = "observe"\n'
    toml = station_toml(tmp_path, broker.port, source, extra).replace(
        "[store]", f'username = "cam"\npassword_file = "{secret}"\n[store]'
    )
    daemon = Daemon(tmp_path, toml)
    daemon.start()
    try:
        wait_for(lambda: daemon.metrics()['inspector_mqtt_rejected_total{reason="login"}'] >= 1, "the refusal")
        (frames / "one.jpg").write_bytes(picture_bytes())
        wait_for(lambda: daemon.metrics()['inspector_frames_total{outcome="inspected"}'] == 1, "the inspection")
        secret.write_text("right-secret\n")
        wait_for(lambda: daemon.metrics()["inspector_mqtt_connected"] == 1, "the login with the mended password")
        assert daemon.stop() == 0
    finally:
        daemon.end()
        broker.kill()
    assert "wrong-secret" not in daemon.log.read_text()


def test_a_port_that_is_taken_is_named(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """Exit 78 and the address, when the HTTP port belongs to somebody else."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        _, source = watched(tmp_path)
        daemon = make_daemon(source)
        daemon.config.write_text(daemon.config.read_text().replace("port = 0", f"port = {port}"))
        daemon.start()

        assert daemon.wait() == 78
    assert str(port) in daemon.log.read_text()
