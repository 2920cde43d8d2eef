"""What Kubernetes is given: it renders, holds the published schemas, and its probes tell what the daemon says."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitors import find_program

from inspector.settings.loading import load_settings

KUBERNETES = Path(__file__).resolve().parent.parent.parent / "deploy/kubernetes"
STATION = KUBERNETES / "station/station.yaml"
CAMERAS = sorted(path.parent for path in (KUBERNETES / "works").glob("*/station.toml"))
SERVICE, STATEFUL_SET = yaml.safe_load_all(STATION.read_text(encoding="utf-8"))
MONITOR, GONE = yaml.safe_load_all((KUBERNETES / "works/monitoring.yaml").read_text(encoding="utf-8"))
POD: dict[str, Any] = STATEFUL_SET["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """Every object of the example plant, as it would be applied."""
    kubectl = find_program("kubectl", "kubectl")
    ran = subprocess.run([kubectl, "kustomize", KUBERNETES / "works"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return list(yaml.safe_load_all(ran.stdout))


@pytest.mark.real
def test_each_camera_is_a_station_with_store_secret_and_configuration_of_its_own(
    rendered: list[dict[str, Any]],
) -> None:
    stations = {each["metadata"]["name"]: each for each in rendered if each["kind"] == "StatefulSet"}
    maps = {each["metadata"]["name"]: each["data"] for each in rendered if each["kind"] == "ConfigMap"}
    services = {each["metadata"]["name"]: each["spec"] for each in rendered if each["kind"] == "Service"}

    assert set(stations) == {f"station-{camera.name}" for camera in CAMERAS} == set(maps) == set(services)
    for name, each in stations.items():
        spec = each["spec"]
        volumes = {volume["name"]: volume for volume in spec["template"]["spec"]["volumes"]}
        assert volumes["credentials"]["secret"]["secretName"] == name
        assert volumes["config"]["configMap"]["name"] == name == spec["serviceName"]
        assert spec["replicas"] == 1
        assert [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]] == ["state"]
        assert services[name]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
        station = tomllib.loads(maps[name]["station.toml"])["station"]
        labels = each["metadata"]["labels"]
        assert station == {key: labels[f"inspector/{key}"] for key in ("site", "line", "name")}


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda path: path.name)
def test_each_camera_s_file_is_a_good_configuration_with_the_secret_s_keys(camera: Path, tmp_path: Path) -> None:
    """The four keys that the manifest lists are all it asks for."""
    for name in ("mqtt.password", "http.token", "source.credentials"):
        (tmp_path / name).write_text("user:secret\n")
    loaded = load_settings(camera / "station.toml", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert loaded.settings.mqtt.username == loaded.settings.station.text
    assert loaded.settings.http.port == CONTAINER["ports"][0]["containerPort"] == SERVICE["spec"]["ports"][0]["port"]


def test_a_pod_may_do_nothing_but_inspect() -> None:
    """What the namespace's `restricted` level asks for, a read-only root, no token of the cluster, no other's names."""
    context = CONTAINER["securityContext"]

    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert (POD["automountServiceAccountToken"], POD["enableServiceLinks"]) == (False, False)
    assert "cpu" not in CONTAINER["resources"]["limits"]


def test_it_stops_as_slowly_as_systemd_lets_it() -> None:
    unit = (KUBERNETES.parent.parent / "systemd/inspector@.service").read_text()

    assert f"TimeoutStopSec={POD['terminationGracePeriodSeconds']}\n" in unit


class _Health(BaseHTTPRequestHandler):
    """`/healthz` with the code and reason that its server has now."""

    def do_GET(self) -> None:
        code, reason = self.server.says  # type: ignore[attr-defined]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps({"state": "blind" if code == 503 else "ok", "reason": reason}).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Stay silent."""


@pytest.fixture
def health(tmp_path: Path) -> Iterator[HTTPServer]:
    """A listener with TLS that says what a test wants it to."""
    find_program("openssl", "openssl")
    script = KUBERNETES.parent / "mosquitto/certificates.sh"
    for arguments in (("ca", tmp_path), ("server", tmp_path, "station", "station")):
        subprocess.run(["sh", script, *arguments], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "station.crt", tmp_path / "station.key")
    server = HTTPServer(("127.0.0.1", 0), _Health)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def alive(port: int) -> bool:
    """What the manifest's liveness command says."""
    _, option, code = CONTAINER["livenessProbe"]["exec"]["command"]
    assert "127.0.0.1:9108" in code
    code = code.replace("9108", str(port))
    return subprocess.run([sys.executable, option, code], capture_output=True, check=False).returncode == 0


@pytest.mark.real
def test_only_a_station_that_no_longer_judges_itself_is_restarted(health: HTTPServer) -> None:
    """Seeing, or blind for a reason: alive. Its main thread hangs, or nothing answers: not."""
    said = {
        (200, None): True,
        (200, "broker: unreachable"): True,
        (503, "source_down: no route to host"): True,
        (503, "unjudged: nothing has looked after the station for 40 s"): False,
    }
    for says, lives in said.items():
        health.says = says  # type: ignore[attr-defined]
        assert alive(health.server_port) == lives, says
    assert not alive(1)


@pytest.mark.real
def test_a_station_whose_pod_is_gone_is_missed(promtool: str, tmp_path: Path) -> None:
    """Silent while it is scraped or down, two minutes after its target vanished it fires, for a day."""
    rule = tmp_path / "gone.yml"
    rule.write_text(yaml.safe_dump(GONE["spec"]))
    labels = {"site": "works", "line": "line1", "station": "works/line1/cam1"}
    series = 'up{job="inspector",instance="%s",site="works",line="line1",station="works/line1/%s"}'
    case = {
        "rule_files": [str(rule)], "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [
                {"series": series % ("10.0.0.1:9108", "cam1"), "values": "1x9 stale"},
                {"series": series % ("10.0.0.2:9108", "cam2"), "values": "1x9 0x1600"},
            ],
            "alert_rule_test": [
                {"eval_time": when, "alertname": "InspectorGone", "exp_alerts": [
                    {"exp_labels": {"severity": "critical", **labels},
                     "exp_annotations": GONE["spec"]["groups"][0]["rules"][0]["annotations"]
                     | {"summary": "works/line1/cam1 has no pod"}}
                ] if fires else []}
                for when, fires in (("9m", False), ("11m", False), ("13m", True), ("23h", True), ("26h", False))
            ],
        }],
    }  # fmt: skip
    (tmp_path / "test.yml").write_text(yaml.safe_dump(case))

    ran = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_names_a_station_as_its_messages_do() -> None:
    """Its label is site/line/name, from the labels that each camera's folder gives; a blind one is scraped, too."""
    (endpoint,) = MONITOR["spec"]["endpoints"]
    rows = {each["targetLabel"]: each for each in endpoint["relabelings"]}

    assert rows["job"]["replacement"] == "inspector"
    assert rows["station"]["separator"] == "/"
    sources = [name.rpartition("_")[2] for name in rows["station"]["sourceLabels"]]
    assert sources == ["site", "line", "name"]
    assert SERVICE["spec"]["publishNotReadyAddresses"] is True
    assert endpoint["port"] == SERVICE["spec"]["ports"][0]["name"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kubernetes_own_schemas_take_every_object(
    rendered: list[dict[str, Any]], ask_kubernetes: Callable[..., str]
) -> None:
    """Strictly: an unknown key is an error. Of the oldest release and the newest; a misspelt probe is refused."""
    own = [each for each in rendered if not each["apiVersion"].startswith("monitoring.")]
    spoilt = json.loads(json.dumps(own[-1]))
    spoilt["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    assert ask_kubernetes(*own) == ""
    assert "readynessProbe" in ask_kubernetes(spoilt)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_prometheus_operator_s_schemas_take_its_objects(npm: str, cache_folder: Path) -> None:
    folder, name = cache_folder / "prometheus-operator", "@kubernetes-models/prometheus-operator"
    if not (folder / "node_modules" / name).is_dir():
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", folder, f"{name}@6"],
                       check=True, capture_output=True)  # fmt: skip
    (folder / "check.mjs").write_text(
        f'import * as known from "{name}/monitoring.coreos.com/v1";\nimport {{ readFileSync }} from "fs";\n'
        "for (const { apiVersion, kind, ...rest } of JSON.parse(readFileSync(0, 'utf8')))\n"
        "  new known[kind](rest).validate();\n"
    )

    def ask(*objects: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("node") or "node", folder / "check.mjs"], input=json.dumps(objects), text=True, check=False,
            capture_output=True,
        )  # fmt: skip

    told = ask(MONITOR, GONE)
    assert told.returncode == 0, told.stderr
    spoilt = json.loads(json.dumps(MONITOR).replace('"scheme": "https"', '"scheme": "ftp"'))
    assert "scheme" in ask(spoilt).stderr
