"""A broker behind a bad network, or one with limits: a proxy flaps, resets, swallows and slows; mosquitto is strict."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.line import BROKER, QUEUE, Line
from tests.faults.row import Plan, Point, Row

PER_S = 5.0
CONNECTS_PER_S = 1.0
BURST = 5
"""Connections that may come on top of the average: a try is short."""
TOLD_S = 15.0


class Proxy:
    """Passes on to a broker, in a mode: `pass`, `swallow` (take and pass nothing on), `slow` (1 KB/s).

    Attributes:
        connects: How many connections were accepted.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.mode = "pass"
        self.connects = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._start(self._serve)

    def _start(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connects += 1
            try:
                broker = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            self._pairs.append((client, broker))
            for one, other in ((client, broker), (broker, client)):
                self._start(self._pass_on, one, other)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        pause = threading.Event()
        with contextlib.suppress(OSError):
            while data := source.recv(256 if self.mode == "slow" else 65536):
                if self.mode == "slow":
                    pause.wait(len(data) / 1024)
                while self.mode == "swallow":
                    pause.wait(0.1)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other thread closes the other one

    def cut(self, reset: bool) -> None:
        """End all connections, politely or with a reset."""
        for client, broker in self._pairs:
            if reset:
                with contextlib.suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            for end in (client, broker):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR) if not reset else end.close()
        self._pairs.clear()

    def close(self) -> None:
        self.mode = "pass"
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._server.close()
        self.cut(reset=False)
        for thread in self._threads:
            thread.join(5)


def _health(line: Line) -> str:
    url = f"http://127.0.0.1:{line.station.started()['http']}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as refusal:
        body = json.load(refusal)
    return f"{body['state']} {body['reason']}"


def _told(line: Line, timeout_s: float = TOLD_S + 5) -> list[str]:
    """Return as a miss that health did not name the broker in time."""
    pause, began_s = threading.Event(), time.monotonic()
    while (took_s := time.monotonic() - began_s) < timeout_s:
        if "broker" in _health(line):
            break
        pause.wait(0.2)
    return [] if took_s <= TOLD_S else [f"not told within {TOLD_S:g} s: {_health(line)}"]


def _flap(line: Line, proxy: Proxy, reset: bool) -> list[str]:
    pause = threading.Event()
    for _ in range(10):
        pause.wait(1.5)
        proxy.cut(reset)
    return []


def _black_hole(line: Line, proxy: Proxy) -> list[str]:
    threading.Event().wait(2.0)
    proxy.mode = "swallow"
    misses = _told(line)
    proxy.mode = "pass"
    proxy.cut(reset=True)
    return misses


def _slow(line: Line, proxy: Proxy) -> list[str]:
    threading.Event().wait(2.0)
    proxy.mode = "slow"
    threading.Event().wait(15.0)
    proxy.mode = "pass"
    proxy.cut(reset=True)
    return []


def _wait(line: Line, proxy: Proxy) -> list[str]:
    threading.Event().wait(8.0)
    return []


def _refused(line: Line, proxy: Proxy) -> list[str]:
    misses = _told(line)
    threading.Event().wait(15.0)
    return misses


def _taken_over(line: Line, proxy: Proxy) -> list[str]:
    """Another client uses the station's client id, again and again."""
    pause = threading.Event()
    pause.wait(2.0)
    for _ in range(8):
        other = paho.Client(CallbackAPIVersion.VERSION2, client_id="inspector-test-line-cam", protocol=paho.MQTTv5)
        other.connect("127.0.0.1", line.broker.port)
        other.loop_start()
        pause.wait(0.7)
        other.disconnect()
        other.loop_stop()
    return []


FORBIDDEN = "inspector/test/line/cam/defect"
KINDS: dict[str, tuple[Callable[[Line, Proxy], list[str]], str]] = {
    "flapping": (lambda line, proxy: _flap(line, proxy, reset=False), ""),
    "resets": (lambda line, proxy: _flap(line, proxy, reset=True), ""),
    "black hole": (_black_hole, ""),
    "1 KB/s": (_slow, ""),
    "Receive Maximum 1": (_wait, "max_inflight_messages 1\n"),
    "Receive Maximum 3": (_wait, "max_inflight_messages 3\n"),
    "Receive Maximum 20": (_wait, "max_inflight_messages 20\n"),
    "packets of at most 1,100 bytes": (_refused, "max_packet_size 1100\n"),
    "packets of at most 300 bytes": (_refused, "max_packet_size 300\n"),
    "messages of at most 1,000 bytes": (_refused, "message_size_limit 1000\n"),
    "a forbidden topic": (_refused, "acl_file {acl}\n"),
    "takeover": (_taken_over, ""),
}
LIMITING = {name for name in KINDS if "at most" in name or "forbidden" in name}
"""What the limit forbids is told as lost; the rest arrives."""


def _try(plan: Plan, number: int) -> Point:
    kind = list(KINDS)[number % len(KINDS)]
    act, broker = KINDS[kind]
    folder = plan.folder / f"try-{number}"
    folder.mkdir(parents=True)
    acl = folder / "acl"
    acl.write_text(f"topic deny {FORBIDDEN}\ntopic readwrite #\n")
    acl.chmod(0o644)
    proxies: list[Proxy] = []

    def port(peer: object) -> int:
        proxies.append(Proxy(peer.port))  # type: ignore[attr-defined]
        return proxies[0].port

    with Line(folder, plan.planted, broker=BROKER + broker.format(acl=acl), port=port) as line:
        proxy = proxies[0]
        line.station.start()
        line.station.started()
        began_s = time.monotonic()
        line.oracle.start(PER_S)
        misses = act(line, proxy)
        if kind in LIMITING:
            misses += _limited(line)
        else:
            misses += line.settle().misses()
        seconds = time.monotonic() - began_s
        connects = proxy.connects
        ended = line.station.stop()
        proxy.close()
    if connects > BURST + CONNECTS_PER_S * seconds:
        misses.append(f"{connects} connections in {seconds:.0f} s")
    misses += [f"exit code {ended}"] if ended else []
    return Point(number, tuple(f"{kind}: {miss}" for miss in misses), {"connects": connects, "seconds": seconds})


def _limited(line: Line) -> list[str]:
    """Return what is neither there nor told: each seq of the store either came, or is counted as lost or held back."""
    line.oracle.stop()
    line.consumer.wait_quiet(4.0)
    metrics = line.station.metrics()
    lost = sum(value for name, value in metrics.items() if name.startswith("inspector_outbox_lost_total"))
    waiting = metrics['inspector_outbox_messages{sink="mqtt"}']
    came = {message.seq for message in line.consumer.received()}
    highest = max(came, default=0)
    holes = highest - len(came)
    if not came and " broker: " not in _health(line):
        return [f"nothing came, and health does not say why: {_health(line)}"]
    return [] if holes <= lost + waiting else [f"{holes} seq missing, {lost:g} lost and {waiting:g} waiting as told"]


def _run(plan: Plan) -> Iterator[Point]:
    for number in plan.points:
        yield _try(plan, number)


ROW = Row(
    fault=f"a broker behind a bad network or with limits: {', '.join(KINDS)}",
    figure="0 lost beyond what the limit forbids (told), at most 1 connection a second on average, told within 15 s",
    n=120,
    core=1,
    judges=("sinks", "station"),
    run=_run,
    raised=(QUEUE, f"{BURST} connections on top of the average, because a try is short; a try flaps 10 times"),
)
