"""The broker example as a running broker, and a station that uses it."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
from monitors import find_program
from paho.mqtt.enums import CallbackAPIVersion
from peers import Daemon, free_port, wait_for

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "deploy/mosquitto"
CAM, OTHER, PLANT, OPERATOR = "test/line/cam", "test/line/other", "plant", "operator"
SECRET = "correct horse"  # noqa: S105 - of a broker that lives as long as its test


def certificates(*arguments: str | Path) -> None:
    subprocess.run(["sh", EXAMPLE / "certificates.sh", *arguments], check=True, capture_output=True, text=True)


class SecuredBroker:
    """Mosquitto with the example: only the paths and the port differ."""

    def __init__(self, folder: Path, by_certificate: bool = False) -> None:
        find_program("openssl", "openssl")
        self.folder = folder
        self.port = free_port()
        certificates("ca", folder)
        certificates("server", folder, "broker", "localhost", "127.0.0.1")
        shutil.copyfile(EXAMPLE / "acl", folder / "acl")
        passwords = folder / "passwords"
        passwords.touch(0o600)
        for user in (CAM, OTHER, PLANT, OPERATOR, "archive", "nodered", "telegraf"):
            subprocess.run(
                [find_program("mosquitto_passwd", "mosquitto"), "-b", passwords, user, SECRET], check=True,
                capture_output=True,
            )  # fmt: skip
        text = (EXAMPLE / "inspector.conf").read_text()
        assert "listener 8883" in text
        text = text.replace("/etc/mosquitto/inspector/", f"{folder}/").replace("8883", f"{self.port} 127.0.0.1")
        if by_certificate:
            text = re.sub(r"^#(require_certificate|use_identity)", r"\1", text, flags=re.MULTILINE)
            text = re.sub(r"^password_file.*$", "", text, flags=re.MULTILINE)
        (folder / "conf.d").mkdir()
        (folder / "conf.d/inspector.conf").write_text(text)
        (folder / "mosquitto.conf").write_text(f"user root\nlog_dest stderr\ninclude_dir {folder / 'conf.d'}\n")
        with (folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [find_program("mosquitto", "mosquitto"), "-c", folder / "mosquitto.conf"], stdout=log, stderr=log
            )
        wait_for(self._listens, f"mosquitto, see {folder / 'log.txt'}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def shown_serial(self) -> int:
        """Serial number of the certificate that the broker shows now."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        with (
            socket.create_connection(("127.0.0.1", self.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
        ):
            return int(secured.getpeercert()["serialNumber"], 16)  # type: ignore[index, arg-type]

    def publish(self, topic: str, payload: str) -> None:
        """Publish as the station, and wait for the broker's word."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.tls_set_context(context)
        client.username_pw_set(CAM, SECRET)
        client.connect("127.0.0.1", self.port, 10)
        client.loop_start()
        client.publish(topic, payload, 1).wait_for_publish(20)
        client.disconnect()
        client.loop_stop()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def secured_station(make_station: Callable[..., Daemon], broker: SecuredBroker, folder: Path, extra: str) -> Daemon:
    """A station that inspects the drawn strip and publishes with TLS, user and password."""
    password = folder / "password"
    password.write_text(SECRET + "\n")
    station = make_station("cam", free_port(), broker.port, 'kind = "demo"\nspeed_m_s = 0.5', extra)
    secured = f'tls = true\nca_file = "{broker.folder}/ca.crt"\nusername = "{CAM}"\npassword_file = "{password}"'
    station.config.write_text(station.config.read_text().replace("[mqtt]", f"[mqtt]\n{secured}"))
    return station
