"""`inspector.station.reload`: a new configuration is taken whole, or the station goes on as it was."""

from __future__ import annotations

import fcntl
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from inspector.clock import SystemClock
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.station import reload
from inspector.station.reload import check_reload
from inspector.station.signals import PendingSignals
from inspector.store.store import Store
from inspector.telemetry.metrics import Metrics
from inspector.telemetry.notify import Notifier

pytestmark = pytest.mark.timeout(60)

TEXT = """
[station]
site = "s"
line = "l"
name = "n"
[source]
kind = "demo"
[model]
workers = 1
[mqtt]
enabled = false
[store]
path = "{store}"
[http]
enabled = {http}
port = {port}
{more}
"""


class Running:
    """A station as far as a reload knows it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.verbs: list[str] = []

    def request(self, verb: str) -> None:
        self.verbs.append(verb)


class Heard(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.lines: list[str] = []

    def send(self, *lines: str) -> None:
        self.lines.append(lines[0])


class Bench:
    """A configuration file, and a station that runs with what it said first."""

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        self.config = folder / "station.toml"
        self.store = folder / "store"
        self.write()
        self.station: Any = Running(load_settings(self.config).settings, metrics)
        self.notifier = Heard()
        self.signals = PendingSignals()

    def write(self, http: bool = False, port: int = 0, more: str = "") -> None:
        self.config.write_text(TEXT.format(store=self.store, http=str(http).lower(), port=port, more=more))

    def reload(self) -> Any:
        return check_reload(self.config, self.station, self.notifier, self.signals)


@pytest.fixture
def bench(tmp_path: Path, metrics: Metrics) -> Bench:
    return Bench(tmp_path, metrics)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_a_good_configuration_is_taken_with_its_bundle(bench: Bench, registry: CollectorRegistry) -> None:
    """What comes back is proven: the next station starts with it, and systemd waits for that one."""
    bench.write(more="[events]\nalarm_hits = 1")
    bench.signals.note(signal.SIGHUP, None)
    loaded, model = bench.reload()
    model.pool.close()
    bench.signals.forward_to(bench.station)

    assert loaded.settings.events.alarm_hits == 1
    assert model.golden.agreement in ("exact", "tolerated")
    assert (bench.notifier.lines, bench.station.verbs) == (["RELOADING=1"], [])
    assert registry.get_sample_value("inspector_config_last_reload_successful") == 1


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("[evnts]\n", id="an unknown section"),
        pytest.param("[", id="no TOML"),
        pytest.param("[decision]\nthresholds = {rust = 0.5}\n", id="a label that the bundle has not"),
        pytest.param("[tiling]\nroi_xy = [[0, 0], [1, 1]]\n", id="no region"),
        pytest.param("[tiling]\nroi_xy = " + "[" * 5000 + "]" * 5000, id="deep arrays"),
        pytest.param("[events]\nalarm_hits = " + "9" * 5000, id="digits without end"),
        pytest.param('[jsonl]\npath = "/a\\u0000b"', id="NUL in a path"),
    ],
)
def test_a_bad_configuration_changes_nothing(bench: Bench, registry: CollectorRegistry, more: str) -> None:
    """The station goes on; metrics and systemd hear that the file was refused."""
    bench.write(more=more)

    assert bench.reload() is None
    assert bench.notifier.lines == ["RELOADING=1", "READY=1"]
    assert registry.get_sample_value("inspector_config_last_reload_successful") == 0


def test_what_nothing_foresaw_changes_nothing(
    bench: Bench, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of our own in the check ends no station that inspects."""

    def burst(*_: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(reload, "open_taught", burst)

    assert bench.reload() is None
    assert bench.notifier.lines == ["RELOADING=1", "READY=1"]
    assert registry.get_sample_value("inspector_config_last_reload_successful") == 0


@pytest.mark.parametrize("own", [False, True])
def test_a_taken_port_is_refused_before_the_old_station_stops(bench: Bench, taken_port: int, own: bool) -> None:
    """Another program's port is refused while the old station still runs; its own is free once it has stopped."""
    bench.write(http=True, port=taken_port)
    if own:
        bench.station.settings = load_settings(bench.config).settings
    taken = bench.reload()
    if taken is not None:
        taken[1].pool.close()

    assert (taken is not None) == own


def test_a_missing_file_is_refused(bench: Bench) -> None:
    """A certificate that is not there would stop the next station: the present one goes on."""
    text = bench.config.read_text().replace(
        "[mqtt]\nenabled = false", '[mqtt]\nenabled = true\nca_file = "/nowhere.pem"\ntls = true'
    )
    bench.config.write_text(text)

    assert bench.reload() is None


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        pytest.param('path = "{store}"', 'path = "{file}"', "store.path", id="the store is a file"),
        pytest.param('path = "{store}"', 'path = "{held}"', "in use by another inspector", id="the store is in use"),
        pytest.param('path = "{store}"', 'path = "{loop}/x"', "store.path", id="the store is behind a loop of links"),
        pytest.param('kind = "demo"', 'kind = "folder"\npath = "{tmp}"\nfinished = "move"\nfinished_dir = "{tmp}"',
                     "source.finished_dir", id="finished files would come back"),
        pytest.param('kind = "demo"', 'kind = "lines"\npath = "ftp://x"\nwidth_px = 64', "source.path", id="no stream"),
        pytest.param('kind = "demo"', 'kind = "camera"\npath = "ftp://x"', "source.path", id="no camera"),
        pytest.param('kind = "demo"', 'kind = "demo"\nimages = "/nowhere"', "/nowhere", id="no pictures"),
    ],
)  # fmt: skip
def test_what_only_a_start_finds_is_found_before_the_old_station_stops(
    bench: Bench, tmp_path: Path, before: str, after: str, named: str
) -> None:
    """Store and source of the new station are tried while the old one inspects; the refusal names the file."""
    (tmp_path / "file").touch()
    (tmp_path / "held").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    places = {"store": bench.store, "file": tmp_path / "file", "held": tmp_path / "held", "tmp": tmp_path,
              "loop": tmp_path / "loop"}  # fmt: skip
    text = bench.config.read_text().replace(before.format(**places), after.format(**places))
    bench.config.write_text(text)
    with (tmp_path / "held" / "lock").open("w") as lock, capture_logs() as logs:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken = bench.reload()
    (refusal,) = [line for line in logs if line["event"] == "reload_refused"]

    assert taken is None
    assert named in refusal["reason"]
    assert refusal["reason"].startswith(f"{bench.config}: ")


def test_its_own_store_is_no_other(bench: Bench) -> None:
    """The store that the running station has open is free for the next one."""
    store = Store(bench.store, SystemClock())
    taken = bench.reload()
    store.close()

    assert taken is not None
    taken[1].pool.close()
