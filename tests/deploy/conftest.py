"""Where the deploy folder lies, and the peers of the monitoring tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))  # `deploy` is no installed package

from monitors import Alertmanager, Prometheus, Webhook, find_program  # noqa: E402
from peers import Broker, Daemon, station_toml  # noqa: E402


@pytest.fixture
def deploy() -> Path:
    """The folder with everything that is installed beside the program."""
    return REPOSITORY / "deploy"


@pytest.fixture
def promtool() -> str:
    """Prometheus's checker."""
    return find_program("promtool", "prometheus")


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Somebody who is called."""
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture
def alertmanager(tmp_path_factory: pytest.TempPathFactory, deploy: Path, webhook: Webhook) -> Iterator[Alertmanager]:
    """Alertmanager with our example, calling the webhook, with shorter waits."""
    example = (deploy / "monitoring/alertmanager/alertmanager.yml").read_text()
    assert "127.0.0.1:9095" in example
    text = example.replace("127.0.0.1:9095", f"127.0.0.1:{webhook.port}")
    for patience in ("group_wait: 10s", "group_wait: 1m", "group_wait: 0s"):
        assert patience in text
        text = text.replace(patience, "group_wait: 1s")
    alertmanager = Alertmanager(
        tmp_path_factory.mktemp("alertmanager"), text.replace("group_interval: 1m", "group_interval: 1s")
    )
    alertmanager.start()
    yield alertmanager
    alertmanager.end()


@pytest.fixture
def make_prometheus(tmp_path_factory: pytest.TempPathFactory, deploy: Path) -> Iterator[Callable[..., Prometheus]]:
    """Build a Prometheus from our configuration and rules, scraping and evaluating every second."""
    made: list[Prometheus] = []

    def make(**options: object) -> Prometheus:
        made.append(Prometheus(tmp_path_factory.mktemp("prometheus"), deploy / "monitoring/prometheus", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for prometheus in made:
        prometheus.end()


@pytest.fixture
def make_station(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Build a daemon with an HTTP port that stays over restarts."""
    made: list[Daemon] = []

    def make(name: str, http_port: int, broker_port: int, source: str, extra: str = "") -> Daemon:
        folder = tmp_path / name
        folder.mkdir()
        text = station_toml(folder, broker_port, source, extra).replace("port = 0", f"port = {http_port}")
        made.append(Daemon(folder, text.replace('name = "cam"', f'name = "{name}"')))
        return made[-1]

    yield make
    for daemon in made:
        daemon.end()


@pytest.fixture
def plain_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A mosquitto that lets everybody in."""
    find_program("mosquitto", "mosquitto")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def cache_folder() -> Path:
    """A folder outside of the repository for what takes long to fetch."""
    import os

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inspector-tests"
    base.mkdir(parents=True, exist_ok=True)
    return base


@pytest.fixture
def ask_kubernetes(cache_folder: Path) -> Callable[..., str]:
    """Return what the published schemas of two releases have against objects, each key being known; empty: nothing."""
    folder = cache_folder / "kubernetes-validate"
    if not (folder / "bin/kubernetes-validate").is_file():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/pip", "install", "-q", "kubernetes-validate>=1.37,<2"], check=True)
    code = (
        "import json, sys, kubernetes_validate as known\n"
        "[known.validate(each, release, strict=True) for each in json.load(sys.stdin) for release in ('1.29', '1.37')]"
    )

    def ask(*objects: dict[str, object]) -> str:
        asked = subprocess.run(
            [folder / "bin/python", "-c", code], input=json.dumps(objects), text=True, check=False, capture_output=True
        )
        return asked.stderr if asked.returncode else ""

    return ask


@pytest.fixture
def npm() -> str:
    """The package manager of Node."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: sudo apt-get install npm")
    return "npm"
