"""`inspector.commands.check`: what is found in a configuration before it runs."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.commands import check
from inspector.commands.check import Report, check_files
from inspector.errors import EXIT_FAILURE, EXIT_OK, EXIT_REFUSED
from inspector.settings import places

pytestmark = pytest.mark.timeout(60)


NO_BUNDLE = "/nowhere/bundle"


class Config:
    """The file of a station whose folder is there, without broker and listener, in parts that a test replaces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames = folder / "frames"
        self.frames.mkdir()
        self.path = folder / "cam1.toml"

    def write(self, path: Path | None = None, /, name: str = "n", more: str = "", **sections: str) -> Path:
        parts = {
            "station": f'site = "s"\nline = "l"\nname = "{name}"',
            "source": f'kind = "folder"\npath = "{self.frames}"',
            "model": "workers = 1",
            "mqtt": "enabled = false",
            "http": "enabled = false",
            "store": f'path = "{self.folder / "state"}"',
            **sections,
        }
        path = path or self.path
        path.write_text("\n".join(f"[{section}]\n{text}" for section, text in parts.items()) + f"\n{more}")
        return path

    def check(self, **changes: str) -> Report:
        (report,) = check_files([self.write(None, **changes)])
        return report

    def look(self, **changes: str) -> Report:
        """Check all but the bundle, which takes the longest."""
        report = self.check(model=f'path = "{NO_BUNDLE}"', **changes)
        (no_bundle,) = (text for text in report.refused if NO_BUNDLE in text)
        report.refused.remove(no_bundle)
        return report


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


def found(report: Report, part: str) -> list[tuple[str, str]]:
    """What a report says of one part, and under which heading."""
    headings = {"good": report.good, "unreachable": report.unreachable, "refused": report.refused}
    return [
        (heading, text.removeprefix(f"{part}: "))
        for heading, texts in headings.items()
        for text in texts
        if text.startswith(part)
    ]


# --- The report ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        pytest.param({"good": ["a"]}, EXIT_OK, id="all is well"),
        pytest.param({"notes": ["a"]}, EXIT_OK, id="a note is no fault"),
        pytest.param({"unreachable": ["a"]}, EXIT_FAILURE, id="not there now"),
        pytest.param({"unreachable": ["a"], "refused": ["b"]}, EXIT_REFUSED, id="refused counts more"),
    ],
)
def test_the_exit_code_is_the_worst_finding(findings: dict[str, list[str]], code: int) -> None:
    """0 good, 1 unreachable, 78 refused; as JSON a report has all of it."""
    report = Report("cam.toml")
    for heading, texts in findings.items():
        getattr(report, heading).extend(texts)
    lists: dict[str, list[str]] = {"good": [], "notes": [], "unreachable": [], "refused": [], **findings}

    assert report.exit_code == code
    assert report.as_dict() == {"path": "cam.toml", "exit_code": code, "values": {}, **lists}


def test_a_station_that_would_start(config: Config) -> None:
    """Each part has its line: bundle, store, listener, source, broker; every value says where it comes from."""
    report = config.check(store=f'path = "{config.folder / "state"}"\noutbox_limit_bytes = 2000000')

    assert (report.exit_code, report.unreachable, report.refused, report.notes) == (EXIT_OK, [], [], [])
    assert [text.partition(":")[0] for text in report.good] == [
        "model", "reference", "store", "reports", "http", "source", "mqtt",
    ]  # fmt: skip
    assert "golden tiles score" in report.good[0]
    assert report.values["store.outbox_limit_bytes"] == {"value": 2_000_000, "origin": str(config.path)}
    assert report.values["source.settle_s"] == {"value": 1.0, "origin": "default"}
    assert not (config.folder / "state").exists()


def test_a_key_of_another_kind_is_a_note(config: Config) -> None:
    """It is no fault yet: the exit code does not count it, and it is no value of the station."""
    report = config.check(source=f'kind = "folder"\npath = "{config.frames}"\nwidth_px = 64')

    assert report.exit_code == EXIT_OK
    assert report.notes == [
        f"{config.path}: source.width_px: kind = 'folder' does not use this key, and the next release refuses it"
    ]
    assert "source.width_px" not in report.values


def test_a_file_that_is_refused_leaves_the_others(config: Config) -> None:
    """An unknown key, or no file at all, is a report of the reason alone; the next file is checked all the same."""
    bad = config.write(config.folder / "bad.toml", more="[evnts]\n")
    reports = check_files([bad, config.folder / "absent.toml", config.write()])

    assert [report.exit_code for report in reports] == [EXIT_REFUSED, EXIT_REFUSED, EXIT_OK]
    assert "evnts" in reports[0].refused[0]
    assert "absent.toml" in reports[1].refused[0]
    assert (reports[0].good, reports[0].values) == ([], {})


# --- Bundle and store ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"model": 'path = "/nowhere"'}, "/nowhere", id="no bundle"),
        pytest.param({"more": "[decision]\nthresholds = {nonsense = 0.5}"}, "nonsense", id="a label it has not"),
    ],
)
def test_a_bundle_that_would_be_refused(config: Config, changes: dict[str, str], named: str) -> None:
    """What the daemon would not start with is refused by name; the rest is checked all the same."""
    report = config.check(**changes)

    assert report.exit_code == EXIT_REFUSED
    assert [named in text for text in report.refused] == [True]
    assert [text.partition(":")[0] for text in report.good] == ["store", "reports", "http", "source", "mqtt"]


def test_a_store_that_cannot_be_made(config: Config) -> None:
    """A file where a folder is needed is refused, with the place that is in the way."""
    config.write().chmod(0o755)  # a program, which root might "enter"
    below = config.path / "a" / "b"

    assert found(config.look(store=f'path = "{below}"'), "store") == [
        ("refused", f"store.path: {below} cannot be made: {config.path} is not writable for this user")
    ]


# --- Listener -----------------------------------------------------------------------------------------------------


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """Listen on a port and answer every request with the given bytes."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/healthz"
                self.send_response(503)
                self.end_headers()
                self.wfile.write(answer)

            def log_request(self, code: object = "-", size: object = "-") -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_free_port_is_good(config: Config) -> None:
    """The address is tried and left free."""
    port = free_port()

    assert found(config.look(http=f"port = {port}"), "http") == [("good", f"127.0.0.1 port {port} is free")]
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("answer", "heading", "text"),
    [
        pytest.param({"station": "s/l/n"}, "good", "where this station runs now", id="this station"),
        pytest.param({"station": "s/l/old"}, "unreachable", "held by the station s/l/old", id="another station"),
        pytest.param({"status": "UP"}, "refused", "cannot be bound", id="another program"),
        pytest.param(["station"], "refused", "cannot be bound", id="a list"),
        pytest.param(None, "refused", "cannot be bound", id="no JSON"),
    ],
)
def test_a_port_that_is_taken(
    config: Config, answering: Callable[[bytes], int], answer: object, heading: str, text: str
) -> None:
    """Who holds it is asked: the station itself is no fault, another one may be it under its old name."""
    port = answering(b"<html>" if answer is None else json.dumps(answer).encode())
    ((kind, said),) = found(config.look(http=f"port = {port}"), "http")

    assert kind == heading
    assert text in said


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        pytest.param('token_file = "/nowhere"', "http.token_file: /nowhere", id="no token"),
        pytest.param('cert_file = "/nowhere"\nkey_file = "/nowhere"', "http.cert_file: /nowhere", id="no certificate"),
    ],
)
def test_files_of_the_listener(config: Config, lines: str, named: str) -> None:
    """A token or certificate that is not there is refused once, with its key."""
    (text,) = config.look(http=f"port = 0\n{lines}").refused

    assert text.startswith(named)


# --- Source -------------------------------------------------------------------------------------------------------


def test_a_video_is_read_to_its_end(config: Config) -> None:
    """A file that has no frame left after the look is at its end, which is no fault."""
    video = config.folder / "a.avi"
    writer = cv2.VideoWriter(str(video), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (64, 48))
    writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    ((heading, text),) = found(config.look(source=f'kind = "camera"\npath = "{video}"'), "source")

    assert (heading, str(video) in text) == ("good", True)


@pytest.mark.parametrize(
    ("source", "heading", "text"),
    [
        pytest.param('kind = "folder"\npath = "{frames}"', "good", "{frames}", id="a folder"),
        pytest.param('kind = "folder"\npath = "{frames}/gone"', "unreachable", "{frames}/gone", id="no folder"),
        pytest.param('kind = "lines"\npath = "-"\nwidth_px = 64', "good", "standard input", id="standard input"),
        pytest.param('kind = "lines"\npath = "{frames}/a"\nwidth_px = 64', "unreachable", "{frames}/a", id="no lines"),
        pytest.param('kind = "demo"', "good", "", id="drawn"),
        pytest.param('kind = "demo"\nimages = "{frames}"', "refused", "{frames}", id="nothing to compose"),
    ],
)
def test_the_source_is_looked_at(config: Config, source: str, heading: str, text: str) -> None:
    """What is not there now is unreachable: the daemon would wait for it; nothing of it is taken or moved."""
    (config.frames / "one.png").write_bytes(b"no picture")
    ((kind, said),) = found(config.look(source=source.replace("{frames}", str(config.frames))), "source")

    assert kind == heading
    assert text.replace("{frames}", str(config.frames)) in said
    assert [path.name for path in config.frames.iterdir()] == ["one.png"]


# --- Broker -------------------------------------------------------------------------------------------------------


def test_a_broker_that_is_away(config: Config) -> None:
    """It is unreachable, by its address: the daemon would start and wait."""
    port = free_port()
    report = config.look(mqtt=f'host = "127.0.0.1"\nport = {port}')

    ((heading, text),) = found(report, "mqtt")
    assert (heading, report.exit_code) == ("unreachable", EXIT_FAILURE)
    assert f"127.0.0.1:{port}" in text
    assert not text.startswith("mqtt: ")


def test_a_file_of_the_broker_that_is_missing(config: Config) -> None:
    """A certificate that is not there keeps the daemon from starting."""
    (text,) = config.look(mqtt='tls = true\nca_file = "/nowhere.pem"').refused

    assert text == "mqtt.ca_file: no such file: /nowhere.pem"


# --- Paths --------------------------------------------------------------------------------------------------------


def test_relative_paths_are_remarked_on(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """They mean another file where the daemon is started in another folder; a shipped bundle's name is no path."""
    monkeypatch.chdir(config.folder)
    report = config.look(source='kind = "folder"\npath = "frames"\nfinished_dir = "done"', store='path = "state"')

    said = "is looked for in the folder that the daemon is started in"
    assert sorted(report.notes) == [
        f"source.finished_dir: done {said}", f"source.path: frames {said}", f"store.path: state {said}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "notes"),
    [
        pytest.param('kind = "camera"\npath = "0"', 0, id="a camera's number"),
        pytest.param('kind = "camera"\npath = "rtsp://127.0.0.1:1/a"\nopen_timeout_s = 1', 0, id="a URL"),
        pytest.param('kind = "camera"\npath = "cam0"', 1, id="a file"),
        pytest.param('kind = "lines"\npath = "-"\nwidth_px = 64', 0, id="standard input"),
    ],
)
def test_what_is_no_path_is_not_remarked_on(config: Config, source: str, notes: int) -> None:
    """Only a source that lies on a disk can be looked for in a folder."""
    assert len(config.look(source=source).notes) == notes


@pytest.fixture
def unit(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a station that runs as a unit."""
    monkeypatch.setattr(places, "STATION_FOLDER", config.folder)
    return config


def test_a_unit_does_not_see_homes(unit: Config) -> None:
    """What the unit's protection hides from it is named, though whoever checks it can read it."""
    report = unit.look(source='kind = "folder"\npath = "/home/someone/frames"', store='path = "/tmp/state"')
    hidden = "the unit does not see /home, /root, /run/user, /tmp, /var/tmp"

    assert sorted(report.notes) == [f"source.path: {hidden}: /home/someone/frames", f"store.path: {hidden}: /tmp/state"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can see what another user may do")
@pytest.mark.parametrize(
    ("mode", "finished", "denied"),
    [
        pytest.param(0o755, "keep", [], id="readable"),
        pytest.param(0o700, "keep", ["read", "enter"], id="closed"),
        pytest.param(0o744, "keep", ["enter"], id="not to be entered"),
        pytest.param(0o755, "delete", ["write"], id="files are to be deleted"),
        pytest.param(0o777, "delete", [], id="and may be"),
    ],
)
def test_root_sees_what_the_units_user_may_do(
    unit: Config, monkeypatch: pytest.MonkeyPatch, mode: int, finished: str, denied: list[str]
) -> None:
    """Root may do anything; so the unit's user is asked whether it may read, enter and change what it needs."""
    monkeypatch.setattr(check, "UNIT_USER", "daemon")
    monkeypatch.setattr(check, "HIDDEN_FROM_UNITS", ())
    for parent in (unit.frames, *unit.frames.parents):
        if parent.stat().st_mode & 0o777 == 0o700:  # pytest's own folders are closed to others
            parent.chmod(0o711)
    unit.frames.chmod(mode)
    report = unit.look(source=f'kind = "folder"\npath = "{unit.frames}"\nfinished = "{finished}"')

    assert report.unreachable == [f"source.path: the user daemon may not {verb} {unit.frames}" for verb in denied]


# --- Several stations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        pytest.param({"name": "other", "store": 'path = "{other}"'}, [], id="nothing"),
        pytest.param({"store": 'path = "{other}"'}, ["mqtt root"], id="one name"),
        pytest.param({"name": "other"}, ["store folder"], id="one store"),
        pytest.param(
            {"name": "other", "store": 'path = "{other}"', "http": "port = {port}"}, ["http address"], id="one port"
        ),
        pytest.param({"name": "other", "store": 'path = "{other}"', "http": "port = 0"}, [], id="any free port"),
        pytest.param({}, ["mqtt root", "store folder"], id="the same file twice"),
    ],
)
def test_stations_share_nothing(config: Config, changes: dict[str, str], shared: list[str]) -> None:
    """Two stations on one topic root, store or port are refused: each is named with the other."""
    port, other = free_port(), str(config.folder / "other")
    filled = {key: text.replace("{port}", str(port)).replace("{other}", other) for key, text in changes.items()}
    http = {key: text for key, text in filled.items() if key == "http"}
    first = config.write(None, model=f'path = "{NO_BUNDLE}"', **http)
    second = config.write(config.folder / "cam2.toml", model=f'path = "{NO_BUNDLE}"', **filled)
    reports = check_files([first, second])

    said = [[text for text in report.refused if NO_BUNDLE not in text] for report in reports]
    assert said[0] == []
    assert [text.split(" as ")[0] for text in said[1]] == [f"{second}: the same {mark}" for mark in shared]
    assert all(f" as {first}: " in text for text in said[1])
