"""Abuse of the HTTP listener, plain and with TLS, while health and metrics are asked four times a second."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pace import slowness

from tests.faults.abuse import KINDS, Target
from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row
from tests.faults.spoilt_pictures import Memory

WITHIN_S, MORE_MB = 1.0, 256
MOST_SLOWNESS = 2.0
"""Where others use the cores, too, an answer may take so many times as long at most; on an idle machine none does."""
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of a station that lives as long as the row


class Probe:
    """Asks `/healthz` and `/metrics` in turns, each on a connection of its own, and keeps what was late or wrong."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stopping = threading.Event()
        self.slowest_s = 0.0
        self.asked = 0
        self.misses: list[str] = []
        self._thread = threading.Thread(target=self._ask_on)
        self._thread.start()

    def _ask(self, path: str) -> int:
        if self._target.tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=10)
        else:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self._target.port, timeout=10, context=self._target.tls
            )
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _ask_on(self) -> None:
        while not self._stopping.wait(0.25):
            path = ("/healthz", "/metrics")[self.asked % 2]
            self.asked += 1
            began_s = time.monotonic()
            try:
                status = self._ask(path)
                if status != 200:
                    self.misses.append(f"{path} answered {status}")
            except (OSError, http.client.HTTPException) as fault:
                self.misses.append(f"{path}: {type(fault).__name__}: {fault}")
            took_s = time.monotonic() - began_s
            self.slowest_s = max(self.slowest_s, took_s)
            if took_s > WITHIN_S and took_s > WITHIN_S * min(MOST_SLOWNESS, slowness()):
                self.misses.append(f"{path} took {took_s:.1f} s")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()


def _secured(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return the `[http]` lines of a station with TLS and a token, and how to speak to it."""
    folder.mkdir(parents=True)
    key, certificate, token = folder / "key.pem", folder / "certificate.pem", folder / "token"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    token.write_text(TOKEN + "\n")
    for path in (key, token):
        path.chmod(0o600)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return f'cert_file = "{certificate}"\nkey_file = "{key}"\ntoken_file = "{token}"', context


def _try(line: Line, target: Target, kind: str, planted: bool) -> Point:
    probe, memory = Probe(target), Memory(line.pid)
    if planted:
        os.kill(line.pid, signal.SIGSTOP)
        threading.Timer(2.5, os.kill, (line.pid, signal.SIGCONT)).start()
    KINDS[kind](target)
    threading.Event().wait(3.0 if planted else 1.0)
    probe.stop()
    more_mb = memory.stop()
    misses = [f"{kind}: {miss}" for miss in dict.fromkeys(probe.misses)]
    if more_mb > MORE_MB:
        misses.append(f"{kind}: {more_mb} MB more memory")
    if not line.runs:
        misses.append(f"{kind}: the station has ended")
    facts = {"asked": probe.asked, "max_s": probe.slowest_s, "max_more_mb": more_mb}
    return Point(-1, tuple(misses), facts)


def _run(plan: Plan) -> Iterator[Point]:
    names = list(KINDS)
    for encrypted in (False, True):
        points = [number for number in plan.points if number // len(names) % 2 == encrypted]
        if not points:
            continue
        extra, context = _secured(plan.folder / "keys") if encrypted else ("", None)
        with Line(plan.folder / f"tls-{encrypted}", extra=extra) as line:
            line.station.start()
            target = Target(int(line.station.started()["http"]), context)
            line.oracle.start(3.0)
            for number in points:
                tried = _try(line, target, names[number % len(names)], plan.planted and number == points[-1])
                lost: tuple[str, ...] = ()
                if number == points[-1]:
                    lost = line.settle().misses()
                yield Point(number, (*tried.misses, *lost), tried.facts)


ROW = Row(
    fault=f"{len(KINDS)} kinds of abuse of the HTTP listener, 500 idle connections among them, plain and with TLS",
    figure="`/healthz` and `/metrics` answer within 1 s throughout, at most +256 MB, no picture lost",
    n=2 * len(KINDS),
    core=3,
    judges=("http",),
    run=_run,
    raised=(QUEUE, "where others use the cores, too, an answer may take up to twice as long"),
)
