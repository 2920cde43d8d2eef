"""Real Prometheus and Alertmanager as processes, and a webhook that remembers who called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from peers import free_port, wait_for

_PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def find_program(name: str, package: str) -> str:
    """Return the path of a program, or skip the test with the line that installs it."""
    program = shutil.which(name, path=_PLACES)
    if program is None:
        pytest.skip(f"{name} is not installed: sudo apt-get install {package}")
    return program


def get_json(url: str, data: Any = None) -> Any:
    """GET, or POST `data` as JSON, and return the JSON answer."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


class _Peer:
    """A server process that is ready when its ready page says so."""

    def __init__(self, folder: Path, package: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "log.txt"
        self._package = package
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _launch(self, program: str, *arguments: str) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [find_program(program, self._package), *arguments], stdout=log, stderr=log, cwd=self.folder
            )
        wait_for(self._ready, f"{program}, see {self.log}")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def end(self) -> None:
        """Make sure that it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Alertmanager(_Peer):
    """Alertmanager with a configuration."""

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__(folder, "prometheus-alertmanager")
        (folder / "alertmanager.yml").write_text(config)

    def start(self) -> None:
        """Start it and return when it answers."""
        self._launch("prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=data",
                     f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=")  # fmt: skip

    def post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Hand in alerts as Prometheus does."""
        get_json(f"{self.url}/api/v2/alerts", list(alerts))

    def alerts(self) -> dict[str, list[str]]:
        """Return by `alertname station` what inhibits each alert that is active now."""
        found = get_json(f"{self.url}/api/v2/alerts")
        return {
            f"{alert['labels']['alertname']} {alert['labels'].get('station', '-')}": alert["status"]["inhibitedBy"]
            for alert in found
        }


class Prometheus(_Peer):
    """Prometheus with the configuration of the pack; only addresses and intervals differ.

    Args:
        folder: Its own.
        pack: `deploy/monitoring/prometheus`.
        hold: False takes the waiting time out of the alerts: `for` is what the unit tests are for.
        alertmanager_port: Where alerts go.
    """

    def __init__(self, folder: Path, pack: Path, hold: bool = True, alertmanager_port: int | None = None) -> None:
        super().__init__(folder, "prometheus")
        shutil.copytree(pack / "rules", folder / "rules")
        (folder / "targets").mkdir()
        text = (pack / "prometheus.yml").read_text()
        for given, wanted in (
            ("scrape_interval: 5s", "scrape_interval: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ("127.0.0.1:9093", f"127.0.0.1:{alertmanager_port or 9}"),
            ("127.0.0.1:9090", f"127.0.0.1:{self.port}"),
        ):
            assert given in text
            text = text.replace(given, wanted)
        (folder / "prometheus.yml").write_text(text)
        if not hold:
            for path in (folder / "rules").iterdir():
                lines = [line for line in path.read_text().splitlines() if not line.startswith("        for: ")]
                path.write_text("\n".join(lines) + "\n")

    def watch(self, stations: dict[str, int]) -> None:
        """Write the target file: HTTP port by station name."""
        entries = [
            {"targets": [f"127.0.0.1:{port}"],
             "labels": {"site": "test", "line": "line", "station": f"test/line/{name}"}}
            for name, port in stations.items()
        ]  # fmt: skip
        fresh = self.folder / "targets/stations.new"
        fresh.write_text(json.dumps(entries))
        fresh.rename(self.folder / "targets/stations.json")

    def start(self) -> None:
        """Start it and return when it answers."""
        self._launch("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                     f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn")  # fmt: skip

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return what an instant query gives; a wrong query fails the test with Prometheus's own words."""
        try:
            answer = get_json(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{expr}: {exc.read().decode()}") from exc
        assert answer["status"] == "success"
        return list(answer["data"]["result"])

    def firing(self) -> set[str]:
        """Return `alertname station` of what fires."""
        alerts = get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {
            f"{alert['labels']['alertname']} {alert['labels'].get('station', '-').rpartition('/')[2]}"
            for alert in alerts
            if alert["state"] == "firing"
        }


class Webhook:
    """Listens on loopback and keeps every call: path and the alerts in it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.calls.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def told(self, path: str = "", status: str = "firing") -> set[str]:
        """Return `alertname station` of every alert that was told to paths that begin with `path`."""
        return {
            f"{alert['labels']['alertname']} {alert['labels'].get('station', '-').rpartition('/')[2]}"
            for where, call in self.calls
            if where.startswith(path)
            for alert in call["alerts"]
            if alert["status"] == status
        }

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
