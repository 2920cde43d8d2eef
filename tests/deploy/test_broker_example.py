"""The broker example on a real mosquitto: who gets in, and who may write and read what."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from monitors import find_program
from paho.mqtt.enums import CallbackAPIVersion
from peers import Daemon, wait_for
from secured import CAM, OPERATOR, OTHER, PLANT, SECRET, SecuredBroker, certificates, secured_station

from inspector.command_table import COMMANDS
from inspector.messages import MESSAGE_TYPES

REPOSITORY = Path(__file__).resolve().parent.parent.parent
EXAMPLE = REPOSITORY / "deploy/mosquitto"
OWN_TOPICS = ("status", "coil", "reply", *(topic for topic in MESSAGE_TYPES if topic != "area"))  # that is beside

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


class Client:
    """A raw MQTT 5 client that waits for every answer."""

    def __init__(self, broker: SecuredBroker, user: str | None, secret: str | None = SECRET, cert: str = "") -> None:
        self.messages: dict[str, bytes] = {}
        self.refused: str | None = None
        self._answers: dict[tuple[str, int], Any] = {}
        self._changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        context = ssl.create_default_context(cafile=str(broker.folder / "ca.crt"))
        if cert:
            context.load_cert_chain(broker.folder / f"{cert}.crt", broker.folder / f"{cert}.key")
        self._client.tls_set_context(context)
        if user is not None:
            self._client.username_pw_set(user, secret)
        self._client.on_connect = lambda _c, _u, _f, code, _p: self._note("connect", 0, str(code))
        self._client.on_disconnect = lambda _c, _u, _f, code, _p: self._note("connect", 0, f"closed: {code}")
        self._client.on_publish = lambda _c, _u, mid, code, _p: self._note("publish", mid, code)
        self._client.on_subscribe = lambda _c, _u, mid, codes, _p: self._note("subscribe", mid, codes[0])
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", broker.port, 10)
        self._client.loop_start()
        answer = self._answer("connect", 0)
        self.refused = None if answer == "Success" else answer

    def _note(self, kind: str, mid: int, answer: Any) -> None:
        with self._changed:
            self._answers.setdefault((kind, mid), answer)
            self._changed.notify_all()

    def _take(self, _client: Any, _user: Any, message: Any) -> None:
        with self._changed:
            self.messages[message.topic] = bytes(message.payload)
            self._changed.notify_all()

    def _answer(self, kind: str, mid: int) -> Any:
        with self._changed:
            assert self._changed.wait_for(lambda: (kind, mid) in self._answers, 20), f"no answer to {kind}"
            return self._answers[kind, mid]

    def may_publish(self, topic: str, payload: str = "x", retain: bool = False) -> bool:
        return not self._answer("publish", self._client.publish(topic, payload, 1, retain).mid).is_failure

    def subscribe(self, topic: str) -> None:
        result, mid = self._client.subscribe(topic, 1)
        assert result == 0
        assert mid is not None
        self._answer("subscribe", mid)

    def wait(self, *topics: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: set(topics) <= set(self.messages), 20), f"no {topics}"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SecuredBroker]:
    find_program("mosquitto", "mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = SecuredBroker(folder)
    yield broker
    broker.end()


@pytest.fixture
def connect(broker: SecuredBroker) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connect(user: str | None, secret: str | None = SECRET) -> Client:
        clients.append(Client(broker, user, secret))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def test_the_acl_names_every_topic_of_a_station() -> None:
    """A new message type cannot be forgotten here."""
    text = (EXAMPLE / "acl").read_text()
    named = dict(re.findall(r"^pattern (?:read)?write inspector/%u/(\w+)()$", text, re.MULTILINE))

    assert set(named) == set(OWN_TOPICS)


def test_only_known_users_get_in(broker: SecuredBroker, connect: Callable[..., Client]) -> None:
    """No name, a wrong password, a certificate of another CA, plain MQTT: none gets in."""
    assert connect(CAM).refused is None
    assert "Not authorized" in str(connect(None).refused)
    assert "Not authorized" in str(connect(CAM, "guess").refused)
    assert "Not authorized" in str(connect("test/line/unknown").refused)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(broker, ssl.create_default_context())
    with socket.create_connection(("127.0.0.1", broker.port), 5) as plain:
        plain.sendall(bytes.fromhex("100c00044d5154540502000a0000"))
        with suppress(ConnectionResetError):
            assert plain.recv(4)[:1] != b"\x20"  # no CONNACK


def _handshake(broker: SecuredBroker, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection(("127.0.0.1", broker.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


def test_a_station_writes_below_its_own_root_and_nowhere_else(connect: Callable[..., Client]) -> None:
    """Every topic of its own; not its commands, not another's topics, not above, not beside, not the broker's own."""
    cam = connect(CAM)
    allowed = [*(f"inspector/{CAM}/{topic}" for topic in OWN_TOPICS), f"inspector/areas/hall/{CAM}"]
    denied = [f"inspector/{OTHER}/{topic}" for topic in OWN_TOPICS] + [
        f"inspector/areas/hall/{OTHER}", f"inspector/{CAM}/cmd/coil", f"inspector/{CAM}", f"inspector/{CAM}/health/x",
        "inspector/test/line/status",
        "inspector/status", f"inspector/{CAM}/other", f"other/{CAM}/status", "$SYS/broker/uptime",
    ]  # fmt: skip

    assert dict.fromkeys(allowed, True) == {topic: cam.may_publish(topic) for topic in allowed}
    assert dict.fromkeys(denied, False) == {topic: cam.may_publish(topic) for topic in denied}


def test_a_station_reads_its_own_mark_and_commands_and_nothing_else(connect: Callable[..., Client]) -> None:
    """Asking for everything, it is given what is its own; retained or live makes no difference."""
    other, plant = connect(OTHER), connect(PLANT)
    for topic in OWN_TOPICS:
        assert other.may_publish(f"inspector/{OTHER}/{topic}", "theirs", retain=True)
    cam = connect(CAM)
    assert cam.may_publish(f"inspector/{CAM}/health", "own", retain=True)

    for topics in ("#", "inspector/#", f"inspector/{OTHER}/#", f"inspector/{CAM}/#", "$SYS/#"):
        cam.subscribe(topics)
    assert other.may_publish(f"inspector/{OTHER}/defect", "live")
    assert plant.may_publish(f"inspector/{OTHER}/cmd/coil")
    assert cam.may_publish(f"inspector/{CAM}/mark", "mark")
    assert plant.may_publish(f"inspector/{CAM}/cmd/coil", "command")
    cam.wait(f"inspector/{CAM}/mark", f"inspector/{CAM}/cmd/coil")

    assert set(cam.messages) == {f"inspector/{CAM}/mark", f"inspector/{CAM}/cmd/coil"}


def test_a_name_with_wildcards_opens_nothing(broker: SecuredBroker) -> None:
    """Somebody who may choose his user name does not become everybody."""
    passwords = broker.folder / "passwords"
    for user in ("+/+/+", "#"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, SECRET], check=True, capture_output=True)
    broker.reload()
    wait_for(lambda: "Reloading config" in (broker.folder / "log.txt").read_text(), "the reload")
    plant = Client(broker, PLANT)
    for user in ("+/+/+", "#"):
        sly = Client(broker, user)
        if sly.refused is None:
            sly.subscribe("#")
            assert not sly.may_publish(f"inspector/{CAM}/status")
            assert plant.may_publish(f"inspector/{CAM}/cmd/coil")
            assert sly.messages == {}
        sly.close()
    plant.close()


def test_the_plant_reads_everything(connect: Callable[..., Client]) -> None:
    """The plant's control system hears every station."""
    cam, plant = connect(CAM), connect(PLANT)
    plant.subscribe("inspector/#")
    for topic in OWN_TOPICS:
        assert cam.may_publish(f"inspector/{CAM}/{topic}")
    plant.wait(*(f"inspector/{CAM}/{topic}" for topic in OWN_TOPICS))


@pytest.mark.parametrize(
    ("user", "commands"),
    [(PLANT, {"coil", "line", "rolls", "section", "weld"}), (OPERATOR, {"ack", "verify", "shelve", "pause", "keep"}),
     ("archive", {"resend"}), ("nodered", set()), ("telegraf", set())],
)  # fmt: skip
def test_each_gives_its_own_commands_alone(connect: Callable[..., Client], user: str, commands: set[str]) -> None:
    """The plant says what runs, operators answer alarms, an archive asks again; nobody speaks for a station."""
    client = connect(user)
    allowed = {name for name in COMMANDS if client.may_publish(f"inspector/{CAM}/cmd/{name}")}

    assert allowed == commands
    assert not any(client.may_publish(f"inspector/{CAM}/{topic}") for topic in ("defect", "mark", "reply"))


def test_the_daemon_delivers_everything_and_reads_its_mark_back(
    broker: SecuredBroker, connect: Callable[..., Client], tmp_path: Path, make_station: Callable[..., Daemon]
) -> None:
    """`inspector run` with user and password: all its topics arrive, nothing is refused, the mark is readable."""
    plant = connect(PLANT)
    plant.subscribe("inspector/#")
    station = secured_station(make_station, broker, tmp_path, "")
    for _ in range(2):
        station.start()
        plant.wait(*(f"inspector/{CAM}/{topic}" for topic in ("status", "about", "health", "mark", "defect", "alarm")))
        wait_for(lambda: plant.messages[f"inspector/{CAM}/status"] == b"online", "online")
        wait_for(lambda: int(json.loads(plant.messages[f"inspector/{CAM}/mark"])["seq"]) > 0, "the mark")
        metrics = station.metrics()
        assert station.stop() == 0
        wait_for(lambda: plant.messages[f"inspector/{CAM}/status"] == b"stopped", "stopped")
        refusals = {name: value for name, value in metrics.items() if name.startswith("inspector_mqtt_rejected")}
        assert refusals
        assert sum(value for name, value in refusals.items() if "_total{" in name) == 0

    assert station.events("mark_not_readable") == []
    assert station.events("message_refused") == []
    assert SECRET not in station.log.read_text()


def test_a_renewed_certificate_is_shown_after_a_reload_and_nobody_is_dropped(
    broker: SecuredBroker, connect: Callable[..., Client]
) -> None:
    """As the script's note says: run it again, reload the broker."""
    cam = connect(CAM)
    before = broker.shown_serial()

    certificates("server", broker.folder, "broker", "localhost", "127.0.0.1")
    broker.reload()

    wait_for(lambda: broker.shown_serial() != before, "the new certificate")
    assert cam.may_publish(f"inspector/{CAM}/status")


def test_a_client_certificate_can_stand_for_the_password(tmp_path: Path) -> None:
    """With the two lines switched on, the common name is the user, and without a certificate nobody gets in."""
    find_program("mosquitto", "mosquitto")
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = SecuredBroker(folder, by_certificate=True)
    try:
        certificates("client", folder, CAM)
        cam = Client(broker, None, cert=CAM.replace("/", "-"))
        assert cam.refused is None
        assert cam.may_publish(f"inspector/{CAM}/status")
        assert not cam.may_publish(f"inspector/{OTHER}/status")
        cam.close()
        stranger = Client(broker, None)
        assert stranger.refused is not None
        stranger.close()
    finally:
        broker.end()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("ca",), id="a second CA"),
        pytest.param(("client", "a b"), id="a space in the name"),
        pytest.param(("client", "x\nCN=y"), id="a line break in the name"),
        pytest.param(("server", "broker"), id="a server without a host"),
        pytest.param(("revoke", "broker"), id="unknown command"),
    ],
)
def test_the_certificate_script_refuses_what_would_do_harm(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    certificates("ca", tmp_path)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    command, *rest = arguments

    ran = subprocess.run(
        ["sh", EXAMPLE / "certificates.sh", command, tmp_path, *rest], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert ran.stderr
    assert before == sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    certificates("ca", tmp_path)
    certificates("server", tmp_path, "broker", "localhost")

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    assert modes == {"ca.key": 0o600, "ca.crt": 0o644, "broker.key": 0o600, "broker.crt": 0o644}
