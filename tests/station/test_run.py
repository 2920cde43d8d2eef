"""The daemon as a process: what it says before a station runs."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.errors import EXIT_OK, EXIT_REFUSED, StoreDamagedError, WorkerError
from inspector.settings.loading import load_settings
from inspector.station import run


def test_a_key_of_another_kind_is_a_warning_in_the_log(tmp_path: Path) -> None:
    """Whoever reads the journal learns of it in time, also where something else keeps the station from running."""
    config = tmp_path / "cam1.toml"
    config.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\nwidth_px = 64\n'
        '[model]\npath = "/absent"\n'
    )
    command = [sys.executable, "-m", "inspector", "run", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "configuration_warning" in line]

    assert done.returncode == EXIT_REFUSED
    assert len(said) == 1
    assert f"{config}: source.width_px: kind = 'folder' does not use this key" in said[0]


@pytest.mark.parametrize("command", ["run", "demo"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_anything_runs_is_a_stop(tmp_path: Path, number: int, command: str) -> None:
    """A signal that comes while the program is still being imported ends it with 0, as any later one does."""
    trap = tmp_path / "typer.py"  # stands for all that is imported
    trap.write_text(f"import os, time\nos.kill(os.getpid(), {int(number)})\nraise SystemExit(5)\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['inspector', {command!r}]"
    script += "; import inspector.cli"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("fails", [False, True])
def test_the_log_tells_a_reload_from_a_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    """A new configuration is `reloaded`; if it fails at last, the previous one `resumed`, with the bundle it had."""
    config = tmp_path / "cam1.toml"
    config.write_text('[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n')
    loaded, begun, opened = load_settings(config, environ={}), list[str](), list[Any]()

    first = SimpleNamespace(warnings=("its card is of format 1",))

    def open_bundle(_: Any, bundle: Any = None) -> Any:
        opened.append(bundle)
        return SimpleNamespace(bundle=first, pool=SimpleNamespace(close=lambda: None))

    class Station:
        made = 0

        def __init__(self, _settings: Any, model: Any, *_: Any) -> None:
            Station.made += 1
            if fails and Station.made == 2:
                raise OSError("no room")
            self.model, self.metrics = model, SimpleNamespace(reload_ok=SimpleNamespace(set=lambda _: None))

        def request(self, _: str) -> None: ...

        def run(self, reload: Any, begins: str) -> Any:
            begun.append(begins)
            return (loaded, open_bundle(None)) if begins == "started" else None

    monkeypatch.setattr(run, "Station", Station)
    monkeypatch.setattr(run, "open_bundle", open_bundle)
    monkeypatch.setattr(run, "open_taught", lambda *_: open_bundle(None))
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    assert run.run_daemon(config) == EXIT_OK
    assert begun == ["started", "resumed" if fails else "reloaded"]
    assert opened == [None, None, first][: 2 + fails]


def test_a_reload_leaves_nothing_of_the_station_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a station know each other; before the next one inspects, the memory of the last one is free again."""
    config = tmp_path / "cam1.toml"
    config.write_text('[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n')
    loaded, model = load_settings(config, environ={}), SimpleNamespace(bundle=SimpleNamespace(warnings=()))
    made, gone = list[Any](), list[bool]()

    class Station:
        def __init__(self, *_: object) -> None:
            self.part, self.model = self, model
            made.append(weakref.ref(self))

        def request(self, _: object) -> None: ...

        def run(self, **_: object) -> Any:
            gone.extend(each() is None for each in made[:-1])
            return (loaded, model) if len(made) < 3 else None

    monkeypatch.setattr(run, "Station", Station)
    monkeypatch.setattr(run, "open_taught", lambda *_: model)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    gc.disable()
    try:
        assert run.run_daemon(config) == EXIT_OK
    finally:
        gc.enable()
    assert gone == [True, True, True]


def test_a_store_that_breaks_is_replaced_in_the_same_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A station that ends because its store is damaged is built again at once, with the same configuration."""
    built: list[int] = []
    model = SimpleNamespace(bundle=SimpleNamespace(warnings=()))

    class Breaking:
        def __init__(self, *_: object) -> None:
            built.append(len(built))
            self.model = model

        def run(self, **_: object) -> None:
            if len(built) == 1:
                raise StoreDamagedError("database disk image is malformed")

        def request(self, _: object) -> None:
            """Nothing asks it to."""

    monkeypatch.setattr(run, "Station", Breaking)
    for opens in ("open_taught", "open_bundle"):
        monkeypatch.setattr(run, opens, lambda *_: model)
    config = tmp_path / "cam1.toml"
    config.write_text('[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n')
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    assert run.run_daemon(config) == EXIT_OK
    assert built == [0, 1]


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_disk_that_refuses_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    """The process stays, and tries again until the disk is back or a stop comes; either way it ends with 0."""
    tries: list[int] = []
    handlers: dict[int, Any] = {}
    model = SimpleNamespace(bundle=SimpleNamespace(warnings=()), pool=SimpleNamespace(close=lambda: None))

    class Waiting:
        def __init__(self, *_: object) -> None:
            tries.append(len(tries))
            if comes_back and len(tries) == 3:
                return
            if len(tries) == 3:
                handlers[signal.SIGTERM](signal.SIGTERM, None)
            raise WorkerError("store.path: /s cannot be written: Input/output error")

        def run(self, **_: object) -> None: ...

        def request(self, _: object) -> None: ...

    monkeypatch.setattr(run, "Station", Waiting)
    monkeypatch.setattr(run, "open_taught", lambda *_: model)
    monkeypatch.setattr(run, "WAIT_S", 0.001)
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    config = tmp_path / "cam1.toml"
    config.write_text('[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n')

    assert run.run_daemon(config) == EXIT_OK
    assert tries == [0, 1, 2]
