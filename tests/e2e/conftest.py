"""The peers as fixtures, each test with its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import Broker, Daemon, Listener, station_toml


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running mosquitto."""
    if shutil.which("mosquitto") is None and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("mosquitto is not installed: sudo apt-get install mosquitto")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    """A subscriber with a durable session."""
    listener = Listener(broker.port)
    yield listener
    listener.close()


@pytest.fixture
def make_daemon(tmp_path: Path, broker: Broker) -> Iterator[Callable[..., Daemon]]:
    """Build a daemon from its [source] lines and other TOML; it is gone at the end of the test."""
    made: list[Daemon] = []

    def make(source: str, extra: str = "", name: str = "station") -> Daemon:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Daemon(folder, station_toml(folder, broker.port, source, extra)))
        return made[-1]

    yield make
    for daemon in made:
        daemon.end()


@pytest.fixture
def neu_pictures(data_folder: Path) -> dict[str, Path]:
    """The 360 official test pictures by file name; the name starts with the label."""
    found = sorted((data_folder / "neu-det" / "NEU-DET" / "validation" / "images").rglob("*.jpg"))
    assert len(found) == 360
    return {path.name: path for path in found}
