"""`inspector.station.door`: who is logged in on the PC gives commands by a socket file, and the kernel says who."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.clock import SystemClock
from inspector.command_table import Origin
from inspector.commands.do import ask_station
from inspector.errors import SourceError
from inspector.messages import ReplyMessage
from inspector.settings.places import DOOR
from inspector.station.door import Door, Peer, peer_of, short_name

ME = Peer("root", trusted=True, allowed=True)
ANN = Peer("ann", trusted=False, allowed=True)
EVE = Peer("eve", trusted=False, allowed=False)


class Heard:
    """Answers every command, and remembers it."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Any, str | None]] = []

    def __call__(self, name: str, payload: bytes, origin: Origin) -> ReplyMessage:
        self.commands.append((name, json.loads(payload), origin.person))
        return ReplyMessage(command=name, ok=True, accepted=True, detail="done")


@contextmanager
def door(path: Path, heard: Heard, peer: Peer) -> Iterator[None]:
    door = Door(path, heard, SystemClock(), lambda _: peer)
    door.start()
    try:
        yield
    finally:
        door.stop()


def send(path: Path, request: bytes) -> dict[str, Any]:
    with short_name(path) as name, closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(name)
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return dict(json.loads(connection.makefile("rb").read()))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A station without any listener, whose store lies so deep that a socket's name would be too long."""
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    text = f'[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n[store]\npath = "{folder}"\n'
    (tmp_path / "station.toml").write_text(text + "[http]\nenabled = false\n")
    return tmp_path / "station.toml"


def socket_of(config: Path) -> Path:
    return config.parent / ("d" * 120) / DOOR


def test_a_command_needs_no_token_on_the_pc(config: Path) -> None:
    """`inspector do` goes through the socket file, and the reply comes back; the file is gone with the station."""
    heard = Heard()
    with door(socket_of(config), heard, ANN):
        mode = socket_of(config).stat().st_mode & 0o777
        reply = ask_station(config, "shelve", {"label": "crack", "person": "bob"})

    assert (reply["ok"], reply["detail"], mode) == (True, "done", 0o666)
    assert heard.commands == [("shelve", {"label": "crack", "person": "bob"}, "ann")]
    with pytest.raises(SourceError, match="the station does not run: nothing listens at"):
        ask_station(config, "pause", {})


@pytest.mark.parametrize(
    ("peer", "payload", "person"),
    [
        pytest.param(ANN, {}, "ann", id="an operator"),
        pytest.param(ANN, {"person": "bob"}, "ann", id="an operator who says another name"),
        pytest.param(ME, {}, "root", id="root"),
        pytest.param(ME, {"person": "bob"}, None, id="root for somebody else: what the command says"),
    ],
)
def test_the_person_is_who_has_connected(config: Path, peer: Peer, payload: dict[str, str], person: str | None) -> None:
    """A member of the group is who the kernel says; root and the station's own user may speak for others."""
    heard = Heard()
    with door(socket_of(config), heard, peer):
        ask_station(config, "pause", payload)

    assert heard.commands == [("pause", payload, person)]


def test_who_is_no_operator_is_refused_by_name(config: Path) -> None:
    """The reply says who may; nothing is carried out."""
    heard = Heard()
    with door(socket_of(config), heard, EVE):
        reply = ask_station(config, "pause", {})

    assert (reply["ok"], reply["error"], heard.commands) == (False, "not_allowed", [])
    assert reply["detail"] == "only root and members of inspector-operators may: eve"


@pytest.mark.parametrize(
    "request_line",
    [
        b"",
        b"\n",
        b"halt\n",
        b"[1]\n",
        b'{"command": 7}\n',
        rb'{"command": "\ud800"}',
        b"[" * 9000,
        b"x" * 100_000,
        b"\xff\n",
    ],
    ids=["nothing", "an empty line", "no JSON", "a list", "no name", "half a character", "deep", "long", "no text"],
)
def test_nonsense_is_answered_and_the_next_is_served(config: Path, request_line: bytes) -> None:
    """Whatever comes in gets one reply or a closed socket, and keeps nobody else out."""
    heard = Heard()
    with door(socket_of(config), heard, ANN):
        try:
            assert send(socket_of(config), request_line)["error"] == "invalid"
        except (ConnectionError, json.JSONDecodeError):
            assert len(request_line) > 8192  # closed while it was still being sent
        reply = ask_station(config, "pause", {})

    assert reply["ok"]


def test_a_file_of_a_station_that_died_is_replaced(config: Path) -> None:
    """What a killed process left behind answers nobody, and keeps no station from listening."""
    with short_name(socket_of(config)) as name, closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(name)
    with pytest.raises(SourceError, match="nothing listens"):
        ask_station(config, "pause", {})
    with door(socket_of(config), Heard(), ANN):
        assert ask_station(config, "pause", {})["ok"]


def test_no_folder_for_the_file_is_no_reason_to_stop(tmp_path: Path) -> None:
    """A socket that cannot be made is reported; the station goes on without it."""
    shut = Door(tmp_path / "absent" / DOOR, Heard(), SystemClock())
    shut.start()
    shut.stop()

    assert shut.failure is None


def test_the_kernel_says_who_it_is() -> None:
    """The peer of a socket of this process is this user, who may speak for others."""
    here, there = socket.socketpair()
    with here, there:
        peer = peer_of(here)

    assert (peer.trusted, peer.allowed) == (True, True)
    assert peer.name == (os.environ.get("USER") or peer.name)
